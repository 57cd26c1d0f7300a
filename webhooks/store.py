"""The subscriptions, on the compacted topic `webhooks`, which every api process reads as a whole.

A change is the whole subscription with the next revision; a tombstone deletes a subscription, and its id is never used
again. The last record is always the right one, because compaction keeps no other: a process claims the transactional id
of the partition, reads all that was written before, decides, and writes in a transaction. If another process claims the
id meanwhile, the transaction fails and the process tries again, and one that is killed leaves nothing behind.

SubscriptionGone               there is no such subscription
TooManyChanges                 others keep changing the subscription
"""

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Any

import msgspec
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from faust.types import TP

from streams.kafka.batches import Write
from streams.kafka.brokers import Refused, TooOld
from streams.kafka.consuming import consuming
from streams.kafka.gateway import GatewayUnavailable
from streams.kafka.partitions import partition_of
from streams.kafka.producer import TransactionalProducer
from streams.kafka.unreadable import Unreadable
from streams.kafka.wire import Code
from streams.runtime.settings import Settings
from streams.runtime.tasks import cancel
from streams.topics import WEBHOOKS
from streams.topology import webhook_writers

from .subscription import Subscription, decode

log = logging.getLogger(__name__)
RETRY_SECONDS, POLL_MS, WAIT_MS = 5.0, 1_000, 5_000
PATIENCE_SECONDS, TRIES, PAUSE_SECONDS = 10.0, 8, 0.05
FENCED = frozenset({Code.INVALID_PRODUCER_EPOCH, Code.PRODUCER_FENCED})  # another process has claimed the id

Decide = Callable[[], Subscription | None]


class SubscriptionGone(LookupError):
    """There is no such subscription."""


class TooManyChanges(Exception):
    """Others keep changing the subscription."""


class Known:
    """The subscriptions, folded from the records of the topic. Pure."""

    def __init__(self) -> None:
        self.by_id: dict[str, Subscription] = {}
        self._deleted = set[str]()

    def apply(self, key: str, value: bytes | None) -> None:
        """Apply a record; one that lost a race, or is about a deleted subscription, changes nothing."""
        if value is None:
            self.by_id.pop(key, None)
            self._deleted.add(key)
            return
        found, before = decode(value), self.by_id.get(key)
        if key not in self._deleted and (before is None or found.revision > before.revision):
            self.by_id[key] = found


