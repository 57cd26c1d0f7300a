"""Parked commands, as entries of their aggregate's table, so that they change in its transaction and move with it.

    /parked                        Parked: how many letters the partition has
    /parked/aggregate              Queue: the first letter of the aggregate, and the number of the next
    /parked/aggregate/number       Letter: the command as it came, and why it is here
    /parked/aggregate//command     Place: the number of the letter that command is in

No topic is called `parked/…`: a topic's name has no `/`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import unquote

from pydantic import ConfigDict

from streams.codec import Position

from .keys import segment
from .store import Changes, Entries

PARKED = b"/parked"
BYTES = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")  # a command may be of any bytes


@dataclass(frozen=True, slots=True)
class Parked:
    """How many letters a partition has."""

    letters: int


@dataclass(frozen=True, slots=True)
class Queue:
    """An aggregate whose commands wait: the numbers of its first letter and of the next one to come."""

    first: int
    next: int


@dataclass(frozen=True, slots=True)
class Place:
    """The number of the letter a command is in."""

    number: int


@dataclass(frozen=True, slots=True)
class Letter:
    """A command as it came, and why it could not be handled; `attempts` 0: it waits behind one that could not."""

    __pydantic_config__ = BYTES

    command_id: str
    command_type: str
    topic: str
    partition: int
    offset: int
    timestamp: float  # Unix seconds, Kafka's
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    code: str
    message: str
    attempts: int = 0
    traceback: str | None = None

    @property
    def at(self) -> Position:
        """Where the command was: what it left out is derived from that, as it would have been."""
        return Position(self.topic, self.partition, self.offset, self.timestamp, self.key)


def kind(key: bytes) -> type | None:
    """Return what the value under a key of ours is; None when it is nothing about letters."""
    match key.split(b"/")[1:]:
        case [b"parked"]:
            return Parked
        case [b"parked", _]:
            return Queue
        case [b"parked", _, b"", _]:
            return Place
        case [b"parked", _, _]:
            return Letter
    return None


KINDS = (Parked, Queue, Place, Letter)


class Letters:
    """One aggregate's letters, as a transaction sees them."""

    __slots__ = ("_changes", "_key")

    def __init__(self, changes: Changes[Any], aggregate_id: str) -> None:
        self._changes = changes
        self._key = b"%b/%b" % (PARKED, segment(aggregate_id))

    @property
    def queue(self) -> Queue | None:
        """The aggregate's queue; None when nothing waits."""
        return self._changes.get(self._key)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __iter__(self) -> Iterator[Letter]:
        """Yield the letters in their order; there are holes where letters were discarded."""
        if (queue := self.queue) is not None:
            for number in range(queue.first, queue.next):
                if (letter := self._changes.get(self._letter(number))) is not None:
                    yield letter

    def __contains__(self, command_id: str) -> bool:
        return self._place(command_id) in self._changes

    def get(self, command_id: str) -> Letter | None:
        """Return the letter of a command."""
        place: Place | None = self._changes.get(self._place(command_id))
        return None if place is None else self._changes.get(self._letter(place.number))

    def first(self) -> Letter | None:
        """Return the letter that must be handled before the others."""
        queue = self.queue
        return None if queue is None else self._changes.get(self._letter(queue.first))

    def append(self, letter: Letter) -> None:
        """Park `letter` behind the others."""
        queue = self.queue or Queue(0, 0)
        self._changes.put(self._letter(queue.next), letter)
        self._changes.put(self._place(letter.command_id), Place(queue.next))
        self._changes.put(self._key, replace(queue, next=queue.next + 1))
        self._count(1)

    def replace(self, letter: Letter) -> None:
        """Write what has become of a letter that is here."""
        place: Place = self._changes.get(self._place(letter.command_id))  # type: ignore[assignment]
        self._changes.put(self._letter(place.number), letter)

    def remove(self, command_id: str) -> None:
        """Take a letter out; the queue begins with the next one, and ends with the last."""
        place: Place = self._changes.get(self._place(command_id))  # type: ignore[assignment]
        queue: Queue = self.queue  # type: ignore[assignment]
        self._changes.put(self._letter(place.number), None)
        self._changes.put(self._place(command_id), None)
        first = queue.first
        while first < queue.next and self._letter(first) not in self._changes:
            first += 1
        self._changes.put(self._key, replace(queue, first=first) if first < queue.next else None)
        self._count(-1)

    def _count(self, more: int) -> None:
        letters = parked(self._changes) + more
        self._changes.put(PARKED, Parked(letters) if letters else None)

    def _letter(self, number: int) -> bytes:
        return b"%b/%d" % (self._key, number)

    def _place(self, command_id: str) -> bytes:
        return b"%b//%b" % (self._key, segment(command_id))


def parked(entries: Changes[Any] | Entries[Any]) -> int:
    """Return how many letters a partition has."""
    count: Parked | None = entries.get(PARKED)
    return 0 if count is None else count.letters


def aggregates(entries: Entries[Any]) -> list[str]:
    """Return the ids of the aggregates of a partition whose commands wait."""
    return [unquote(key[len(PARKED) + 1 :].decode()) for key in entries.raw if kind(key) is Queue]
