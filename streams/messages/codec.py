"""Turns bytes into messages: checks commands, and reads older versions of events.

A command as our own code sends it is decoded and checked by msgspec in one pass. Other commands take a slower path,
which derives omitted attributes, accepts other spellings, and names each invalid field.
"""

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache, lru_cache
from hashlib import blake2b
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, MsgspecError, Raw, Struct
from pydantic import TypeAdapter, ValidationError

from domain import inventory, orders
from domain.ids import confusable
from domain.message import MAX_ID, MAX_VERSION, Command, Event, Id, State, instant
from streams.messages.cloudevents import OURS, USUAL, Headers, checked, envelope_of, json_object
from streams.messages.cloudevents import BadMessage as BadMessage
from streams.messages.envelope import Aggregate, CommandMessage, EventMessage, derived_id, instant_of
from streams.messages.expected import Expected, expected_of
from streams.messages.models import model_of, translated
from streams.messages.strict import field_errors, fields_at, read_command
from streams.messages.tolerant import known_in

Upcaster = Callable[[dict[str, Any]], dict[str, Any]]
ORDER_COMMANDS: Mapping[str, type[Command]] = orders.COMMANDS
INVENTORY_COMMANDS: Mapping[str, type[Command]] = inventory.COMMANDS
EVENTS: Mapping[str, type[Event]] = {**orders.EVENTS, **inventory.EVENTS}
MAX_PRINCIPAL = 300  # characters
_ID: TypeAdapter[str] = TypeAdapter(translated(Id))


class RecordAt(State):
    """The coordinates of a record, when Kafka received it (Unix seconds), and its key."""

    topic: str
    partition: int
    offset: int
    timestamp: float
    key: bytes | None


def decode_command(
    value: bytes | None, at: RecordAt, types: Mapping[str, type[Command]], id_field: str, headers: Headers = ()
) -> CommandMessage:
    """Return the command of a record; raise `BadMessage` if it is not a valid command.

    Only `type` and `data` are required. A missing id is derived from the position, a missing time is Kafka's. The
    aggregate's id is the Kafka key, or `data[id_field]`, or the subject; if there are several, they must be the same.
    """
    if value is not None and (not headers or headers == OURS):
        try:
            if (command := _usual(value, at, types)) is not None:
                return command
        except (MsgspecError, ValueError, RecursionError):
            pass  # the slower path explains the error, or accepts the command
    return _explained(value, at, types, id_field, headers)


