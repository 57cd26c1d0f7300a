"""Bytes to models: what a message must look like, and how older events are read."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from pydantic import TypeAdapter, ValidationError

from domain import inventory, orders
from domain.frozen import frozen
from domain.ids import confusable
from domain.message import MAX_ID, MAX_VERSION, Command, Event, Id, instant
from streams.messages.cloudevents import USUAL, Headers, checked, envelope_of, json_object
from streams.messages.cloudevents import BadMessage as BadMessage
from streams.messages.envelope import Aggregate, CommandMessage, EventMessage, derived_id, instant_of
from streams.messages.expected import Expected, expected_of
from streams.messages.strict import field_errors, fields_at, read

Upcaster = Callable[[dict[str, Any]], dict[str, Any]]
ORDER_COMMANDS: Mapping[str, type[Command]] = orders.COMMANDS
INVENTORY_COMMANDS: Mapping[str, type[Command]] = inventory.COMMANDS
EVENTS: Mapping[str, type[Event]] = {**orders.EVENTS, **inventory.EVENTS}
_ID: TypeAdapter[str] = TypeAdapter(Id)


@frozen
class Position:
    """Where a record is, when Kafka got it (Unix seconds), and the key it was sent with."""

    topic: str
    partition: int
    offset: int
    timestamp: float
    key: bytes | None


def decode_command(
    value: bytes | None, at: Position, types: Mapping[str, type[Command]], id_field: str, headers: Headers = ()
) -> CommandMessage:
    """Return the command of a record; raise `BadMessage` when it is not a valid command.

    Only `type` and `data` are needed. A missing id is derived from the position, a missing time is Kafka's; the
    aggregate's id is the Kafka key, or `data[id_field]`, or the subject: where there are several, they are the same.
    """
    envelope = envelope_of(value, headers)
    name = envelope.get("type")
    if not isinstance(name, str) or (model := types.get(name)) is None:
        known = ", ".join(types)
        raise BadMessage("UNKNOWN_TYPE", f"unknown command type {name!r:.{MAX_ID}}: this topic takes {known}", envelope)
    if not USUAL.issuperset(envelope):
        envelope = checked(envelope, (id_field, *fields_at(model)))
    if (data := envelope.get("data")) is None:
        data = _no_data(model, envelope)
    if not isinstance(data, dict):
        raise BadMessage("INVALID_MESSAGE", "data must be a JSON object", envelope, data="must be an object")
    identifier = _identifier(envelope.get("id"), envelope) or derived_id(at.topic, at.partition, at.offset)
    if not (identifier.isascii() and identifier[0].isalnum() and identifier[-1] != " "):
        _refuse_confusable(identifier, envelope)
    try:
        command = read(model, _without(id_field, data) if id_field in data else data)
    except ValidationError as error:
        raise invalid(model, error, envelope) from error
    correlation, received = envelope.get("correlationid"), instant_of(at.timestamp)
    return CommandMessage(  # by position: names cost as much again
        identifier,
        _key(at.key, data, id_field, envelope),
        orders.identified(command, identifier),  # type: ignore[arg-type]  # leaves those of stock as they are
        received if envelope.get("time") is None else _time(envelope),
        _source(envelope),
        identifier if correlation == identifier else _identifier(correlation, envelope) or identifier,
        _identifier(envelope.get("causationid"), envelope),
        None if (version := envelope.get("expectedversion")) is None else _version(version, envelope),
        received,
    )


def aggregate_of(command: Command) -> Aggregate:
    """Return the kind of aggregate that takes `command`."""
    return "order" if type(command).__name__ in ORDER_COMMANDS else "inventory"


def _source(envelope: Mapping[str, Any]) -> str:
    if isinstance(envelope.get("source", ""), str | None):
        return source_of(envelope)
    raise BadMessage("INVALID_MESSAGE", "source must be a string", envelope, source="must be a string")


def source_of(envelope: Mapping[str, Any]) -> str:
    """Return the source of a command: with its id, its identity. Commands without one share a source.

    A long one ends in a digest, because URIs that begin alike are different sources.
    """
    given = envelope.get("source")
    if not isinstance(given, str) or not given:
        return "kafka"
    if len(given) <= MAX_ID:
        return given
    digest = blake2b(given.encode(), digest_size=16).hexdigest()
    return f"{given[: MAX_ID - len(digest) - 1]}~{digest}"


def _no_data(model: type[Command], envelope: Mapping[str, Any]) -> dict[str, Any]:
    """Return the data of a command without any; one that has fields must say `{}` when it means none of them."""
    if fields := fields_at(model):
        sentence = f"data is missing; send an object of {', '.join(fields)}, or {{}} for none of them"
        raise BadMessage("INVALID_MESSAGE", sentence, envelope, data="is missing")
    return {}


def _without(name: str, data: Mapping[str, Any]) -> dict[str, Any]:
    return {each: value for each, value in data.items() if each != name}


def invalid(model: type[Command], error: ValidationError, envelope: Mapping[str, Any] | None = None) -> BadMessage:
    """Return what is wrong with a command's data, a sentence a field."""
    name, fields = model.__name__, field_errors(error, model)
    code = "INVALID_ORDER" if name == "PlaceOrder" else "INVALID_COMMAND"
    if name != "PlaceOrder" and any(path.split(".")[-1] in {"quantity", "delta"} for path in fields):
        code = "INVALID_QUANTITY"
    first = "; ".join(f"{path}: {sentence}" for path, sentence in list(fields.items())[:3])
    return BadMessage(code, f"{name}: {first}", envelope, **fields)


