"""The table of fault points, between two marks of a Markdown file."""

import platform
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from streams.faults import POINTS

BEGIN, END = "<!-- points: written by `make faults-points` -->", "<!-- end of points -->"
ORDER = [point.name for point in POINTS]


@dataclass(frozen=True, slots=True)
class Row:
    """One point: who was hit there, what became of them, what had been promised, what was broken."""

    action: str
    aim: str
    names: list[str]
    happened: str
    promises: str
    events: int
    seconds: float
    found: list[str]

    def __str__(self) -> str:
        found = "; ".join(self.found).replace("|", "\\|").replace("\n", " ") or "clean"
        facts = (self.action, self.aim, ", ".join(self.names), self.happened, self.promises, self.events, found)
        return f"| {' | '.join(map(str, facts))} |"


def table(rows: list[Row]) -> str:
    """Return the points, what each is, and the rows under a sentence that sums them up."""
    rows = sorted(rows, key=lambda row: (row.action, ORDER.index(row.aim.split()[0])))
    clean = sum(not row.found for row in rows)
    machine = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    head = f"{clean} of {len(rows)} clean ({datetime.now(UTC):%Y-%m-%d}, {machine})."
    columns = "| | point | hit there | and then | promises | events so far | found |\n|---|---|---|---|---|---:|---|"
    return "\n".join([head, "", columns, *map(str, rows), "", *_about()])


def _about() -> list[str]:
    return [
        "| point | where it is | roles |",
        "|---|---|---|",
        *(f"| {point.name} | {point.about} | {', '.join(sorted(point.roles))} |" for point in POINTS),
    ]


def write(path: Path, rows: list[Row]) -> None:
    """Put the table between the marks of `path`."""
    pattern = re.compile(f"{re.escape(BEGIN)}.*{re.escape(END)}", re.DOTALL)
    between = f"{BEGIN}\n{table(rows)}\n{END}"
    path.write_text(pattern.sub(lambda _: between, path.read_text()))
