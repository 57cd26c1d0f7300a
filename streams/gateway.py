"""Commands into Kafka: durable when `send` returns.

GatewayUnavailable             Kafka did not take the commands in time; those `on_their_way` may be done all the same
"""

import asyncio
import logging
import operator
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from tenacity import AsyncRetrying, retry_if_result, wait_fixed

from domain import inventory, orders

from . import traces
from .messages import CONTENT_TYPE, CommandMessage
from .partitions import partition_of
from .pulse import Pulse, answers
from .settings import Settings
from .topics import INVENTORY_COMMANDS, ORDER_COMMANDS, Topic

log = logging.getLogger(__name__)

RETRY_SECONDS = 0.5  # between two attempts to reach Kafka for the first time
STOP_SECONDS = 1.0
BATCH_BYTES = 256 << 10
REQUEST_BYTES = 2 << 20


class GatewayUnavailable(Exception):
    """Kafka did not take the commands in time; those whose ids are `on_their_way` may be done all the same."""

    def __init__(self, message: str, on_their_way: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.on_their_way = tuple(on_their_way)


def _partition(key: bytes, every: Sequence[int], available: Sequence[int]) -> int:
    return every[partition_of(key, len(every))]


async def _end(producer: AIOKafkaProducer) -> None:
    """End a producer; it has a second to send what it still has."""
    try:
        await asyncio.wait_for(producer.stop(), STOP_SECONDS)
    except (TimeoutError, KafkaError):  # it would go on trying
        with suppress(TimeoutError, KafkaError):  # a request under way to a broker that is gone may outlast this too
            await asyncio.wait_for(producer._sender.close(), STOP_SECONDS)
        await producer.client.close()


class Gateway:
    """An idempotent producer of commands. It starts when Kafka is there, and says whether it has (`ready`)."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._producer: AIOKafkaProducer | None = None
        self._starting: asyncio.Task[None] | None = None
        self._pulse: Pulse | None = None
        self._looking: asyncio.Task[None] | None = None  # for a broker that did not answer
        order_commands, inventory_commands = map(settings.named, (ORDER_COMMANDS.name, INVENTORY_COMMANDS.name))
        self._topics = dict.fromkeys(orders.COMMANDS, order_commands)
        self._topics |= dict.fromkeys(inventory.COMMANDS, inventory_commands)

    async def away(self) -> str | None:
        """Return why commands cannot be sent now; None when they can."""
        if self._producer is None:
            return "Kafka has not been reached yet"
        self._pulse = self._pulse or Pulse(self._producer.client.fetch_all_metadata)
        return None if self._looking is None and await self._pulse.beats() else "Kafka does not answer"

    async def start(self) -> None:
        """Begin to look for Kafka; returns at once, so that the process answers while it is away."""
        self._starting = asyncio.create_task(self._reach())

    async def stop(self) -> None:
        """Send what is under way and let go, within a second."""
        for task in filter(None, (self._starting, self._looking)):
            task.cancel()
        if self._producer:
            await _end(self._producer)

    async def send(self, messages: Sequence[CommandMessage], topic: Topic | None = None) -> None:
        """Return when every one of `messages` is durable; raise `GatewayUnavailable` when that takes too long.

        `topic`: where to, for commands that both kinds of aggregate take.
        """
        producer = self._producer
        if producer is None:
            raise GatewayUnavailable("Kafka has not been reached yet: nothing was sent")
        if self._looking is not None:  # at once, and without leaving something behind that is done when it is back
            raise GatewayUnavailable("Kafka does not answer: nothing was sent")
        began = time.time_ns()
        try:
            async with asyncio.timeout(self._settings.command_timeout):
                acknowledged = [await self._enqueue(producer, message, topic) for message in messages]
                for future in acknowledged:
                    await asyncio.shield(future)
        except (TimeoutError, KafkaError) as error:
            if producer is self._producer:
                self._looking = self._looking or asyncio.create_task(self._look(producer))
            reason = f"Kafka did not take it in time ({type(error).__name__}); it may be done all the same"
            raise GatewayUnavailable(reason, [message.id for message in messages]) from error
        if traces.ON is not None:
            traces.sent(traces.ON, messages, began, time.time_ns())

    async def _look(self, failed: AIOKafkaProducer) -> None:
        """Refuse commands until the broker answers; then go on with another producer.

        What expires in aiokafka's has its sequence number already, and the broker takes nothing behind the gap: of such
        a partition, ever again.
        """
        again = AsyncRetrying(retry=retry_if_result(operator.not_), wait=wait_fixed(RETRY_SECONDS))
        await again(answers, failed.client.fetch_all_metadata)
        await _end(failed)
        await self._reach()
        self._pulse = self._looking = None

    async def _enqueue(self, producer: AIOKafkaProducer, message: CommandMessage, topic: Topic | None) -> Any:
        name = self._settings.named(topic.name) if topic else self._topics[message.type]
        key = message.key.encode()
        return await producer.send(name, message.encode(), key=key, headers=CONTENT_TYPE)

    async def _reach(self) -> None:
        while True:
            producer = self._new_producer()
            try:
                await producer.start()
                for topic in set(self._topics.values()):
                    await producer.partitions_for(topic)
                self._producer = producer
                return
            except (KafkaError, OSError) as error:
                log.warning("Kafka at %s cannot be reached yet: %r", self._settings.kafka, error)
                with suppress(Exception):
                    await producer.stop()
                await asyncio.sleep(RETRY_SECONDS)

    def _new_producer(self) -> AIOKafkaProducer:
        return AIOKafkaProducer(
            bootstrap_servers=self._settings.kafka,
            client_id=self._settings.named("api"),
            enable_idempotence=True,
            acks="all",
            linger_ms=0,  # what arrives while a request is under way goes with the next one
            max_batch_size=BATCH_BYTES,
            max_request_size=REQUEST_BYTES,
            request_timeout_ms=int(self._settings.command_timeout * 1000),
            retry_backoff_ms=100,
            partitioner=_partition,
        )
