"""Decode the records of each topic. `record.py` runs this file with the code of an older checkout; the test imports it.

Adapt `DECODERS` when a decoder moves, and `plain` when a field gets another name. Never change a recording.
"""

import base64
import json
import sys
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

from pydantic import BaseModel

from parking.letter import LETTER_COMMANDS, DeadLetter
from streams.messages.codec import (
    INVENTORY_COMMANDS,
    ORDER_COMMANDS,
    BadMessage,
    RecordAt,
    decode_command,
    decode_event,
)
from streams.messages.envelope import Outcome
from tables import orders, stock

RAW: Any = ("utf-8", "surrogateescape")
Record = dict[str, Any]  # topic, partition, offset, timestamp, key, value, headers; bytes as text, see `RAW`


def raw(text: str | None) -> bytes | None:
    """Return the bytes that a recording shows as text."""
    return None if text is None else text.encode(*RAW)


def command(types: Any, id_field: str) -> Callable[[Record], Any]:
    """Return a decoder of a topic's commands; it adds the digest, which tables keep for good."""

    def decode(record: Record) -> Any:
        key, value = raw(record["key"]), raw(record["value"])
        at = RecordAt(record["topic"], record["partition"], record["offset"], record["timestamp"], key)
        headers = tuple((name, raw(text) or b"") for name, text in record["headers"])
        try:
            message = decode_command(value, at, types | LETTER_COMMANDS, id_field, headers)
        except BadMessage as refused:
            return {"refused": refused.code}, None
        return {"digest": message.digest(), "type": message.type, "message": message}, message.encode()

    return decode


def message(decode: Callable[[bytes], Any]) -> Callable[[Record], Any]:
    """Return a decoder of messages that our own code wrote."""

    def read(record: Record) -> Any:
        found = decode(raw(record["value"]) or b"")
        return {"type": getattr(found, "type", ""), "message": found}, found.encode()

    return read


def event(record: Record) -> Any:
    """Return an event, or why it cannot be read."""
    try:
        return message(decode_event)(record)
    except BadMessage as refused:
        return {"refused": refused.code}, None


def entry(codec: Any) -> Callable[[Record], Any]:
    """Return a decoder of a changelog's entries."""

    def read(record: Record) -> Any:
        value = codec.decode(raw(record["key"]), raw(record["value"]))
        shown = plain(value)
        if shown.get("fulfils") is False:  # a field of `Position` that older code does not have
            del shown["fulfils"]
        return {"type": type(value).__name__, "entry": shown}, codec.encode(value)

    return read


DECODERS: dict[str, Callable[[Record], tuple[Any, bytes | None]]] = {
    "order-commands": command(dict(ORDER_COMMANDS), "orderId"),
    "inventory-commands": command(dict(INVENTORY_COMMANDS), "productId"),
    "order-events": event,
    "inventory-events": event,
    "command-outcomes": message(Outcome.decode),
    "dead-letters": message(DeadLetter.decode),
    "orders-states-changelog": entry(orders.CODEC),
    "inventory-stock-changelog": entry(stock.CODEC),
    "fulfilment-positions-changelog": entry(orders.CODEC),
}


def decode(record: Record) -> dict[str, Any]:
    """Return what is read in a record, as JSON has it, and the text that it is written as."""
    found, encoded = DECODERS[record["topic"]](record)
    return {"decoded": plain(found), "encoded": None if encoded is None else encoded.decode(*RAW)}


def plain(value: Any) -> Any:
    """Return a value by the names of its attributes, whatever kind of class it has."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, BaseModel):
        return {name: plain(getattr(value, name)) for name in type(value).model_fields}
    if is_dataclass(value):
        return {each.name: plain(getattr(value, each.name)) for each in fields(value) if each.repr}
    if (names := getattr(value, "__struct_fields__", None)) is not None:
        return {name: plain(getattr(value, name)) for name in names}
    if isinstance(value, dict):
        return {str(name): plain(each) for name, each in value.items()}
    if isinstance(value, bytes):
        return "base64:" + base64.b64encode(value).decode()
    return [plain(each) for each in value] if isinstance(value, list | tuple) else value


if __name__ == "__main__":
    json.dump([decode(each) for each in json.load(sys.stdin)], sys.stdout)
