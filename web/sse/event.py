"""An event for listeners: its SSE message, encoded once, and the fields that filters use."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from streams.topology import AGGREGATES

_AGGREGATES = tuple(AGGREGATES)  # in the order of `bookmark.TOPICS`


@dataclass(frozen=True, slots=True)
class StreamedEvent:
    """An event, its position, and its SSE message without the id."""

    slot: int  # the index of its partition in a `Bookmark`
    offset: int
    type: str
    aggregate: str
    subject: str  # the id of the aggregate
    order_id: str | None  # if the event concerns an order
    customer_id: str | None  # if the event places an order
    seconds: float  # when Kafka received it, Unix time
    latency: float  # seconds from its command to the log
    message: bytes


def streamed_event(record: Any, slot: int, topic: int) -> StreamedEvent:
    """Return the event in a Kafka record; raise an exception if it is invalid."""
    value: bytes = record.value
    envelope: dict[str, Any] = orjson.loads(value)
    data: Mapping[str, Any] = envelope["data"]
    subject, order_id, customer_id = envelope["subject"], data.get("orderId"), data.get("customerId")
    if not all(isinstance(each, str | None) for each in (subject, order_id, customer_id)):
        raise TypeError("ids are strings")
    where = f',"kafkatopic":"{record.topic}","kafkapartition":{record.partition},"kafkaoffset":{record.offset}}}'
    seconds = record.timestamp / 1000
    return StreamedEvent(
        slot=slot,
        offset=record.offset,
        type=envelope["type"],
        aggregate=_AGGREGATES[topic],
        subject=subject,
        order_id=subject if topic == 0 else order_id,
        customer_id=customer_id,
        seconds=seconds,
        latency=max(seconds - _seconds(envelope["time"]), 0.0),
        message=b"event: %b\ndata: %b%b\n\n" % (envelope["type"].encode(), value[:-1], where.encode()),
    )


def _seconds(time: str) -> float:
    return datetime.fromisoformat(time).timestamp()
