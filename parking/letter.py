"""Dead letters: the records about messages that could not be handled, and the commands about letters."""

import base64
from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

import orjson
from msgspec import Meta

from domain.message import MAX_VERSION, Command, Id, State, Text, written
from streams.kafka.unreadable import RAW
from streams.messages.envelope import Aggregate, derived_id

# invalid: refused for good · parked: waits for a retry · retried, discarded: no longer parked · skipped: a record that
# an operator told a worker or a projector to skip
LetterKind = Literal["invalid", "parked", "retried", "discarded", "skipped"]
KINDS: tuple[LetterKind, ...] = get_args(LetterKind)
Headers = tuple[tuple[str, bytes | None], ...]


class RetryLetters(Command):
    """Handle an aggregate's parked commands, from the first to the first that fails again.

    `handled` is the number handled so far, when one transaction was not enough for all of them.
    """

    handled: Annotated[int, Meta(ge=0, le=MAX_VERSION)] = written(0)


class DiscardLetter(Command):
    """Discard one parked command; the reason is recorded and sent to the command's sender."""

    command_id: Id
    reason: Text


_NEEDED = (("kind", str), ("topic", str), ("partition", int), ("offset", int), ("code", str), ("message", str))
_TEXTS = ("traceback", "aggregate", "aggregateId", "commandId", "commandType", "reason", "role", "principal")

LETTER_COMMANDS: Mapping[str, type[Command]] = {each.__name__: each for each in (RetryLetters, DiscardLetter)}


class DeadLetter(State):
    """A message that could not be handled: its place, its contents, why, and what an operator did about it."""

    kind: LetterKind
    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    code: str
    message: str
    time: str  # when Kafka received the message, or the operator's command about it
    traceback: str | None = None
    aggregate: Aggregate | None = None
    aggregate_id: str | None = None
    command_id: str | None = None
    command_type: str | None = None
    attempts: int = 0  # 0: it waits behind a command that failed
    reason: str | None = None  # the operator's reason
    role: str | None = None  # the role that skips it
    principal: str | None = None  # the operator, for `retried`, `discarded` and `skipped`

    @property
    def data(self) -> dict[str, Any]:
        """The data of the record; bytes that are not UTF-8 are base64, in `…Base64`."""
        headers = [{**_name(name), **_text("value", value)} for name, value in self.headers]
        return {
            "kind": self.kind,
            "topic": self.topic,
            "partition": self.partition,
            "offset": self.offset,
            "code": self.code,
            "message": self.message,
            **_text("key", self.key),
            **_text("value", self.value),
            "headers": headers,
            **{name: value for name, value in self._optional.items() if value},
        }

    @property
    def _optional(self) -> dict[str, Any]:
        return {
            "traceback": self.traceback,
            "aggregate": self.aggregate,
            "aggregateId": self.aggregate_id,
            "commandId": self.command_id,
            "commandType": self.command_type,
            "attempts": self.attempts,
            "reason": self.reason,
            "role": self.role,
            "principal": self.principal,
        }

    def encode(self) -> bytes:
        """Return the Kafka value."""
        again = (
            () if self.kind in ("invalid", "parked") and not self.attempts else (self.kind, self.attempts, self.time)
        )
        return orjson.dumps(
            {
                "specversion": "1.0",
                "id": derived_id(self.topic, self.partition, self.offset, "dead-letter", *again),
                "type": "DeadLetter",
                "source": self.topic,
                "time": self.time,
                "data": self.data,
            }
        )

    @classmethod
    def decode(cls, value: bytes) -> "DeadLetter":
        """Return the dead letter in a Kafka value; raise `ValueError`, `KeyError` or `TypeError` if it is not one."""
        envelope = orjson.loads(value)
        data = envelope["data"]
        if not all(isinstance(data[name], kind) for name, kind in _NEEDED) or not isinstance(envelope["time"], str):
            raise TypeError("not a dead letter")
        if not all(isinstance(data.get(name), str | None) for name in _TEXTS):
            raise TypeError("not a dead letter")
        return cls(
            kind=data["kind"],
            topic=data["topic"],
            partition=data["partition"],
            offset=data["offset"],
            key=_bytes("key", data),
            value=_bytes("value", data),
            headers=tuple((_name_of(header), _bytes("value", header)) for header in data["headers"]),
            code=data["code"],
            message=data["message"],
            time=envelope["time"],
            traceback=data.get("traceback"),
            aggregate=data.get("aggregate"),
            aggregate_id=data.get("aggregateId"),
            command_id=data.get("commandId"),
            command_type=data.get("commandType"),
            attempts=data.get("attempts", 0),
            reason=data.get("reason"),
            role=data.get("role"),
            principal=data.get("principal"),
        )


def letter_in(value: bytes | None) -> DeadLetter | None:
    """Return the dead letter in a Kafka value; None if it is not one."""
    try:
        return DeadLetter.decode(value or b"")
    except (ValueError, KeyError, TypeError):
        return None


def skip_key(role: str, topic: str, partition: int, offset: int) -> bytes:
    """Return the key of the record that makes `role` skip an event."""
    return f"{role}/{topic}/{partition}@{offset}".encode()


def _text(name: str, value: bytes | None) -> dict[str, str | None]:
    try:
        return {name: None if value is None else value.decode()}
    except UnicodeDecodeError:
        return {f"{name}Base64": base64.b64encode(value or b"").decode()}


def _name(name: str) -> dict[str, str]:
    """Return a header's name; if it is not UTF-8, the part that can be shown and its bytes."""
    raw = name.encode(*RAW)
    try:
        return {"name": raw.decode()}
    except UnicodeDecodeError:
        return {"name": raw.decode(errors="replace"), "nameBase64": base64.b64encode(raw).decode()}


def _name_of(header: Mapping[str, str]) -> str:
    name, encoded = str(header["name"]), header.get("nameBase64")
    return name if encoded is None else base64.b64decode(encoded).decode(*RAW)


def _bytes(name: str, data: Mapping[str, Any]) -> bytes | None:
    if (encoded := data.get(f"{name}Base64")) is not None:
        return base64.b64decode(encoded)
    text = data.get(name)
    return None if text is None else str(text).encode()
