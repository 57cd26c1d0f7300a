"""The letterbook of a process that is asked for it now and then: read on when asked, up to the end of the topic."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from parking.book import Letterbook
from parking.letter import DeadLetter, letter_in
from streams.kafka.gateway import GatewayUnavailable
from streams.kafka.library_patches import AIOKafkaConsumer
from streams.runtime.settings import Settings
from streams.topics import DEAD_LETTERS

log = logging.getLogger(__name__)
PATIENCE_SECONDS = 20.0  # the first time, 30 days are read
RETRY_MS = 10  # between two looks who leads the partitions: a new consumer does not know
FETCH_BYTES = 4 << 20  # of all partitions; a larger batch comes alone
AT_ONCE = 100  # records taken of what was fetched: each may have megabytes
NEAR = 200  # records read through instead of asking the broker for a place behind them

T = TypeVar("T")
Place = tuple[int, int]  # partition and offset of a record of `dead-letters`


class LetterReader:
    """Reads `dead-letters` when it is asked, and keeps what lists say; costs nothing until then."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._book = Letterbook()
        self._topic = settings.named(DEAD_LETTERS.name)
        self._positions = {TopicPartition(self._topic, number): 0 for number in range(settings.partitions)}
        self._read_at = float("-inf")
        self._reading = asyncio.Lock()

    async def book(self, age: float = 0.0) -> Letterbook:
        """Return the letterbook as it is now, or was `age` seconds ago; `GatewayUnavailable` when Kafka is away."""
        asked_at = time.monotonic() - age
        async with self._reading:
            if self._read_at < asked_at:
                began = time.monotonic()
                async with self._consumer() as consumer:
                    await self._read(consumer)
                self._read_at = began
        return self._book

    async def whole(self, places: Sequence[Place], say: Callable[[DeadLetter], T]) -> list[T | None]:
        """Return what `say` makes of the letters at `places`, one in memory at a time; None where there is none."""
        async with self._consumer() as consumer:
            tps = [TopicPartition(self._topic, partition) for partition, _ in places]
            known = [tp for tp in dict.fromkeys(tps) if tp in self._positions]
            begins, ends = await consumer.beginning_offsets(known), await consumer.end_offsets(known)
            said: list[T | None] = []
            for tp, (_, offset) in zip(tps, places, strict=True):
                there = tp in ends and begins[tp] <= offset < ends[tp]
                letter = await self._at(consumer, tp, offset) if there else None
                said.append(None if letter is None else say(letter))
            return said

    async def _at(self, consumer: Any, tp: TopicPartition, offset: int) -> DeadLetter | None:
        """Return the letter at an offset that is on the topic; None when it is another's, or was never committed."""
        if consumer.assignment() != {tp}:  # one at a time: of all that are assigned, records are fetched ahead
            consumer.assign([tp])
            consumer.seek(tp, offset)
        elif not 0 <= offset - await consumer.position(tp) < NEAR:
            consumer.seek(tp, offset)
        while await consumer.position(tp) <= offset:
            for record in (await consumer.getmany(tp, timeout_ms=100, max_records=1)).get(tp, ()):
                if record.offset == offset:
                    return _letter(record.value)
        return None

    @asynccontextmanager
    async def _consumer(self) -> AsyncIterator[Any]:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._settings.kafka,
            client_id=self._settings.named("letters"),
            enable_auto_commit=False,
            isolation_level="read_committed",
            auto_offset_reset="earliest",
            fetch_max_wait_ms=100,
            fetch_max_bytes=FETCH_BYTES,
            retry_backoff_ms=RETRY_MS,
        )
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await consumer.start()
                yield consumer
        except (KafkaError, OSError, TimeoutError) as error:
            raise GatewayUnavailable(f"the dead letters cannot be read: {error!r}") from error
        finally:
            with suppress(Exception):
                await asyncio.wait_for(consumer.stop(), 2)

    async def _read(self, consumer: Any) -> None:
        ends = await consumer.end_offsets(list(self._positions))
        left = {partition for partition, end in ends.items() if end > self._positions[partition]}
        consumer.assign(left)
        for partition in left:
            consumer.seek(partition, self._positions[partition])
        while left:
            for partition, records in (await consumer.getmany(*left, timeout_ms=100, max_records=AT_ONCE)).items():
                for record in records:
                    if (letter := _letter(record.value)) is not None:
                        self._book.add(letter, record.partition, record.offset, record.timestamp)
                self._positions[partition] = records[-1].offset + 1
            for partition in left:
                self._positions[partition] = await consumer.position(partition)
            left = {partition for partition in left if self._positions[partition] < ends[partition]}


def _letter(value: bytes | None) -> DeadLetter | None:
    if (letter := letter_in(value)) is None:
        log.warning("skipped a record that is not a dead letter: %.200r", value)
    return letter
