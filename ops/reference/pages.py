"""Which documents have which generated parts."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from ops.reference import benchmarks, commandline, errors, http, messages, metrics, rights, settings, topics
from ops.reference.markdown import rewritten

DOCS = Path(__file__).parents[2] / "docs"
PAGES: Mapping[str, Mapping[str, Callable[[], str]]] = {
    "../README.md": {"benchmark": benchmarks.compared},
    "reference/http.md": {
        "commands": http.command_paths,
        "queries": http.query_paths,
        "other-paths": http.other_paths,
        "addresses": http.addresses,
        "ignored-fields": http.ignored_fields,
    },
    "reference/messages.md": {"messages": messages.messages},
    "reference/topics.md": {"topics": topics.topics, "durability": topics.durability},
    "reference/rights.md": {"rights": rights.rights},
    "reference/cli.md": {"commands": commandline.commands},
    "reference/settings.md": {"settings": settings.settings},
    "reference/metrics.md": {"metrics": metrics.metrics},
    "reference/errors.md": {"errors": errors.errors},
}


def stale(docs: Path = DOCS) -> Iterator[tuple[Path, str]]:
    """Yield each page whose generated parts differ from the code, with the text it should have."""
    for name, parts in PAGES.items():
        page = (docs / name).resolve()
        committed = page.read_text()
        if (current := rewritten(committed, parts)) != committed:
            yield page, current
