"""Display progress on stderr: a bar on a terminal, otherwise a line every few seconds."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from ops.progress import Advance

LINE_SECONDS = 5.0  # between two lines


@contextmanager
def progress(what: str, total: int) -> Iterator[Advance]:
    """Display how many of `total` steps of `what` are done."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    if console.is_terminal:
        with _bar(console) as bar:
            task = bar.add_task(what, total=total)
            yield lambda steps=1: bar.advance(task, steps)
    else:
        lines = _Lines(console, what, total)
        yield lines
        lines.print()


class RateColumn(ProgressColumn):
    """The current rate, in steps per second."""

    def render(self, task: Task) -> Text:
        """Return the rate; empty if it is not known yet."""
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f}/s")


def _bar(console: Console) -> Progress:
    what, done = (TextColumn("{task.description}"), BarColumn()), (TaskProgressColumn(), MofNCompleteColumn())
    times = RateColumn(), TimeElapsedColumn(), TimeRemainingColumn()
    return Progress(*what, *done, *times, console=console, refresh_per_second=5)


class _Lines:
    def __init__(self, console: Console, what: str, total: int) -> None:
        self._console, self._what, self._total = console, what, total
        self._done, self._began = 0, time.monotonic()
        self._printed = self._began

    def __call__(self, steps: int = 1) -> None:
        self._done += steps
        if time.monotonic() - self._printed > LINE_SECONDS:
            self._printed = time.monotonic()
            self.print()

    def print(self) -> None:
        rate = self._done / max(time.monotonic() - self._began, 0.001)
        left = f", {(self._total - self._done) / rate:,.0f} s left" if 0 < self._done < self._total else ""
        share = f" ({self._done / self._total:.0%})" if self._total else ""
        done = f"{self._done:,} of {self._total:,}{share}"
        self._console.print(f"{self._what}: {done}, {rate:,.0f}/s{left}", markup=False)
