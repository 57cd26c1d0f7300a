"""Timers: entries of a table, each with the time at which another entry of the table is due.

    /due/2026-11-23T10:00:00.000Z/entry       Timer: the entry with the key `entry` is due at that time

An entry has at most one timer, for the earliest of its deadlines, and the codec derives it from the entry itself
(`Codec.due`). Both change in one transaction, so after any crash a timer exists exactly if its entry has a deadline.
Keys sort by time. Only the next timers of a partition are in memory.
"""

import time as clock
from bisect import bisect_left
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

from domain.message import State

from .rows import Rows

if TYPE_CHECKING:
    from .store import Changes

PREFIX = b"/due/"
_TIME = slice(len(PREFIX), len(PREFIX) + len("2026-11-23T10:00:00.000Z"))
LOADED = 10_000  # timers of a partition in memory; briefly twice as many, and more if that many are postponed


class Timer(State):
    """A timer; its key says everything."""


TIMER = Timer()


def timer_key(due: str, entry: bytes) -> bytes:
    """Return the key of the timer of the entry with the key `entry`; `due` is a time as `instant` returns it."""
    return b"%b%b/%b" % (PREFIX, due.encode(), entry)


def time_of(key: bytes) -> str:
    """Return when a timer is due."""
    return key[_TIME].decode()


def _unix(key: bytes) -> float:
    return datetime.fromisoformat(time_of(key)).timestamp()


def entry_of(key: bytes) -> bytes:
    """Return the key of a timer's entry."""
    return key[_TIME.stop + 1 :]


def kind(key: bytes) -> type | None:
    """Return the type of the value under `key`; None if it is not the key of a timer."""
    return Timer if key.startswith(PREFIX) else None


def move(changes: "Changes[Any]", entry: bytes, before: str | None, after: str | None) -> None:
    """Change the timer of an entry whose deadline was `before` and is `after`; None: it has none."""
    if before == after:
        return
    if before is not None:
        changes.put(timer_key(before, entry), None)
    if after is not None:
        changes.put(timer_key(after, entry), TIMER)


class Timers:
    """The timers of one partition, the next ones in memory.

    A timer that cannot be handled is postponed, in memory only: after a restart, it is due again.
    """

    __slots__ = ("_behind", "_next", "_now", "_postponed", "_rows")

    def __init__(self, rows: Rows, now: Callable[[], float] = clock.monotonic) -> None:
        self._rows, self._now = rows, now
        self._next: list[bytes] = []  # sorted
        self._behind: bytes | None = PREFIX  # timers after this one are not in memory; None: all are
        self._postponed: dict[bytes, float] = {}  # until when, by the monotonic clock

    def due(self, until: str, limit: int) -> list[bytes]:
        """Return the keys of the first timers that are due at `until` or earlier."""
        return list(islice(self._until(until), limit))

    def seconds(self, now: float) -> float | None:
        """Return the seconds from `now` (Unix time) until the next timer is due; None without timers."""
        key = next(self._ready(), None)
        if key is None:
            return min(self._postponed.values()) - self._now() if self._postponed else None
        return _unix(key) - now

    def late(self, now: float) -> float:
        """Return for how many seconds the earliest timer has been due at `now` (Unix time), postponed or not."""
        if not self._next:
            self._load()
        return max(now - _unix(self._next[0]), 0.0) if self._next else 0.0

    def _until(self, until: str) -> Iterator[bytes]:
        for key in self._ready():
            if time_of(key) > until:
                return
            yield key

    def _ready(self) -> Iterator[bytes]:
        at, found = 0, False
        while at < len(self._next) or (not found and self._load()):  # all in memory may be postponed
            key = self._next[at]
            at += 1
            if key in self._postponed:
                if self._postponed[key] > self._now():
                    continue
                del self._postponed[key]
            found = True
            yield key

    def _load(self) -> bool:
        """Load the timers that follow those in memory; return whether there are any."""
        if self._behind is None:
            return False
        more = self._rows.first(PREFIX, self._behind, LOADED)
        self._next += more
        self._behind = more[-1] if len(more) == LOADED else None
        return bool(more)

    def postpone(self, key: bytes, seconds: float) -> None:
        """Let a timer be due again in some seconds, and the others before it."""
        self._postponed[key] = self._now() + seconds

    def changed(self, key: bytes, is_set: bool) -> None:
        """Note that a timer was set or deleted, and that the rows have the change."""
        at = bisect_left(self._next, key)
        known = at < len(self._next) and self._next[at] == key
        if not is_set:
            self._postponed.pop(key, None)
            if known:
                del self._next[at]
        elif not known and (self._behind is None or key <= self._behind):
            self._next.insert(at, key)
            if len(self._next) > 2 * LOADED:
                self._behind = self._next[LOADED - 1]
                del self._next[LOADED:]
