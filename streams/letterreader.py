"""The letterbook of a process that is asked for it now and then: read on when asked, up to the end of the topic."""

import asyncio
import logging
import time
from contextlib import suppress

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from .gateway import GatewayUnavailable
from .letterbook import Letterbook
from .letters import letter_in
from .library_patches import AIOKafkaConsumer
from .settings import Settings
from .topics import DEAD_LETTERS

log = logging.getLogger(__name__)
PATIENCE_SECONDS = 20.0  # the first time, 30 days are read
RETRY_MS = 10  # between two looks who leads the partitions: a new consumer does not know


class LetterReader:
    """Reads `dead-letters` when it is asked, and keeps what it has read; costs nothing until then."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._book = Letterbook()
        topic = settings.named(DEAD_LETTERS.name)
        self._positions = {TopicPartition(topic, number): 0 for number in range(settings.partitions)}
        self._read_at = float("-inf")
        self._reading = asyncio.Lock()

    async def book(self, age: float = 0.0) -> Letterbook:
        """Return the letterbook as it is now, or was `age` seconds ago; `GatewayUnavailable` when Kafka is away."""
        asked_at = time.monotonic() - age
        async with self._reading:
            if self._read_at < asked_at:
                began = time.monotonic()
                await self._read_on()
                self._read_at = began
        return self._book

    async def _read_on(self) -> None:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._settings.kafka,
            client_id=self._settings.named("letters"),
            enable_auto_commit=False,
            isolation_level="read_committed",
            auto_offset_reset="earliest",
            fetch_max_wait_ms=100,
            retry_backoff_ms=RETRY_MS,
        )
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await consumer.start()
                await self._read(consumer)
        except (KafkaError, OSError, TimeoutError) as error:
            raise GatewayUnavailable(f"the dead letters cannot be read: {error!r}") from error
        finally:
            with suppress(Exception):
                await asyncio.wait_for(consumer.stop(), 2)

    async def _read(self, consumer: AIOKafkaConsumer) -> None:
        ends = await consumer.end_offsets(list(self._positions))
        left = {partition for partition, end in ends.items() if end > self._positions[partition]}
        consumer.assign(left)
        for partition in left:
            consumer.seek(partition, self._positions[partition])
        while left:
            for partition, records in (await consumer.getmany(*left, timeout_ms=100)).items():
                for record in records:
                    self._take(record.value)
                self._positions[partition] = records[-1].offset + 1
            for partition in left:
                self._positions[partition] = await consumer.position(partition)
            left = {partition for partition in left if self._positions[partition] < ends[partition]}

    def _take(self, value: bytes | None) -> None:
        if (letter := letter_in(value)) is not None:
            self._book.add(letter)
        else:
            log.warning("a dead letter that is none of ours was skipped: %.200r", value)