class Subscriptions:
    """The subscriptions of this installation; `changed` is set whenever they may have changed."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._topic = settings, settings.named(WEBHOOKS.name)
        self._known = Known()
        self._read = dict[int, int]()  # partition → the offset to read next
        self._progress, self._turn = asyncio.Condition(), asyncio.Lock()
        self._consumer: Any = None
        self._task: asyncio.Task[None] | None = None
        self._why = "the subscriptions have not been read yet"
        self.ready = False
        self.changed = asyncio.Event()

    def start(self) -> None:
        """Start reading in the background."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Stop reading."""
        if self._task is not None:
            await cancel(self._task)

    async def until_ready(self) -> None:
        """Return once the subscriptions have been read."""
        async with self._progress:
            await self._progress.wait_for(lambda: self.ready)

    @property
    def all(self) -> list[Subscription]:
        """All subscriptions, the oldest first; raises `GatewayUnavailable` until they have been read."""
        self._require()
        return sorted(self._known.by_id.values(), key=lambda each: (each.created_at, each.id))

    def find(self, identifier: str) -> Subscription:
        """Return a subscription; raise `SubscriptionGone`, or `GatewayUnavailable` until they have been read."""
        self._require()
        try:
            return self._known.by_id[identifier]
        except KeyError:
            raise SubscriptionGone(identifier) from None

    async def create(self, subscription: Subscription) -> None:
        """Store a new subscription."""
        await self._write(subscription.id, lambda: subscription)

    async def change(self, identifier: str, change: Callable[[Subscription], Subscription]) -> Subscription:
        """Change a subscription and return it; `change` may be called several times."""
        before = self.find(identifier)
        if change(before) is before:
            return before
        changed = await self._write(identifier, lambda: change(self.find(identifier)))
        assert changed is not None, "only a deletion returns None"
        return changed

    async def delete(self, identifier: str) -> None:
        """Delete a subscription."""

        def decide() -> None:
            self.find(identifier)

        decide()
        await self._write(identifier, decide)

    def _require(self) -> None:
        if not self.ready:
            raise GatewayUnavailable(self._why)

    async def _write(self, identifier: str, decide: Decide) -> Subscription | None:
        """Write and return what `decide` returns, None for a deletion; it is called when all changes are known."""
        self._require()
        for tried in range(TRIES):
            try:
                async with self._turn, asyncio.timeout(PATIENCE_SECONDS):
                    return await self._transact(identifier, decide)
            except Refused as refused:
                if refused.code not in FENCED:
                    raise GatewayUnavailable(f"the subscription was not stored: {refused}") from refused
                await asyncio.sleep(random.random() * PAUSE_SECONDS * 2**tried)
            except (KafkaError, TooOld, OSError, TimeoutError) as error:
                raise GatewayUnavailable(f"the subscription may not have been stored: {error!r}") from error
        raise TooManyChanges(identifier)

    async def _transact(self, identifier: str, decide: Decide) -> Subscription | None:
        key = identifier.encode()
        partition = partition_of(key, self._settings.partitions)
        producer = TransactionalProducer(
            self._settings, f"{webhook_writers(self._settings)}{partition}", PATIENCE_SECONDS
        )
        try:
            await producer.claim()
            await self._catch_up(partition)
            wanted = decide()
            if wanted is not None and wanted is self._known.by_id.get(identifier):
                return wanted
            value = None if wanted is None else wanted.encode()
            ends = await producer.produce([Write(self._topic, partition, key, value)])
            await producer.end(commit=True)
        finally:
            await producer.close()
        await self._until_read(partition, ends.get(TP(self._topic, partition), 0))
        return wanted

    async def _catch_up(self, partition: int) -> None:
        """Return once this process has read all records; no transaction is open, because the id is claimed."""
        if self._consumer is None:
            raise GatewayUnavailable(self._why)
        at = TopicPartition(self._topic, partition)
        await self._until_read(partition, (await self._consumer.end_offsets([at]))[at])

    async def _until_read(self, partition: int, end: int) -> None:
        async with self._progress:
            await self._progress.wait_for(lambda: self._read.get(partition, 0) >= end)

    async def _run(self) -> None:
        while True:
            try:
                async with consuming(self._settings, "webhooks-subscriptions", fetch_max_wait_ms=WAIT_MS) as consumer:
                    self._consumer = consumer
                    await self._follow(consumer)
            except (KafkaError, OSError) as error:
                self._why = f"the topic {self._topic} cannot be read: {error!r}; `fulfillment topics create` creates it"
                log.warning("%s", self._why)
            except Exception:
                log.exception("reading the subscriptions of webhooks failed, retrying")
            finally:
                self._consumer = None
            await asyncio.sleep(RETRY_SECONDS)

    async def _follow(self, consumer: Any) -> None:
        partitions = [TopicPartition(self._topic, number) for number in range(self._settings.partitions)]
        consumer.assign(partitions)
        for at in partitions:
            consumer.seek(at, self._read.get(at.partition, 0))
        ends = await consumer.end_offsets(partitions)
        while True:
            fetched = await consumer.getmany(timeout_ms=POLL_MS if self.ready else 100)
            for records in fetched.values():
                for record in records:
                    self._apply(record)
            async with self._progress:
                self._read = {at.partition: await consumer.position(at) for at in partitions}
                self.ready = self.ready or all(self._read[at.partition] >= end for at, end in ends.items())
                self._progress.notify_all()
            if fetched:
                self.changed.set()

    def _apply(self, record: Any) -> None:
        try:
            if isinstance(record, Unreadable):
                raise ValueError(str(record))
            self._known.apply((record.key or b"").decode(), record.value)
        except (msgspec.MsgspecError, ValueError) as error:  # the value is not logged, because it has secrets
            where = record.topic, record.partition, record.offset
            log.error("skipped %s/%d@%d, which is not a subscription: %s", *where, type(error).__name__)