def _identifier(value: Any, envelope: Mapping[str, Any]) -> str | None:
    if value is None or (type(value) is str and 0 < len(value) <= MAX_ID and value.isprintable()):
        return value  # what is printable has no control characters; what is not may be an id all the same
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
    """Return whether an envelope says which order it is about; a new order may leave its id to the edge."""
    data = envelope.get("data")
    in_data = data.get("orderId") if isinstance(data, dict) else envelope.get("data_base64")
    return in_data is not None or envelope.get("subject") is not None


# What a producer may have keyed a command by instead: an order never has its customer's id.
MISTAKEN = {"orderId": "customerId", "productId": "orderId"}


def _key(key: bytes | None, data: Mapping[str, Any], id_field: str, envelope: Mapping[str, Any]) -> str:
    """Return the aggregate's id, which the key, the data and the subject may all say."""
    subject, in_data = envelope.get("subject"), data.get(id_field)
    try:
        given = key.decode() if key else None
    except UnicodeDecodeError as error:
        raise BadMessage("MISSING_KEY", "the Kafka key must be the aggregate's id in UTF-8", envelope) from error
    if given is not None and given == subject and in_data is None:
        return _identifier(given, envelope) or ""  # as all commands of ours
    said = {"the Kafka key": given, "subject": subject, f"data.{id_field}": in_data}
    said = {place: _identifier(value, envelope) for place, value in said.items() if value is not None}
    if not said:
        raise BadMessage("MISSING_KEY", "the Kafka key must be the aggregate's id", envelope)
    if len(set(said.values())) > 1:
        sentence = " and ".join(f"{place} is {value!r}" for place, value in said.items())
        raise BadMessage("INVALID_MESSAGE", f"{sentence}; they must be the same", envelope, **{id_field: sentence})
    other = MISTAKEN[id_field]
    if len(said) == 1 and given is not None and data.get(other) == given:
        sentence = f"the Kafka key is {given!r}, and data.{other} is {given!r} too"
        hint = f"key it by {id_field}, or say that it is {id_field} in subject"
        raise BadMessage("INVALID_MESSAGE", f"{sentence}: {hint}", envelope, **{id_field: sentence})
    return said.popitem()[1] or ""


