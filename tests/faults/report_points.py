"""The table of fault points, between two marks of a Markdown file."""

import platform
import re
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from streams.runtime.faults import POINTS

BEGIN, END = "<!-- points: written by `make faults-points` -->", "<!-- end of points -->"
ORDER = [point.name for point in POINTS]
_writing = threading.Lock()


@dataclass(frozen=True, slots=True)
class Row:
    """One point: which processes were hit there, how they recovered, the promises, and the broken ones."""

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


def table(rows: dict[tuple[str, str], str]) -> str:
    """Return the rows by (action, target) under a sentence that summarizes them, and a description of each point."""
    lines = [rows[at] for at in sorted(rows, key=lambda at: (at[0], ORDER.index(at[1].split()[0]), at[1]))]
    clean = sum(line.endswith("| clean |") for line in lines)
    machine = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    head = f"{clean} of {len(lines)} clean ({datetime.now(UTC):%Y-%m-%d}, {machine})."
    columns = "| | point | hit there | and then | promises | events so far | found |\n|---|---|---|---|---|---:|---|"
    return "\n".join([head, "", columns, *lines, "", *_about()])


def _about() -> list[str]:
    return [
        "| point | where it is | roles |",
        "|---|---|---|",
        *(f"| {point.name} | {point.about} | {', '.join(sorted(point.roles))} |" for point in POINTS),
    ]


def write(path: Path, row: Row) -> None:
    """Insert the row between the marks of `path`, in place of an older one of the same point."""
    with _writing:
        pattern = re.compile(f"{re.escape(BEGIN)}(.*){re.escape(END)}", re.DOTALL)
        text = path.read_text()
        found = pattern.search(text)
        assert found, f"{path} has no marks for the table"
        lines = [line for line in found[1].splitlines() if line.startswith(("| kill |", "| stop |"))]
        rows = {(cells[1].strip(), cells[2].strip()): line for line in lines if (cells := line.split("|"))}
        rows[row.action, row.aim] = str(row)
        path.write_text(pattern.sub(lambda _: f"{BEGIN}\n{table(rows)}\n{END}", text))
