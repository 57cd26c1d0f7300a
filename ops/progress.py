"""How long-running logic reports its progress; commands pass a function that displays it."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol


class Advance(Protocol):
    """Reports that more steps are done."""

    def __call__(self, steps: int = 1) -> None:
        """Add `steps`."""


class ShowProgress(Protocol):
    """Opens a display of how many of `total` steps of `what` are done."""

    def __call__(self, what: str, total: int) -> AbstractContextManager[Advance]:
        """Return the display, which lasts as long as the context."""


@contextmanager
def silent(what: str, total: int) -> Iterator[Advance]:
    """Display nothing."""
    yield lambda steps=1: None


@dataclass
class Steps:
    """The steps of one part of the work, which are reported as shares of it are done."""

    advance: Callable[[int], None]
    count: int
    _done: int = 0

    def reach(self, share: float) -> None:
        """Report that a share of the part is done, from 0 to 1."""
        done = int(self.count * share)
        self.advance(done - self._done)
        self._done = done
