"""Outcomes for waiting requests: every api process reads all new outcomes, without a consumer group."""

import asyncio
import logging
from asyncio import Future, get_running_loop
from contextlib import suppress
from types import TracebackType
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from streams.kafka.clients import aiokafka_config
from streams.kafka.library_patches import AIOKafkaConsumer
from streams.kafka.pace import pace_fetches, turns_of
from streams.messages.envelope import CommandMessage, Outcome
from streams.runtime.settings import Settings
from streams.runtime.tasks import cancel
from streams.topics import COMMAND_OUTCOMES

log = logging.getLogger(__name__)

RETRY_SECONDS = 0.5
POLL_MILLISECONDS = 1_000


class Waiting:
    """The requests of this process that wait, by command id; several may wait for commands with the same id."""

    def __init__(self) -> None:
        self._waiters: dict[bytes, list[Waiter]] = {}
        self.read: dict[int, int] = {}  # partition → the offset to read next

    def __len__(self) -> int:
        return len(self._waiters)

    def __contains__(self, key: bytes | None) -> bool:
        """Return whether a request waits for a command whose id is `key`, the key of its outcome on Kafka."""
        return key in self._waiters

    def of(self, command: CommandMessage) -> "Waiter":
        """Return a context whose future resolves to the outcome of `command`; enter it before sending."""
        return Waiter(self._waiters, command)

    def resolve(self, outcome: Outcome) -> None:
        """Give `outcome` to the requests that wait for it."""
        for waiter in self._waiters.get(outcome.command_id.encode(), ()):
            if not waiter.future.done() and outcome.answers(waiter.command):
                waiter.future.set_result(outcome)


class Waiter:
    """A waiting request; leaving the context removes it."""

    __slots__ = ("_waiters", "command", "future")

    def __init__(self, waiters: dict[bytes, list["Waiter"]], command: CommandMessage) -> None:
        self._waiters, self.command = waiters, command
        self.future: Future[Outcome] = get_running_loop().create_future()

    async def __aenter__(self) -> Future[Outcome]:
        self._waiters.setdefault(self.command.id.encode(), []).append(self)
        return self.future

    async def __aexit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        key = self.command.id.encode()
        others = self._waiters[key]
        others.remove(self)
        if not others:
            del self._waiters[key]
        self.future.cancel()


class OutcomeReader:
    """Reads `command-outcomes` and wakes waiting requests; `ready` once it has a position, so that it misses none."""

    def __init__(self, settings: Settings, waiting: Waiting) -> None:
        self._settings, self._waiting = settings, waiting
        self._positions: dict[TopicPartition, int] = {}
        self._task: asyncio.Task[None] | None = None
        self.ready = False

    async def start(self) -> None:
        """Start reading in the background."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Stop reading."""
        if self._task:
            await cancel(self._task)

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
                log.warning("cannot read command outcomes, retrying: %r", error)
            except Exception:
                log.exception("reading command outcomes failed, retrying")
            finally:
                self.ready = False
                with suppress(Exception):
                    await asyncio.wait_for(consumer.stop(), 2)
            await asyncio.sleep(RETRY_SECONDS)

    async def _position(self, consumer: AIOKafkaConsumer) -> None:
        """Start at the end the first time, and later at the position of the last consumer, so that none is missed."""
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
            log.warning("skipped an invalid command outcome: %.200r", value)

    def _new_consumer(self) -> Any:
        return AIOKafkaConsumer(
            **aiokafka_config(self._settings),
            client_id=self._settings.named("api-outcomes"),
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="latest",
            isolation_level="read_committed",
            fetch_min_bytes=1,
            fetch_max_wait_ms=500,
            retry_backoff_ms=100,
        )
