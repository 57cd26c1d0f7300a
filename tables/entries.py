"""The entries of both tables: the position of the input, and the answers to recent commands."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import orjson
from msgspec.structs import replace

from domain.message import State
from parking import queue as parked
from privacy import keys as personal
from privacy.keys import CustomerKey
from streams.messages.envelope import Aggregate, CommandMessage, Outcome, derived_id, event_id
from streams.messages.tolerant import known_in

from . import timers
from .timers import Timer

_encode = msgspec.json.Encoder().encode
BRIEF = 500  # limit of a remembered rejection's message, in characters
SMALL = 2_000  # limit of a remembered rejection's details, in bytes


def _is_small(details: dict[str, Any] | None) -> bool:
    return not details or len(orjson.dumps(details)) <= SMALL


class Position(State):
    """The highest offset ever handled of an input partition, and the id of its topic.

    `fulfils` is set by code that writes the commands which events cause; older code left that to another role.
    """

    offset: int
    topic_id: str
    fulfils: bool = False


class Answer(State):
    """The answer to a command, which a repeat of the command gets again."""

    command_id: str
    command_type: str
    version: int
    events: tuple[str, ...] = ()  # their types; the sequence of the last one is the version
    code: str | None = None
    message: str | None = None
    details: dict[str, Any] | None = None
    retryable: bool = False
    by_sequence: bool = False  # the ids of the events are `event_id`s; older answers named `older_event_id`s
    source: str | None = None  # the command's source; older answers have None, which matches any
    digest: str | None = (
        None  # the digest of the command's content; None if unknown, or if the order itself is compared
    )

    def brief(self) -> "Answer":
        """Return the answer as it is remembered: an aggregate keeps dozens, so they are shortened."""
        if self.code is None:
            return self if _is_small(self.details) else replace(self, details=None)
        if self.message is not None and len(self.message) <= BRIEF and _is_small(self.details):
            return self
        return replace(self, message=(self.message or "")[:BRIEF], details=None)

    def outcome(
        self, command: CommandMessage, aggregate: Aggregate, result: dict[str, Any] | None, last: str = ""
    ) -> Outcome:
        """Return the outcome, the same as the first time; `last` is the time of the aggregate's last event."""
        return Outcome(  # by position: names cost as much again
            self.command_id,
            self.command_type,
            aggregate,
            command.key,
            "rejected" if self.code else "accepted",
            max(command.moment, last),
            command.correlation_id,
            self.version,
            self._events(aggregate, command.key),
            self.code,
            self.message,
            self.details,
            self.retryable,
            result,
            command.source,
            command.producer_time,
            self.digest,
        )

    def _events(self, aggregate: Aggregate, aggregate_id: str) -> tuple[dict[str, Any], ...]:
        """Return the references to the events that the command caused."""
        references, sequence = [], self.version - len(self.events)
        for number, name in enumerate(self.events):
            sequence += 1
            identifier = (
                event_id(aggregate, aggregate_id, sequence)
                if self.by_sequence
                else older_event_id(aggregate_id, self.command_id, number)
            )
            references.append({"id": identifier, "type": name, "sequence": sequence})
        return tuple(references)


def older_event_id(aggregate_id: str, command_id: str, number: int) -> str:
    """Return the id of a command's event number `number` (from 0) before ids were derived from the sequence."""
    return derived_id(aggregate_id, command_id, number)


Recent = tuple[Answer, ...]


def remember(recent: Recent, answer: Answer, limit: int) -> Recent:
    """Return `recent` with `answer`, without the oldest beyond `limit`."""
    return (*recent, answer.brief())[-limit:] if limit else ()


def recall(recent: Recent, command: CommandMessage) -> Answer | None:
    """Return the answer to the command of the same source and id, if it is still kept."""
    for answer in recent:
        if answer.command_id == command.id and answer.source in (None, command.source):
            return answer
    return None


class StructCodec:
    """A table codec with one struct per kind of value: JSON without fields that have their default."""

    older: Mapping[bytes, bytes] = {}  # names that older code wrote → current names

    def __init__(self, *kinds: type) -> None:
        decoders: dict[type, Callable[[bytes], Any]] = {
            kind: msgspec.json.Decoder(kind).decode for kind in (Position, CustomerKey, Timer, *parked.KINDS, *kinds)
        }
        self._decoders = {**decoders, parked.Letter: parked.decoded}

    def kind(self, key: bytes) -> type:
        """Return the type of the value under `key`."""
        raise NotImplementedError

    def due(self, value: Any) -> str | None:
        """Return the earliest deadline of a value; None if it has none."""
        return None

    def encode(self, value: Any) -> bytes:
        """Return the changelog value."""
        return parked.encoded(value) if type(value) is parked.Letter else _encode(value)

    def decode(self, key: bytes, raw: bytes) -> Any:
        """Return the value in a changelog value."""
        kind = self.kind(key) if key[:1] != b"/" else _our_kind(key)
        for before, now in self.older.items():
            if before in raw:  # quotes within text are escaped, so this is the name of a field
                raw = raw.replace(before, now)
        return known_in(raw, kind, self._decoders[kind])


def _our_kind(key: bytes) -> type:
    """Return the type of the value under a key that begins with `/`."""
    return parked.kind(key) or personal.kind(key) or timers.kind(key) or Position
