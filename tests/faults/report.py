"""The table of injected faults and findings, between two marks of a Markdown file."""

import platform
import re
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

BEGIN, END = "<!-- schedules: written by `make faults` -->", "<!-- end of schedules -->"


@dataclass(frozen=True, slots=True)
class Row:
    """One schedule: the injected faults, the promises, and the broken ones."""

    seed: int
    injected: list[str]
    promises: str
    events: int
    seconds: float
    found: list[str]

    def __str__(self) -> str:
        counted = Counter(self.injected)
        injected = " · ".join(what + (f" ×{times}" if times > 1 else "") for what, times in counted.items())
        found = "; ".join(self.found).replace("|", "\\|") or "clean"
        return f"| {self.seed} | {injected} | {self.promises} | {self.events} | {self.seconds:.0f} | {found} |"


def table(rows: list[Row], seconds: float) -> str:
    """Return the rows under a sentence that summarizes them."""
    clean = sum(not row.found for row in rows)
    faults, events = sum(len(row.injected) for row in rows), sum(row.events for row in rows)
    machine = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    head = (
        f"{clean} of {len(rows)} schedules clean: {faults} faults in {seconds:.0f} s of load each, "
        f"{events} events compared ({datetime.now(UTC):%Y-%m-%d}, {machine})."
    )
    columns = "| seed | injected | promises | events | s | found |\n|---:|---|---|---:|---:|---|"
    return "\n".join([head, "", columns, *map(str, sorted(rows, key=lambda row: row.seed))])


def write(path: Path, rows: list[Row], seconds: float) -> None:
    """Put the table between the marks of `path`."""
    pattern = re.compile(f"{re.escape(BEGIN)}.*{re.escape(END)}", re.DOTALL)
    between = f"{BEGIN}\n{table(rows, seconds)}\n{END}"
    path.write_text(pattern.sub(lambda _: between, path.read_text()))
