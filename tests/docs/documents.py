"""The commands that README.md and the documentation show, and how each is tested.

A shell block follows a comment that says what it does when it runs:

    <!-- run: exit 0 -->              in the shared system; it exits with 0
    <!-- run: 201 200 -->             in the shared system; these are the statuses of its answers
    <!-- run alone: exit 0 -->        in a system of its own, because it stops or starts something
    <!-- tested: tests/a/test_b.py --> it needs a situation that this test makes, or other software
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import yaml

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
MARK = r"<!-- (?P<how>run|run alone|tested): (?P<what>[^>]+) -->\n"
BLOCK = re.compile(rf"^(?P<indent> *)(?:{MARK} *)?```sh\n(?P<script>.*?)^ *```", re.DOTALL | re.MULTILINE)


class Block(NamedTuple):
    """A shell block of a page: how it is tested, and what it must end with or which tests do the same."""

    page: Path
    script: str
    how: str | None
    what: str

    @property
    def name(self) -> str:
        """Return the page and the first command, for the name of a test."""
        return f"{self.page.relative_to(ROOT)}: {self.script.splitlines()[0]}"


def pages() -> list[Path]:
    """Return README.md and the pages of the site that people write, in the order of the navigation."""
    return [ROOT / "README.md", *(DOCS / name for name in _names(navigation()))]


def navigation() -> object:
    """Return the navigation of the site."""
    text = (ROOT / "mkdocs.yml").read_text()
    return yaml.safe_load(text[text.index("\nnav:") :])["nav"]


def _names(entry: object) -> Iterator[str]:
    if isinstance(entry, str):
        yield entry
    elif isinstance(entry, list):
        for each in entry:
            yield from _names(each)
    elif isinstance(entry, dict):
        for each in entry.values():
            yield from _names(each)


def blocks(how: str | None = None) -> list[Block]:
    """Return the shell blocks of all pages, optionally only the blocks that are tested as `how` says."""
    found = [block for page in pages() for block in _blocks(page)]
    return [block for block in found if how is None or block.how == how]


def _blocks(page: Path) -> Iterator[Block]:
    for match in BLOCK.finditer(page.read_text()):
        indent = len(match["indent"])
        script = "".join(line[indent:] for line in match["script"].splitlines(keepends=True))
        yield Block(page, script, match["how"], (match["what"] or "").strip())
