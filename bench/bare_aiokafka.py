"""The bare loop on aiokafka: records are collected into whole batches per partition before they are sent."""

import asyncio
import time
from collections.abc import Iterable
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from msgspec.structs import astuple

from bench.bare import FETCH_BYTES, TRANSACTION_SECONDS, Loop
from streams.kafka.clients import aiokafka_config
from streams.kafka.partitions import partition_of
from streams.kafka.transactions import Write
from streams.runtime.settings import Settings

BATCH_BYTES = 1 << 20


async def run(loop: Loop, settings: Settings) -> None:
    """Decide until the process is stopped."""
    consumer = AIOKafkaConsumer(
        loop.topic, **aiokafka_config(settings), group_id=loop.group, enable_auto_commit=False,
        auto_offset_reset="earliest", isolation_level="read_committed", max_partition_fetch_bytes=FETCH_BYTES,
        check_crcs=False,
    )  # fmt: skip
    producer = AIOKafkaProducer(
        **aiokafka_config(settings), transactional_id=loop.group, max_batch_size=BATCH_BYTES,
        max_request_size=8 * BATCH_BYTES,
    )  # fmt: skip
    async with consumer, producer:
        while True:
            await _transaction(loop, consumer, producer, settings.partitions)


async def _transaction(loop: Loop, consumer: Any, producer: Any, partitions: int) -> None:
    first = await consumer.getmany(timeout_ms=1000)  # avoids empty transactions
    if not first:
        return
    async with producer.transaction():
        end, offsets = time.monotonic() + TRANSACTION_SECONDS, dict[TopicPartition, int]()
        fetched, batches = first, Batches(producer, partitions)
        while True:
            if fetched:
                decided = loop.decide({tp.partition: records for tp, records in fetched.items()})
                await batches.add(decided.writes)
                offsets |= {TopicPartition(tp.topic, tp.partition): ended for tp, ended in decided.offsets.items()}
            if (left := end - time.monotonic()) <= 0:
                break
            fetched = await consumer.getmany(timeout_ms=int(left * 1000) + 1)
        await batches.sent()
        await producer.send_offsets_to_transaction(offsets, loop.group)


class Batches:
    """One growing batch for each partition; a full batch is sent at once."""

    def __init__(self, producer: Any, partitions: int) -> None:
        self._producer, self._partitions = producer, partitions
        self._growing: dict[tuple[str, int], Any] = {}
        self._acknowledged: list[Any] = []

    async def add(self, writes: Iterable[Write]) -> None:
        """Add records to the batches of their partitions."""
        for topic, partition, key, value, headers in map(astuple, writes):
            at = (topic, partition if partition >= 0 else partition_of(key or b"", self._partitions))
            while True:
                if (batch := self._growing.get(at)) is None:
                    batch = self._growing[at] = self._producer.create_batch()
                if batch.append(timestamp=None, key=key, value=value, headers=headers or []) is not None:
                    break
                await self._send(at)

    async def _send(self, at: tuple[str, int]) -> None:
        batch = self._growing.pop(at)
        batch.close()
        self._acknowledged.append(await self._producer.send_batch(batch, at[0], partition=at[1]))

    async def sent(self) -> None:
        """Send all batches; return once they are acknowledged."""
        await asyncio.gather(*(self._send(at) for at in list(self._growing)))
        await asyncio.gather(*self._acknowledged)
