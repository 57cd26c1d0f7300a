"""The queue of an aggregate's parked commands, as entries of the aggregate's table.

Because they are entries of the table, they change in its transaction and move with its partitions.

    /parked                        Parked: the number of letters in the partition
    /parked/aggregate              Queue: the number of the aggregate's first letter, and of the next one
    /parked/aggregate/number       Letter: the command as it arrived, and why it is parked
    /parked/aggregate//command     Place: the number of the letter that contains this command. If several commands have
                                   the same id, source and digest follow the id for all but the first

The keys cannot clash with the positions of topics (`/topic`), because the name of a topic has no `/`, nor with the keys
of customers (`/key/customer`, see `privacy/keys.py`).
"""

import base64
from collections.abc import Iterable, Iterator
from typing import Any, Protocol
from urllib.parse import unquote

import msgspec
from msgspec.structs import asdict, fields, replace

from domain.message import State
from streams.kafka.unreadable import RAW
from streams.keys import segment
from streams.messages.codec import RecordAt

PARKED = b"/parked"
_ENCODED = (
    "\0base64:"  # the prefix of an encoded header name that is not UTF-8; a name that begins like this is encoded, too
)


class Parked(State):
    """The number of letters in a partition, and when all of them were last written to `dead-letters` (Unix seconds).

    `bytes` is the size of the letters, without letters that older code parked without counting bytes.
    """

    letters: int
    said: float = 0.0
    bytes: int = 0


class Queue(State):
    """The queue of an aggregate: the numbers of its first letter and of the next one.

    `said` is when all of them were last written to `dead-letters` (Unix seconds).
    """

    first: int
    next: int
    said: float = 0.0


class Place(State):
    """The number of the letter a command is in."""

    number: int


class Letter(State):
    """A command as it arrived, and why it is parked; with 0 `attempts` it waits behind a command that failed."""

    command_id: str
    command_type: str | None
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
    source: str | None = None  # the command's source; None if older code parked it, or it was not read
    digest: str | None = None  # the digest of the command's content; None as above

    @property
    def size(self) -> int:
        """The size of the command in bytes, which another attempt does not change."""
        headers = sum(len(name) + len(value or b"") for name, value in self.headers)
        return len(self.key or b"") + len(self.value or b"") + headers

    @property
    def at(self) -> RecordAt:
        """The place of the command's record, from which omitted attributes are derived."""
        return RecordAt(self.topic, self.partition, self.offset, self.timestamp, self.key)


def kind(key: bytes) -> type | None:
    """Return the type of the value under `key`; None if the key does not belong to a letter."""
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


def encoded(letter: Letter) -> bytes:
    """Return the changelog value of a letter, with base64, because a command may contain any bytes."""
    entry = {name: value for name, value in asdict(letter).items() if value != _DEFAULTS.get(name, ...)}
    entry["key"], entry["value"] = _base64(letter.key), _base64(letter.value)
    entry["headers"] = [(_written(name), _base64(value)) for name, value in letter.headers]
    return msgspec.json.encode(entry)


def decoded(raw: bytes) -> Letter:
    """Return the letter in a changelog value."""
    entry: dict[str, Any] = msgspec.json.decode(raw)
    entry["key"], entry["value"] = _bytes(entry["key"]), _bytes(entry["value"])
    entry["headers"] = [(_read(name), _bytes(value)) for name, value in entry["headers"]]
    return msgspec.convert(entry, Letter)


_DEFAULTS = {field.name: field.default for field in fields(Letter) if not field.required}


def _base64(value: bytes | None) -> str | None:
    return None if value is None else base64.urlsafe_b64encode(value).decode()


def _bytes(written: str | None) -> bytes | None:
    return None if written is None else base64.urlsafe_b64decode(written)


def _written(name: str) -> str:
    try:
        name.encode()
    except UnicodeEncodeError:
        return _ENCODED + base64.b64encode(name.encode(*RAW)).decode()
    return name if not name.startswith(_ENCODED) else _ENCODED + base64.b64encode(name.encode()).decode()


def _read(written: str) -> str:
    if not written.startswith(_ENCODED):
        return written
    return base64.b64decode(written.removeprefix(_ENCODED)).decode(*RAW)


# --- the queue


class Entries(Protocol):
    """The entries of a partition of a table."""

    def get(self, key: bytes) -> Any:
        """Return the value of `key`, or None."""


class Changes(Entries, Protocol):
    """The entries of a partition as a transaction sees and changes them."""

    entries: Any  # as they were before it

    def mark(self) -> int:
        """Return the present state, for `undo`."""

    def undo(self, mark: int) -> None:
        """Undo all changes that were made after `mark`."""

    def __contains__(self, key: bytes) -> bool: ...

    def put(self, key: bytes, value: Any) -> None:
        """Set the value of `key`; None deletes it."""


