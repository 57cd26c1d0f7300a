"""How far long work has come: a bar for people, a line now and then where there is no terminal."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

LINE_SECONDS = 5.0  # between two lines without a terminal


class Advance(Protocol):
    """Says that so many steps more are done."""

    def __call__(self, steps: int = 1) -> None:
        """Add `steps`."""


@contextmanager
def progress(what: str, total: int) -> Iterator[Advance]:
    """Show on stderr how many of `total` steps are done."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    if console.is_terminal:
        with _bar(console) as bar:
            task = bar.add_task(what, total=total)
            yield lambda steps=1: bar.advance(task, steps)
    else:
        lines = _Lines(console, what, total)
        yield lines
        lines.say()


class RateColumn(ProgressColumn):
    """How many steps a second, lately."""

    def render(self, task: Task) -> Text:
        """Return the rate, empty while there is none."""
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f}/s")


def _bar(console: Console) -> Progress:
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), RateColumn(), TimeElapsedColumn()
    return Progress(*columns, TimeRemainingColumn(), console=console, refresh_per_second=5)


class _Lines:
    def __init__(self, console: Console, what: str, total: int) -> None:
        self._console, self._what, self._total = console, what, total
        self._done, self._began = 0, time.monotonic()
        self._said = self._began

    def __call__(self, steps: int = 1) -> None:
        self._done += steps
        if time.monotonic() - self._said > LINE_SECONDS:
            self._said = time.monotonic()
            self.say()

    def say(self) -> None:
        rate = self._done / max(time.monotonic() - self._began, 0.001)
        left = f", {(self._total - self._done) / rate:,.0f} s left" if 0 < self._done < self._total else ""
        self._console.print(f"{self._what}: {self._done:,} of {self._total:,}, {rate:,.0f}/s{left}", markup=False)
