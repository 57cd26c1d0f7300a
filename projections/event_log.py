"""Logs of events: each event is one entry, which contains the message as in Kafka.

    {_id: "o-1/000000000002", type: "OrderHeld", time: "2026-11-23T10:00:00.000Z", message: "{…}"}

The `_id` consists of aggregate and sequence, so that the events of an aggregate are adjacent and in order, and are
found without another index.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass

from projections.document import Document, segment
from projections.projection import Record
from streams.messages.codec import decode_event
from streams.messages.envelope import EventMessage

LAST = 10**12 - 1  # a sequence has 12 digits with leading zeros, so that its text sorts like its number


def entry_id(aggregate_id: str, sequence: int) -> str:
    """Return the `_id` of the entry of an aggregate's event."""
    return f"{segment(aggregate_id)}/{sequence:012}"


def entry(message: EventMessage, record: Record) -> Document:
    """Return the entry of an event; it is inserted once and never changes."""
    return {
        "_id": entry_id(message.key, message.sequence),
        "type": message.type,
        "time": message.time,
        "message": (record.value or b"").decode(),
    }


_SIZE = struct.Struct("<i").pack
_DOCUMENT = b"%b\x02_id\0%b%b\0\x02type\0%b%b\0\x02time\0%b%b\0\x02message\0%b%b\0\0"
_REST = len(_DOCUMENT) - len("%b") * 9 + 5 * len(_SIZE(0))  # all bytes but those of the four texts


def encoded(message: EventMessage, record: Record) -> bytes:
    """Return the entry of an event as BSON, in half the time that encoding the document takes."""
    identifier, kind, time = (
        entry_id(message.key, message.sequence).encode(),
        message.type.encode(),
        message.time.encode(),
    )
    value = record.value or b""
    return _DOCUMENT % (
        _SIZE(_REST + len(identifier) + len(kind) + len(time) + len(value)),
        _SIZE(len(identifier) + 1),
        identifier,
        _SIZE(len(kind) + 1),
        kind,
        _SIZE(len(time) + 1),
        time,
        _SIZE(len(value) + 1),
        value,
    )


def message_of(entry: Document) -> EventMessage:
    """Return the event of an entry, as today's code reads it."""
    return decode_event(entry["message"].encode())


@dataclass(frozen=True, eq=False)
class ByAggregate:
    """The history in such a log; `of`: the field of an answer that names the aggregate; `answer`: converts an event."""

    of: str
    answer: Callable[[EventMessage], Document]
    order: str = "_id"

    def between(self, aggregate_id: str, first: int = 1, last: int | None = None) -> Document:
        """Return the query for the entries of an aggregate, from one sequence to another, both inclusive."""
        last = LAST if last is None else min(last, LAST)
        return {"_id": {"$gte": entry_id(aggregate_id, first), "$lte": entry_id(aggregate_id, last)}}

    def message_of(self, entry: Document) -> EventMessage:
        """Return the event of an entry, as today's code reads it."""
        return message_of(entry)

    def shown(self, entry: Document) -> Document:
        """Return an entry as the API shows it."""
        return self.answer(message_of(entry))