class _Usual(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """The envelope of a command as our own code sends it, in any order."""

    id: Id
    type: str
    subject: Id
    data: Raw
    specversion: Literal["1.0"] = "1.0"
    source: str | None = None
    time: str | None = None
    correlationid: Id | None = None
    causationid: Id | None = None
    expectedversion: int | str | None = None
    principal: Annotated[str, Meta(min_length=1, max_length=MAX_PRINCIPAL)] | None = None
    validuntil: str | None = None


_time_in = lru_cache(maxsize=1_000)(instant)  # commands that events cause share the time of their transaction
_decode_usual = msgspec.json.Decoder(_Usual).decode
# Control characters, which most texts must not contain, and escapes, which may hide them. The whole message is searched
# at once, because they are rare.
_UNUSUAL = re.compile(rb'\\[^"\\/]|\x7f|\xc2[\x80-\x9f]|\xe2\x80[\xa8\xa9]')

_ZIPCODE, _ZIP_CODE = b'"zipcode":', b'"zipCode":'  # the name that clients of the previous system use, and ours


def usually_spelled(value: bytes) -> bytes:
    """Return JSON with our name for postal codes; raise ValueError if it has escapes or control characters.

    msgspec's decoders check neither those nor other names, so anything else must be read by the structs' models.
    """
    is_plain = value.isascii() and b"\\" not in value and b"\x7f" not in value  # ten times as fast as the expression
    if not is_plain and _UNUSUAL.search(value) is not None:
        raise ValueError("the message has escapes or control characters")
    if _ZIPCODE in value and _ZIP_CODE not in value:
        return value.replace(_ZIPCODE, _ZIP_CODE)
    return value


def _usual(value: bytes, at: RecordAt, types: Mapping[str, type[Command]]) -> CommandMessage | None:
    """Return the command in `value` if it looks as our own code sends it; if not, raise an error or return None."""
    sent = _decode_usual(usually_spelled(value))
    kind, identifier, expected = types.get(sent.type), sent.id, sent.expectedversion
    if kind is None or sent.subject.encode() != at.key:
        return None
    if not (identifier.isascii() and identifier[0].isalnum() and identifier[-1] != " "):
        return None
    if expected is not None and (expected := expected_of(expected)) is None:
        return None
    received = instant_of(at.timestamp)
    return CommandMessage(  # by position: names cost as much again
        identifier,
        sent.subject,
        orders.identified(_decoder(kind)(sent.data), identifier),  # type: ignore[arg-type]  # leaves those of stock
        received if sent.time is None else _time_in(sent.time),
        _short_source(sent.source),
        sent.correlationid or identifier,
        sent.causationid,
        expected,
        received,
        sent.principal,
        None if sent.validuntil is None else _time_in(sent.validuntil),
    )


@cache
def _decoder(kind: type[Any]) -> Callable[[Any], Any]:
    return msgspec.json.Decoder(kind).decode


def _explained(
    value: bytes | None, at: RecordAt, types: Mapping[str, type[Command]], id_field: str, headers: Headers
) -> CommandMessage:
    envelope = envelope_of(value, headers)
    name = envelope.get("type")
    if not isinstance(name, str) or (kind := types.get(name)) is None:
        taken = ", ".join(types)
        raise BadMessage("UNKNOWN_TYPE", f"unknown command type {name!r:.{MAX_ID}}: this topic takes {taken}", envelope)
    if not USUAL.issuperset(envelope):
        envelope = checked(envelope, (id_field, *fields_at(model_of(kind))))
    if (data := envelope.get("data")) is None:
        data = _no_data(kind, envelope)
    if not isinstance(data, dict):
        raise BadMessage("INVALID_MESSAGE", "data must be a JSON object", envelope, data="must be an object")
    identifier = _identifier(envelope.get("id"), envelope) or derived_id(at.topic, at.partition, at.offset)
    if not (identifier.isascii() and identifier[0].isalnum() and identifier[-1] != " "):
        _refuse_confusable(identifier, envelope)
    try:
        command = read_command(kind, _without(id_field, data) if id_field in data else data)
    except ValidationError as error:
        raise invalid(kind, error, envelope) from error
    correlation, received = envelope.get("correlationid"), instant_of(at.timestamp)
    return CommandMessage(  # by position: names cost as much again
        identifier,
        _key(at.key, data, id_field, envelope),
        orders.identified(command, identifier),  # type: ignore[arg-type]  # leaves those of stock as they are
        received if envelope.get("time") is None else _time("time", envelope),
        _source(envelope),
        identifier if correlation == identifier else _identifier(correlation, envelope) or identifier,
        _identifier(envelope.get("causationid"), envelope),
        None if (version := envelope.get("expectedversion")) is None else _version(version, envelope),
        received,
        _principal(envelope.get("principal")),
        None if envelope.get("validuntil") is None else _time("validuntil", envelope),
    )


def _principal(said: Any) -> str | None:
    """Return the principal that an envelope names; other values are some producer's own extension, and ignored."""
    is_name = isinstance(said, str) and 0 < len(said) <= MAX_PRINCIPAL and said.isprintable()
    return said if is_name else None


def aggregate_of(command: Command) -> Aggregate:
    """Return the kind of aggregate that takes `command`."""
    return "order" if type(command).__name__ in ORDER_COMMANDS else "inventory"


def _source(envelope: Mapping[str, Any]) -> str:
    if isinstance(envelope.get("source", ""), str | None):
        return source_of(envelope)
    raise BadMessage("INVALID_MESSAGE", "source must be a string", envelope, source="must be a string")


def source_of(envelope: Mapping[str, Any]) -> str:
    """Return the source of a command; source and id identify a command. Commands without a source share one.

    A long source is shortened and ends in a digest, because URIs that begin alike are different sources.
    """
    given = envelope.get("source")
    return _short_source(given if isinstance(given, str) else None)


def _short_source(given: str | None) -> str:
    if not given:
        return "kafka"
    if len(given) <= MAX_ID:
        return given
    digest = blake2b(given.encode(), digest_size=16).hexdigest()
    return f"{given[: MAX_ID - len(digest) - 1]}~{digest}"


def _no_data(kind: type[Command], envelope: Mapping[str, Any]) -> dict[str, Any]:
    """Return the data of a command that has no `data`; one that always had fields must contain at least `{}`."""
    if (fields := fields_at(model_of(kind))) and not kind.may_lack_data:
        sentence = f"data is missing; send an object of {', '.join(fields)}, or {{}} for none of them"
        raise BadMessage("INVALID_MESSAGE", sentence, envelope, data="is missing")
    return {}


def _without(name: str, data: Mapping[str, Any]) -> dict[str, Any]:
    return {each: value for each, value in data.items() if each != name}


def invalid(kind: type[Command], error: ValidationError, envelope: Mapping[str, Any] | None = None) -> BadMessage:
    """Return the error for a command's data, with one sentence per field."""
    name, fields = kind.__name__, field_errors(error, model_of(kind))
    code = "INVALID_ORDER" if name == "PlaceOrder" else "INVALID_COMMAND"
    if name != "PlaceOrder" and any(path.split(".")[-1] in {"quantity", "delta"} for path in fields):
        code = "INVALID_QUANTITY"
    first = "; ".join(f"{path}: {sentence}" for path, sentence in list(fields.items())[:3])
    return BadMessage(code, f"{name}: {first}", envelope, **fields)


def _identifier(value: Any, envelope: Mapping[str, Any]) -> str | None:
    if value is None or (type(value) is str and 0 < len(value) <= MAX_ID and value.isprintable()):
        return value  # printable text has no control characters; other text may be valid, too
    try:
        return _ID.validate_python(value)
    except ValidationError:
        sentence = f"ids are strings of 1 to {MAX_ID} characters without control characters"
        raise BadMessage("INVALID_MESSAGE", sentence, envelope) from None


def _refuse_confusable(identifier: str, envelope: Mapping[str, Any]) -> None:
    """Refuse a command whose outcome could not be found under its id."""
    if (reason := confusable(identifier)) is not None:
        raise BadMessage("INVALID_MESSAGE", f"id: {reason}", envelope, id=reason)


def names_order(envelope: Mapping[str, Any]) -> bool:
    """Return whether an envelope contains the order's id; the edge makes the id of a new order without one."""
    data = envelope.get("data")
    in_data = data.get("orderId") if isinstance(data, dict) else envelope.get("data_base64")
    return in_data is not None or envelope.get("subject") is not None


# The field whose value a producer may have used as the key by mistake: an order never has its customer's id. Other
# commands, such as those about a customer, may have it.
TO_AGGREGATES = ORDER_COMMANDS.keys() | INVENTORY_COMMANDS.keys()
MISTAKEN = {"orderId": "customerId", "productId": "orderId"}


def _key(key: bytes | None, data: Mapping[str, Any], id_field: str, envelope: Mapping[str, Any]) -> str:
    """Return the aggregate's id, which the key, the data and the subject may contain."""
    subject, in_data = envelope.get("subject"), data.get(id_field)
    try:
        given = key.decode() if key else None
    except UnicodeDecodeError as error:
        raise BadMessage("MISSING_KEY", "the Kafka key must be the aggregate's id in UTF-8", envelope) from error
    if given is not None and given == subject and in_data is None:
        return _identifier(given, envelope) or ""  # as in all commands that our own code sends
    said = {"the Kafka key": given, "subject": subject, f"data.{id_field}": in_data}
    said = {place: _identifier(value, envelope) for place, value in said.items() if value is not None}
    if not said:
        raise BadMessage("MISSING_KEY", "the Kafka key must be the aggregate's id", envelope)
    if len(set(said.values())) > 1:
        sentence = " and ".join(f"{place} is {value!r}" for place, value in said.items())
        raise BadMessage("INVALID_MESSAGE", f"{sentence}; they must be the same", envelope, **{id_field: sentence})
    other = MISTAKEN[id_field] if envelope["type"] in TO_AGGREGATES else None
    if len(said) == 1 and given is not None and other is not None and data.get(other) == given:
        sentence = f"the Kafka key is {given!r}, and data.{other} is {given!r} too"
        hint = f"key it by {id_field}, or say that it is {id_field} in subject"
        raise BadMessage("INVALID_MESSAGE", f"{sentence}: {hint}", envelope, **{id_field: sentence})
    return said.popitem()[1] or ""


def _time(name: str, envelope: Mapping[str, Any]) -> str:
    try:
        return instant(envelope[name])
    except ValueError as error:
        raise BadMessage("INVALID_MESSAGE", f"{name}: {error}", envelope) from error


def _version(version: Any, envelope: Mapping[str, Any]) -> Expected:
    if (expected := expected_of(version)) is not None:
        return expected
    sentence = f'expectedversion must be a whole number up to {MAX_VERSION}, several as in "3, 4", or "*"'
    raise BadMessage("INVALID_MESSAGE", sentence, envelope)


@dataclass
class Upcasters:
    """The functions that turn a version of an event's data into the next one, by (type, version)."""

    steps: dict[tuple[str, int], Upcaster] = field(default_factory=dict)

    def register(self, name: str, version: int) -> Callable[[Upcaster], Upcaster]:
        """Register a function that turns `version` of an event's data into the next."""

        def add(step: Upcaster) -> Upcaster:
            if (name, version) in self.steps:
                raise ValueError(f"two upcasters for {name} version {version}")
            self.steps[name, version] = step
            return step

        return add

    def check(self, events: Mapping[str, type[Event]]) -> None:
        """Raise `ValueError` if a version cannot be turned into the current one: the worker must not start."""
        for name, version in self.steps:
            if name not in events:
                raise ValueError(f"an upcaster for {name}, which is not an event")
            if version >= events[name].schema_version:
                raise ValueError(f"an upcaster for {name} version {version}, which is not older than today's")
        for name, event in events.items():
            missing = [v for v in range(1, event.schema_version) if (name, v) not in self.steps]
            if missing:
                raise ValueError(f"no upcaster for {name} version {missing[0]}: events of it could not be read")

    def upcast(self, name: str, version: int, data: dict[str, Any]) -> dict[str, Any]:
        """Return `data` of `version` as the current version."""
        for older in range(version, EVENTS[name].schema_version):
            data = self.steps[name, older](data)
        return data


UPCASTERS = Upcasters()
REFUSED_BY_STOCK = frozenset({"OUT_OF_STOCK", "PRODUCT_NOT_FOUND", "PRODUCT_DISCONTINUED"})


@UPCASTERS.register("OrderCancelled", 1)
def _with_cause(data: dict[str, Any]) -> dict[str, Any]:
    """Version 2 contains the cause of a cancellation; for version 1 it follows from the reasons that stock gives."""
    return {**data, "cause": "STOCK" if data["reason"] in REFUSED_BY_STOCK else "REQUEST"}


class _OfEvent(Struct, frozen=True, gc=False):
    """The envelope of an event."""

    id: str
    type: str
    source: str
    subject: str
    time: str
    correlationid: str
    causationid: str
    sequence: int
    data: Raw
    schemaversion: int = 1
    producertime: str | None = None
    principal: str | None = None


_decode_envelope = msgspec.json.Decoder(_OfEvent).decode


def decode_event(value: bytes) -> EventMessage:
    """Return the event in a Kafka value; raise `BadMessage` if it is newer than this code, or not our event."""
    try:
        envelope = _decode_envelope(value)
    except MsgspecError:
        _refuse_unknown(value)
        raise
    name, version, data = envelope.type, envelope.schemaversion, envelope.data
    if (kind := EVENTS.get(name)) is None or version > kind.schema_version:
        raise _unknown_event(name, version)
    if version < kind.schema_version:
        data = Raw(msgspec.json.encode(UPCASTERS.upcast(name, version, msgspec.json.decode(data))))
    return EventMessage(  # by position: names cost as much again
        envelope.id,
        envelope.subject,
        known_in(data, kind, _decoder(kind)),
        envelope.sequence,
        envelope.time,
        envelope.source,
        envelope.correlationid,
        envelope.causationid,
        envelope.producertime,
        envelope.principal,
    )


def _refuse_unknown(value: bytes) -> None:
    """Raise `BadMessage` if the envelope is not that of a known event."""
    envelope = json_object(value)
    name, version = envelope.get("type"), envelope.get("schemaversion", 1)
    kind = EVENTS.get(name) if isinstance(name, str) else None
    if kind is None or version > kind.schema_version:
        raise _unknown_event(name, version)


def _unknown_event(name: object, version: object) -> BadMessage:
    sentence = f"event {name} version {version} is not known here: deploy newer code"
    return BadMessage("UNKNOWN_EVENT", sentence, {"type": name, "schemaversion": version})


def event_in(value: bytes | None) -> EventMessage | None:
    """Return the event in a Kafka value; None if it is not an event, at which the projector stops."""
    with suppress(Exception):  # invalid bytes raise various errors
        return decode_event(value or b"")
    return None


UPCASTERS.check(EVENTS)  # a worker that could not read its own log must not start
