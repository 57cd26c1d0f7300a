"""The envelope: each message is a CloudEvents 1.0 JSON object in structured mode (https://cloudevents.io)."""

from datetime import UTC, datetime
from functools import cache, lru_cache
from hashlib import blake2b
from typing import Any, Literal, TypeVar

import msgspec
import orjson
import uuid_utils
from msgspec import UNSET, Struct, UnsetType

from domain.message import Command, Event, State
from domain.orders.commands import as_first_written
from streams.messages.expected import Expected

CONTENT_TYPE: list[tuple[str, bytes]] = [("content-type", b"application/cloudevents+json")]
NAMESPACE = uuid_utils.UUID("6f1dd2ca-9d4c-5f0e-8a53-0e4b8d3c7a11")  # the namespace of ids derived from parts
EVENT_IDS = uuid_utils.UUID("b1b5f2a4-2f0e-5d7c-9c39-6d1a1f7f2e60")
OUTCOME_IDS = uuid_utils.UUID("d08a6a0c-6f5b-5f0b-8a43-0f6e1cf2b7a4")
Aggregate = Literal["order", "inventory"]
T = TypeVar("T")
VERSION = "1.0"  # the version of CloudEvents
LAST_SECOND = 253_402_300_799  # the end of the year 9999 in Unix time


def new_id() -> str:
    """Return a new UUIDv7, so that ids sort by their time."""
    return str(uuid_utils.uuid7())


def derived_id(*parts: object) -> str:
    """Return the UUIDv5 of `parts`: the same parts give the same id on every machine.

    The parts are joined with `/`, so only the first part may contain a `/`.
    """
    return str(uuid_utils.uuid5(NAMESPACE, "/".join(map(str, parts))))


def event_id(aggregate: Aggregate, aggregate_id: str, sequence: int) -> str:
    """Return the id of an aggregate's event; the aggregate's id is last in it, because it may contain any character."""
    return str(uuid_utils.uuid5(EVENT_IDS, f"{aggregate}/{sequence}/{aggregate_id}"))


def sibling_id(identifier: str, number: int) -> str:
    """Return the UUIDv7 that the two arguments determine, with the time of the UUIDv7 `identifier`."""
    time = uuid_utils.UUID(identifier).int >> 80 << 80
    rest = uuid_utils.UUID(derived_id(identifier, "sibling", number)).int & ((1 << 76) - 1) & ~(3 << 62)
    return str(uuid_utils.UUID(int=time | 7 << 76 | rest | 2 << 62))


