"""The events in records, and single events that are read again."""

import asyncio
import logging
from typing import Any, NamedTuple

import orjson
from aiokafka import TopicPartition

from streams.kafka.consuming import consuming
from streams.kafka.unreadable import Unreadable
from streams.runtime.settings import Settings

log = logging.getLogger(__name__)
# the most that one request brings from a partition; a larger batch arrives alone
SMALL = {"max_partition_fetch_bytes": 64 << 10}
RECORD_SECONDS = 10.0


class Event(NamedTuple):
    """An event on its topic; `body` is its CloudEvent in JSON."""

    partition: TopicPartition
    offset: int
    id: str
    type: str
    subject: str  # the id of its order or product
    data: dict[str, Any]
    body: bytes


def event_in(record: Any) -> Event | None:
    """Return the event in a record; None if it is not one, which is logged."""
    at = TopicPartition(record.topic, record.partition)
    try:
        if isinstance(record, Unreadable):
            raise ValueError(str(record))
        found = orjson.loads(record.value)
        texts = found["id"], found["type"], found["subject"]
        if not (all(isinstance(each, str) for each in texts) and isinstance(found["data"], dict)):
            raise TypeError("a field has another type")
        return Event(at, record.offset, *texts, found["data"], record.value)
    except (ValueError, KeyError, TypeError) as error:
        log.error("webhooks skip %s/%d@%d, which is not an event: %r", *at, record.offset, error)
        return None


class Lookup:
    """Reads single events again, for retries; it connects when it is first used."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._turn = settings, asyncio.Lock()
        self._opened: Any = None
        self._consumer: Any = None

    async def at(self, partition: TopicPartition, offset: int) -> Event | None:
        """Return the event at an offset; None if there is none."""
        async with self._turn, asyncio.timeout(RECORD_SECONDS):
            if self._consumer is None:
                self._opened = consuming(self._settings, "webhooks-retries", **SMALL, fetch_max_wait_ms=100)
                self._consumer = await self._opened.__aenter__()
            consumer = self._consumer
            consumer.assign([partition])
            consumer.seek(partition, offset)
            while await consumer.position(partition) <= offset:
                for record in (await consumer.getmany(partition, timeout_ms=100, max_records=1)).get(partition, ()):
                    return event_in(record) if record.offset == offset else None
            return None

    async def close(self) -> None:
        """Disconnect."""
        if self._consumer is not None:
            opened, self._opened, self._consumer = self._opened, None, None
            await opened.__aexit__(None, None, None)