class Letters:
    """One aggregate's letters, as a transaction sees them."""

    __slots__ = ("_changes", "_key")

    def __init__(self, changes: Changes, aggregate_id: str) -> None:
        self._changes = changes
        self._key = b"%b/%b" % (PARKED, segment(aggregate_id))

    @property
    def queue(self) -> Queue | None:
        """The aggregate's queue; None if nothing is parked."""
        queue: Queue | None = self._changes.get(self._key)
        return queue

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __iter__(self) -> Iterator[Letter]:
        """Yield the letters in order; discarded letters leave holes."""
        if (queue := self.queue) is not None:
            for number in range(queue.first, queue.next):
                if (letter := self._changes.get(self._letter(number))) is not None:
                    yield letter

    def __contains__(self, letter: Letter) -> bool:
        """Return whether the command in `letter` is parked, that is, one with its source, id and content."""
        other = self._at(self._place(letter.command_id))
        return (other is not None and _same(other, letter)) or self._own_place(letter) in self._changes

    def get(self, command_id: str) -> Letter | None:
        """Return the first letter of a command with this id."""
        return next((letter for letter in self if letter.command_id == command_id), None)

    def first(self) -> Letter | None:
        """Return the letter that must be handled first."""
        queue = self.queue
        return None if queue is None else self._changes.get(self._letter(queue.first))

    def append(self, letter: Letter, now: float) -> None:
        """Park `letter` at the end; `now` (Unix seconds) is when it is written to `dead-letters`."""
        queue, place = self.queue or Queue(0, 0, now), self._place(letter.command_id)
        self._changes.put(self._letter(queue.next), letter)
        self._changes.put(self._own_place(letter) if place in self._changes else place, Place(queue.next))
        self._changes.put(self._key, replace(queue, next=queue.next + 1))
        self._count(1, letter.size)

    def replace(self, letter: Letter) -> None:
        """Replace the letter of the same command."""
        place: Place = self._changes.get(self._place_of(letter))  # type: ignore[assignment]
        self._changes.put(self._letter(place.number), letter)

    def remove(self, letter: Letter) -> None:
        """Remove a letter; the queue ends with its last letter."""
        key = self._place_of(letter)
        place: Place = self._changes.get(key)  # type: ignore[assignment]
        queue: Queue = self.queue  # type: ignore[assignment]
        self._changes.put(self._letter(place.number), None)
        self._changes.put(key, None)
        first = queue.first
        while first < queue.next and self._letter(first) not in self._changes:
            first += 1
        self._changes.put(self._key, replace(queue, first=first) if first < queue.next else None)
        self._count(-1, -letter.size)

    def said(self, at: float) -> None:
        """Record when these letters were last written to `dead-letters`."""
        if (queue := self.queue) is not None:
            self._changes.put(self._key, replace(queue, said=at))

    def _count(self, more: int, size: int) -> None:
        before: Parked = self._changes.get(PARKED) or Parked(0)
        letters = before.letters + more
        after = replace(before, letters=letters, bytes=max(before.bytes + size, 0))
        self._changes.put(PARKED, after if letters else None)

    def _letter(self, number: int) -> bytes:
        return b"%b/%d" % (self._key, number)

    def _place(self, command_id: str) -> bytes:
        return b"%b//%b" % (self._key, segment(command_id))

    def _own_place(self, letter: Letter) -> bytes:
        """Return the place of a letter whose command shares its id with another letter's."""
        what = letter.offset if letter.source is None else f"{letter.source}\n{letter.digest}"
        return self._place(f"{letter.command_id}\n{what}")

    def _place_of(self, letter: Letter) -> bytes:
        """Return the place of a letter."""
        place = self._place(letter.command_id)
        first = self._at(place)
        return place if first is not None and first.offset == letter.offset else self._own_place(letter)

    def _at(self, place: bytes) -> Letter | None:
        at: Place | None = self._changes.get(place)
        return None if at is None else self._changes.get(self._letter(at.number))


def _same(one: Letter, other: Letter) -> bool:
    """Return whether two letters with one command id contain the same command; older letters have only the id."""
    known = one.source is not None and other.source is not None
    return not known or (one.source, one.digest) == (other.source, other.digest)


def parked(entries: Entries) -> int:
    """Return the number of letters in a partition."""
    count: Parked | None = entries.get(PARKED)
    return 0 if count is None else count.letters


def parked_bytes(entries: Entries) -> int:
    """Return the size in bytes of the letters in a partition."""
    count: Parked | None = entries.get(PARKED)
    return 0 if count is None else count.bytes


def aggregates(changes: Changes) -> list[str]:
    """Return the ids of a partition's aggregates that had letters before the transaction."""
    keys: Iterable[bytes] = changes.entries.rows.keys(PARKED + b"/")
    return [unquote(key[len(PARKED) + 1 :].decode()) for key in keys if kind(key) is Queue]
