"""Markdown for generated parts of documents."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; cells may contain any text without line breaks."""
    lines = [_row(head), "|" + "---|" * len(head), *map(_row, rows)]
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(" ".join(cell.split()).replace("|", r"\|") for cell in cells) + " |"


def code(value: object) -> str:
    """Return `value` as inline code, or nothing for an empty value."""
    return "" if value in (None, "") else f"`{value}`"


def listed(names: Iterable[object]) -> str:
    """Return names as inline code, separated by commas."""
    return ", ".join(code(name) for name in names)


def block(language: str, text: str) -> str:
    """Return a fenced code block."""
    return f"```{language}\n{text}\n```"


def rewritten(text: str, parts: Mapping[str, Callable[[], str]]) -> str:
    """Return a document with its generated parts as the code has them.

    A part is between `<!-- generated: NAME -->` and `<!-- end -->`. Raises ValueError unless each part occurs once.
    """
    for name, make in parts.items():
        between = re.compile(rf"(<!-- generated: {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        if len(found := between.findall(text)) != 1:
            raise ValueError(f"expected one generated part {name!r}, found {len(found)}")
        begin, end = found[0]
        head, _, rest = text.partition(begin)
        text = f"{head}{begin}\n{make()}\n\n{end}{rest.partition(end)[2]}"
    return text
