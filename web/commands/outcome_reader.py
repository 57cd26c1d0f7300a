"""Outcomes to who waits for them: every API process reads all of them, from the end, without a group."""

import asyncio
import logging
from contextlib import suppress
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from streams.kafka.library_patches import AIOKafkaConsumer
from streams.kafka.pace import pace_fetches, turns_of
from streams.messages.envelope import Outcome
from streams.runtime.settings import Settings
from streams.runtime.waiting import Waiting
from streams.topics import COMMAND_OUTCOMES

log = logging.getLogger(__name__)

RETRY_SECONDS = 0.5
POLL_MILLISECONDS = 1_000


class Outcomes:
    """Reads `command-outcomes` and wakes the waiting. `ready` once it stands at the end: earlier it might miss one."""

    def __init__(self, settings: Settings, waiting: Waiting) -> None:
        self._settings, self._waiting = settings, waiting
        self._positions: dict[TopicPartition, int] = {}
        self._task: asyncio.Task[None] | None = None
        self.ready = False

    async def start(self) -> None:
        """Begin to read; returns at once."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Stop reading."""
        if self._task:
            self._task.cancel()
            await asyncio.wait([self._task], timeout=2)

    async def _run(self) -> None:
        while True:
            consumer = self._new_consumer()
            try:
                await consumer.start()
                pace_fetches(consumer, turns_of("api", self._settings))
                await self._position(consumer)
                self.ready = True
                await self._read(consumer)
            except (KafkaError, OSError) as error:
                log.warning("command outcomes cannot be read, trying again: %r", error)
            except Exception:
                log.exception("reading command outcomes failed, trying again")
            finally:
                self.ready = False
                with suppress(Exception):
                    await asyncio.wait_for(consumer.stop(), 2)
            await asyncio.sleep(RETRY_SECONDS)

    async def _position(self, consumer: AIOKafkaConsumer) -> None:
        """Stand at the end the first time; afterwards where the last consumer stood, so that no outcome is missed."""
        topic = self._settings.named(COMMAND_OUTCOMES.name)
        partitions = [TopicPartition(topic, number) for number in range(self._settings.partitions)]
        consumer.assign(partitions)
        if self._positions:
            for partition, offset in self._positions.items():
                consumer.seek(partition, offset)
        else:
            await consumer.seek_to_end(*partitions)
            self._positions = {partition: await consumer.position(partition) for partition in partitions}

    async def _read(self, consumer: AIOKafkaConsumer) -> None:
        while True:
            fetched = await consumer.getmany(timeout_ms=POLL_MILLISECONDS)
            for partition, records in fetched.items():
                for record in records:
                    if record.key in self._waiting:
                        self._resolve(record.value)
                self._positions[partition] = self._waiting.read[partition.partition] = records[-1].offset + 1

    def _resolve(self, value: bytes) -> None:
        try:
            self._waiting.resolve(Outcome.decode(value))
        except (ValueError, KeyError, TypeError):
            log.warning("an outcome that is none of ours was skipped: %.200r", value)

    def _new_consumer(self) -> Any:
        return AIOKafkaConsumer(
            bootstrap_servers=self._settings.kafka,
            client_id=self._settings.named("api-outcomes"),
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="latest",
            isolation_level="read_committed",
            fetch_min_bytes=1,
            fetch_max_wait_ms=500,
            retry_backoff_ms=100,
        )
