"""The table of injected faults and findings, between two marks of a Markdown file."""

import platform
import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

from elections import summary

MARKS = {  # brokers → the marks around their table
    1: ("<!-- schedules: written by `make faults` -->", "<!-- end of schedules -->"),
    3: ("<!-- cluster: written by `make faults BROKERS=3` -->", "<!-- end of cluster -->"),
}


@dataclass(frozen=True, slots=True)
class Row:
    """One schedule: the injected faults, the promises, and the broken ones."""

    seed: int
    injected: list[str]
    promises: str
    events: int
    seconds: float
    found: list[str]
    partitions: list[float] = field(default_factory=list)  # seconds until a partition with a new leader was served
    reads: list[float] = field(default_factory=list)  # and until MongoDB with a new primary was

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
    partitions, reads = ([*chain.from_iterable(getattr(row, of) for row in rows)] for of in ("partitions", "reads"))
    head = " ".join(filter(None, (head, summary(partitions, reads))))
    columns = "| seed | injected | promises | events | s | found |\n|---:|---|---|---:|---:|---|"
    return "\n".join([head, "", columns, *map(str, sorted(rows, key=lambda row: row.seed))])


def write(path: Path, rows: list[Row], seconds: float, brokers: int) -> None:
    """Put the table between the marks of `path` for this number of brokers."""
    begin, end = MARKS[brokers]
    pattern = re.compile(f"{re.escape(begin)}.*{re.escape(end)}", re.DOTALL)
    between = f"{begin}\n{table(rows, seconds)}\n{end}"
    path.write_text(pattern.sub(lambda _: between, path.read_text()))
