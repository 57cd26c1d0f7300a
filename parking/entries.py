"""Parked commands, as entries of their aggregate's table, so that they change in its transaction and move with it.

    /parked                        Parked: how many letters the partition has
    /parked/aggregate              Queue: the first letter of the aggregate, and the number of the next
    /parked/aggregate/number       Letter: the command as it came, and why it is here
    /parked/aggregate//command     Place: the number of the letter that command is in; of several commands with the
                                   same id, all but the first have their source and digest behind the id

No topic is called `parked/…`: a topic's name has no `/`.
"""

import base64
from typing import Any

import msgspec
from msgspec.structs import asdict, fields

from domain.message import State
from streams.kafka.unreadable import RAW
from streams.messages.codec import RecordAt

PARKED = b"/parked"
_ENCODED = "\0base64:"  # begins what stands for a header name that is not UTF-8; such a name itself is encoded, too


class Parked(State):
    """How many letters a partition has, and when `dead-letters` was last told of all of them (Unix seconds).

    `bytes`: of the letters, but for those that were parked by code that did not count them.
    """

    letters: int
    said: float = 0.0
    bytes: int = 0


class Queue(State):
    """An aggregate whose commands wait: the numbers of its first letter and of the next one to come.

    `said`: when `dead-letters` was last told of all of them (Unix seconds).
    """

    first: int
    next: int
    said: float = 0.0


class Place(State):
    """The number of the letter a command is in."""

    number: int


class Letter(State):
    """A command as it came, and why it could not be handled; `attempts` 0: it waits behind one that could not."""

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
    source: str | None = None  # of the command; None: parked by older code, or unread
    digest: str | None = None  # of its content; None: as above

    @property
    def size(self) -> int:
        """The bytes of the command as it came, which another attempt does not change."""
        headers = sum(len(name) + len(value or b"") for name, value in self.headers)
        return len(self.key or b"") + len(self.value or b"") + headers

    @property
    def at(self) -> RecordAt:
        """Where the command was: what it left out is derived from that, as it would have been."""
        return RecordAt(self.topic, self.partition, self.offset, self.timestamp, self.key)


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


def encoded(letter: Letter) -> bytes:
    """Return the changelog value of a letter: a command may be of any bytes, so they are in base64."""
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
