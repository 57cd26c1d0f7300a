"""A Kafka consumer of the event topics, without a group, from any position."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import TopicPartition

from streams.kafka.consuming import consuming
from streams.runtime.settings import Settings

from .bookmark import TOPICS, Bookmark

POLL_MILLISECONDS = 1_000
MOST = 2_000  # records at once


class Reader:
    """A consumer of every partition of the event topics; `position` has the offsets to read next."""

    def __init__(self, settings: Settings, consumer: Any) -> None:
        self.consumer = consumer
        self.partitions = slots(settings)
        self.slot = {partition: slot for slot, partition in enumerate(self.partitions)}
        self.position: list[int] = []

    async def ends(self) -> Bookmark:
        """Return the position at the end of every partition."""
        found = await self.consumer.end_offsets(self.partitions)
        return tuple(found[partition] for partition in self.partitions)

    async def starts(self) -> Bookmark:
        """Return the position of the oldest records that Kafka still has."""
        found = await self.consumer.beginning_offsets(self.partitions)
        return tuple(found[partition] for partition in self.partitions)

    async def since(self, seconds: float) -> Bookmark:
        """Return the position of the first records that Kafka received at a Unix time or later."""
        found = await self.consumer.offsets_for_times(dict.fromkeys(self.partitions, int(seconds * 1000)))
        ends = await self.ends()
        return tuple(found[tp].offset if found[tp] else end for tp, end in zip(self.partitions, ends, strict=True))

    def seek(self, position: Sequence[int]) -> None:
        """Continue at `position`."""
        for partition, offset in zip(self.partitions, position, strict=True):
            self.consumer.seek(partition, offset)
        self.position = list(position)

    async def next(self) -> list[tuple[int, list[Any]]]:
        """Return the next records by slot; empty if none arrive within a second.

        Afterwards `position` is after these records and the transaction markers that follow them.
        """
        fetched = await self.consumer.getmany(timeout_ms=POLL_MILLISECONDS, max_records=MOST)
        self.position = [await self.consumer.position(partition) for partition in self.partitions]
        return [(self.slot[partition], records) for partition, records in fetched.items()]


def slots(settings: Settings) -> list[TopicPartition]:
    """Return the partitions in the order of a `Bookmark`."""
    return [
        TopicPartition(settings.named(topic.name), number) for topic in TOPICS for number in range(settings.partitions)
    ]


@asynccontextmanager
async def reading(settings: Settings, name: str) -> AsyncIterator[Reader]:
    """Return a reader without a position; it is closed at the end."""
    async with consuming(settings, name) as consumer:
        reader = Reader(settings, consumer)
        consumer.assign(reader.partitions)
        yield reader