@lru_cache(maxsize=1_000)  # the broker gives all records of a batch one time
def instant_of(seconds: float) -> str:
    """Return a Unix time as UTC with milliseconds, `2026-11-23T10:00:00.000Z`."""
    kept = min(max(seconds, 0), LAST_SECOND)  # a producer may give its records any time
    return datetime.fromtimestamp(kept, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def now() -> str:
    """Return the current time; messages get theirs only here."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


_encode = msgspec.json.Encoder().encode


class CommandMessage(State):
    """A command with its envelope."""

    id: str
    key: str  # the aggregate's id
    command: Command
    time: str  # by its producer's clock
    source: str
    correlation_id: str
    causation_id: str | None = None
    expected_version: Expected | None = None
    received: str | None = (
        None  # when Kafka received it, by the broker's clock; None if it has not been read from Kafka
    )
    principal: str | None = None  # the client that sent it; only HTTP and the command line fill it in
    valid_until: str | None = None  # the aggregate refuses it from then on

    @property
    def moment(self) -> str:
        """When it arrived, by the broker's clock if that is known."""
        return self.received or self.time

    @property
    def producer_time(self) -> str | None:
        """The time its producer gave; None if there is only the broker's."""
        return None if self.time == self.received else self.time

    @property
    def type(self) -> str:
        """The command's name on the wire."""
        return type(self.command).__name__

    def digest(self) -> str:
        """Return a hash of the command's content: its type, its data without defaults, and the expected version.

        It is stored with the answer, so it must never change: a field that is added later with a default does not
        change it, and the order of the fields must stay the same. It does not include `valid_until`, because a client
        may repeat a command with more time.
        """
        data = _encode(_without_defaults(as_first_written(self.command, self.id)))
        asked = b"%b %b %b" % (self.type.encode(), str(self.expected_version).encode(), data)
        return blake2b(asked, digest_size=8).hexdigest()

    def encode(self) -> bytes:
        """Return the Kafka value."""
        time = self.producer_time
        return _encode(
            _CommandOnWire(
                VERSION,
                self.id,
                self.type,
                self.source,
                self.key,
                self.correlation_id,
                UNSET if time is None else time,
                UNSET if self.causation_id is None else self.causation_id,
                UNSET if self.expected_version is None else self.expected_version,
                UNSET if self.principal is None else self.principal,
                UNSET if self.valid_until is None else self.valid_until,
                as_first_written(self.command, self.id),
            )
        )


class _CommandOnWire(Struct, gc=False):
    """A command's envelope, in the order in which it is written."""

    specversion: str
    id: str
    type: str
    source: str
    subject: str
    correlationid: str
    time: str | UnsetType
    causationid: str | UnsetType
    expectedversion: Expected | UnsetType
    principal: str | UnsetType
    validuntil: str | UnsetType
    data: Command


def _without_defaults(value: Any) -> Any:
    """Return a command as JSON's objects and arrays, without fields that have their default."""
    if isinstance(value, tuple):
        return [_without_defaults(each) for each in value]
    if not isinstance(value, Struct):
        return value
    found = {}
    for name, on_wire, default in _defaults(type(value)):
        if (field := getattr(value, name)) != default:
            found[on_wire] = _without_defaults(field)
    return found


@cache
def _defaults(kind: type[Struct]) -> list[tuple[str, str, Any]]:
    """Return the name, the name on the wire and the default of each field of a struct."""
    return [
        (each.name, each.encode_name, each.default_factory() if callable(each.default_factory) else each.default)
        for each in msgspec.structs.fields(kind)
    ]


class EventMessage(State):
    """An event as it is in the log; `sequence` is the aggregate's version after it: 1, 2, 3 …"""

    id: str
    key: str  # the aggregate's id
    event: Event
    sequence: int
    time: str  # when Kafka received its command, and never before the aggregate's last event
    source: str
    correlation_id: str
    causation_id: str  # the command's id
    producer_time: str | None = (
        None  # the time that the command's producer gave; None if it gave none, or older code wrote the event
    )
    principal: str | None = None  # the client that sent the command, if the command names it

    @property
    def type(self) -> str:
        """The event's name on the wire."""
        return type(self.event).__name__

    def document(self) -> dict[str, Any]:
        """Return the event's data as it is on the wire."""
        return msgspec.json.decode(_encode(self.event))  # type: ignore[no-any-return]

    def encode(self) -> bytes:
        """Return the Kafka value."""
        return _encode(
            _EventOnWire(
                VERSION,
                self.id,
                self.type,
                self.source,
                self.key,
                self.time,
                self.correlation_id,
                self.causation_id,
                self.sequence,
                self.event.schema_version,
                UNSET if self.producer_time is None else self.producer_time,
                UNSET if self.principal is None else self.principal,
                self.event,
            )
        )


class _EventOnWire(Struct, gc=False):
    """An event's envelope, in the order in which it is written."""

    specversion: str
    id: str
    type: str
    source: str
    subject: str
    time: str
    correlationid: str
    causationid: str
    sequence: int
    schemaversion: int
    producertime: str | UnsetType
    principal: str | UnsetType
    data: Event


_TYPE_FOLLOWS = b'","type":"'
_BEFORE_TYPE = len('{"specversion":"1.0","id":"') + 36  # an event's envelope, as we write it, up to the end of its UUID
_TYPE = slice(_BEFORE_TYPE, _BEFORE_TYPE + len(_TYPE_FOLLOWS))


def type_of(value: bytes) -> str | None:
    """Return the type of an event without decoding it; None if our code did not encode the event."""
    if value[_TYPE] != _TYPE_FOLLOWS:
        return None
    return value[_TYPE.stop : value.find(b'"', _TYPE.stop)].decode(errors="replace")


class Outcome(State):
    """The outcome of a command. `result` is a summary of the aggregate afterwards, for clients that wait."""

    command_id: str
    command_type: str  # empty if a refused message has none
    aggregate: Aggregate
    aggregate_id: str
    status: Literal["accepted", "rejected"]
    time: str
    correlation_id: str
    version: int = 0  # the aggregate's, afterwards
    events: tuple[dict[str, Any], ...] = ()  # {"id", "type", "sequence"} of each event caused
    code: str | None = None
    message: str | None = None
    details: dict[str, Any] | None = None
    retryable: bool = False
    result: dict[str, Any] | None = None
    command_source: str | None = (
        None  # identifies the command, together with its id; None if older code wrote the outcome
    )
    producer_time: str | None = None  # the time that the command's producer gave
    command_digest: str | None = None  # the digest of the command's content, if the aggregate keeps it

    @property
    def id(self) -> str:
        """The outcome's own id: the same for a repeated answer, a different one for every other answer."""
        whose = [self.aggregate, self.aggregate_id, self.command_source, self.command_id]
        said = orjson.dumps([*whose, self.command_type, self.version, self.code])
        return str(uuid_utils.uuid5(OUTCOME_IDS, said.decode()))

    def answers(self, command: CommandMessage) -> bool:
        """Return whether it answers `command`; other sources may use the same id, also for other aggregates."""
        return (
            self.command_id == command.id
            and self.aggregate_id == command.key
            and self.command_type == command.type
            and self.command_source in (None, command.source)
        )

    def encode(self) -> bytes:
        """Return the Kafka value."""
        rejected = self.status == "rejected"
        data = _Answer(
            self.command_id,
            self.command_type,
            self.aggregate,
            self.aggregate_id,
            self.status,
            self.version,
            self.events,
            UNSET if self.command_source is None else self.command_source,
            UNSET if self.command_digest is None else self.command_digest,
            UNSET if self.result is None else self.result,
            self.code if rejected else UNSET,
            self.message if rejected else UNSET,
            (self.details or {}) if rejected else self.details or UNSET,
            self.retryable if rejected else UNSET,
        )
        return _encode(
            _OutcomeOnWire(
                VERSION,
                self.id,
                "CommandRejected" if rejected else "CommandAccepted",
                self.aggregate,
                self.aggregate_id,
                self.time,
                self.correlation_id,
                self.command_id,
                UNSET if self.producer_time is None else self.producer_time,
                data,
            )
        )

    @classmethod
    def decode(cls, value: bytes) -> "Outcome":
        """Return the outcome in a Kafka value that our code wrote."""
        envelope = _decode_outcome(value)
        data = envelope.data
        return cls(
            data.command_id,
            data.command_type,
            data.aggregate,
            data.aggregate_id,
            data.status,
            envelope.time,
            envelope.correlationid,
            data.version,
            data.events,
            _or_none(data.code),
            _or_none(data.message),
            _or_none(data.details),
            data.retryable is True,
            _or_none(data.result),
            _or_none(data.command_source),
            envelope.producertime,
            _or_none(data.command_digest),
        )


def _or_none(value: T | UnsetType) -> T | None:
    return None if value is UNSET else value


class _Answer(Struct, gc=False, rename="camel"):
    """An outcome's data, in the order in which it is written."""

    command_id: str
    command_type: str
    aggregate: Aggregate
    aggregate_id: str
    status: Literal["accepted", "rejected"]
    version: int
    events: tuple[dict[str, Any], ...]
    command_source: str | UnsetType | None = UNSET
    command_digest: str | UnsetType | None = UNSET
    result: dict[str, Any] | UnsetType | None = UNSET
    code: str | UnsetType | None = UNSET
    message: str | UnsetType | None = UNSET
    details: dict[str, Any] | UnsetType | None = UNSET
    retryable: bool | UnsetType = UNSET


class _OutcomeOnWire(Struct, gc=False):
    """An outcome's envelope, in the order in which it is written."""

    specversion: str
    id: str
    type: str
    source: str
    subject: str
    time: str
    correlationid: str
    causationid: str
    producertime: str | UnsetType
    data: _Answer


class _ReadOutcome(Struct, gc=False):
    """The attributes that are read of an outcome's envelope."""

    time: str
    correlationid: str
    data: _Answer
    producertime: str | None = None


_decode_outcome = msgspec.json.Decoder(_ReadOutcome).decode