def _time(envelope: Mapping[str, Any]) -> str:
    try:
        return instant(envelope["time"])
    except ValueError as error:
        raise BadMessage("INVALID_MESSAGE", f"time: {error}", envelope) from error


def _version(version: Any, envelope: Mapping[str, Any]) -> Expected:
    if (expected := expected_of(version)) is not None:
        return expected
    sentence = f'expectedversion must be a whole number up to {MAX_VERSION}, several as in "3, 4", or "*"'
    raise BadMessage("INVALID_MESSAGE", sentence, envelope)


@dataclass
class Upcasters:
    """How older versions of an event's data become the next one: (type, version) → function."""

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
        """Raise `ValueError` when a version cannot reach today's: the worker must not start."""
        for name, version in self.steps:
            if name not in events:
                raise ValueError(f"an upcaster for {name}, which is no event")
            if version >= events[name].schema_version:
                raise ValueError(f"an upcaster for {name} version {version}, which is not older than today's")
        for name, event in events.items():
            missing = [v for v in range(1, event.schema_version) if (name, v) not in self.steps]
            if missing:
                raise ValueError(f"no upcaster for {name} version {missing[0]}: events of it could not be read")

    def upcast(self, name: str, version: int, data: dict[str, Any]) -> dict[str, Any]:
        """Return `data` of `version` as today's version has it."""
        for older in range(version, EVENTS[name].schema_version):
            data = self.steps[name, older](data)
        return data


UPCASTERS = Upcasters()
REFUSED_BY_STOCK = frozenset({"OUT_OF_STOCK", "PRODUCT_NOT_FOUND", "PRODUCT_DISCONTINUED"})


@UPCASTERS.register("OrderCancelled", 1)
def _with_cause(data: dict[str, Any]) -> dict[str, Any]:
    """Version 2 says who ended the order; of version 1, the reasons that stock gives are all there is to tell by."""
    return {**data, "cause": "STOCK" if data["reason"] in REFUSED_BY_STOCK else "REQUEST"}


@frozen
class Envelope:
    """An event's envelope, and its data as today's version has it; what the data says was not looked at yet."""

    fields: dict[str, Any]
    kind: type[Event]
    data: dict[str, Any]

    def message(self) -> EventMessage:
        """Return the event."""
        return _message(self.fields, self.kind, self.data)


def decode_event(value: bytes) -> EventMessage:
    """Return the event in a Kafka value of ours; `BadMessage` when it is of a newer version or another's."""
    return _message(*_opened(value))


def event_in(value: bytes | None) -> EventMessage | None:
    """Return the event in a Kafka value; None of what is no event: the projector stops at it."""
    with suppress(Exception):  # whatever is wrong with it
        return decode_event(value or b"")
    return None


def open_envelope(value: bytes) -> Envelope:
    """Return the envelope of an event in a Kafka value of ours; `BadMessage` as above."""
    return Envelope(*_opened(value))


def _opened(value: bytes) -> tuple[dict[str, Any], type[Event], dict[str, Any]]:
    envelope = json_object(value)
    name, version = envelope.get("type"), envelope.get("schemaversion", 1)
    model = EVENTS.get(name) if isinstance(name, str) else None
    if model is None or version > model.schema_version:
        raise BadMessage(
            "UNKNOWN_EVENT", f"event {name} version {version} is not known here: deploy newer code", envelope
        )
    data = envelope["data"]
    if version < model.schema_version:
        data = UPCASTERS.upcast(str(name), version, data)
    return envelope, model, data


def _message(fields: dict[str, Any], kind: type[Event], data: dict[str, Any]) -> EventMessage:
    return EventMessage(
        fields["id"],
        fields["subject"],
        kind.__pydantic_validator__.validate_python(data),  # what `model_validate` does, and half a µs
        fields["sequence"],
        fields["time"],
        fields["source"],
        fields["correlationid"],
        fields["causationid"],
        data,
        fields.get("producertime"),
    )


UPCASTERS.check(EVENTS)  # a worker that could not read its own log must not start
