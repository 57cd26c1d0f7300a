"""The projector's copy of the keys of customers: it follows `customer-keys` without a group, and writes to MongoDB.

A partition of the topic is followed by the owner of the same partition of `order-events`. While partitions change hands
two processes may follow one, which changes nothing.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError
from pymongo.errors import PyMongoError

from privacy.keys import KeyRecord, name_of, record_of
from projections.mongo.client import Mongo
from projections.mongo.customer_keys import StoredKeys
from streams.kafka.clients import aiokafka_config
from streams.kafka.library_patches import AIOKafkaConsumer
from streams.kafka.unreadable import Unreadable
from streams.runtime.app import RoleApp
from streams.runtime.settings import Settings
from streams.topics import CUSTOMER_KEYS, ORDER_EVENTS, topic_ids

log = logging.getLogger(__name__)
RETRY_SECONDS, POLL_MILLISECONDS = 1.0, 500


class KeyFollower:
    """Copies the topic to MongoDB until the process ends."""

    def __init__(self, app: RoleApp, settings: Settings, mongo: Mongo) -> None:
        self.app, self.settings, self.keys = app, settings, StoredKeys(mongo)
        self.topic, self.events = settings.named(CUSTOMER_KEYS.name), settings.named(ORDER_EVENTS.name)

    async def follow(self) -> None:
        """Follow the topic; while Kafka or MongoDB is unreachable, try again."""
        while True:
            try:
                await self._follow()
            except (KafkaError, OSError, PyMongoError) as error:
                log.warning("the keys of customers are not up to date, retrying: %r", error)
            except Exception:
                log.exception("the keys of customers are not up to date, retrying")
            await asyncio.sleep(RETRY_SECONDS)

    async def _follow(self) -> None:
        topic_id = (await topic_ids(self.settings, (CUSTOMER_KEYS,))).get(self.topic)
        if topic_id is None:
            log.error("topic %s is missing; run `fulfillment topics create`", self.topic)
            return
        await self.keys.prepare()
        async with self._reader() as reader:
            while True:
                await self._assign(reader, topic_id)
                await self._copy(reader, topic_id)

    def _reader(self) -> Any:
        return AIOKafkaConsumer(
            **aiokafka_config(self.settings),
            client_id=self.settings.named("projector-keys"),
            enable_auto_commit=False,
            isolation_level="read_committed",
            auto_offset_reset="earliest",
            fetch_max_wait_ms=POLL_MILLISECONDS,
        )

    async def _assign(self, reader: Any, topic_id: str) -> None:
        """Follow the partitions whose events this process projects, from where their last follower was."""
        owned = self.app.consumer.progress.handed if self.app.consumer.prepared else ()
        wanted = {TopicPartition(self.topic, tp.partition) for tp in owned if tp.topic == self.events}
        if wanted == reader.assignment():
            return
        reader.assign(sorted(wanted))
        reached = await self.keys.positions(topic_id)
        for at in wanted:
            reader.seek(at, reached.get(at.partition, 0))

    async def _copy(self, reader: Any, topic_id: str) -> None:
        assigned = reader.assignment()
        if not assigned:
            await asyncio.sleep(POLL_MILLISECONDS / 1000)
            return
        before = {at: await reader.position(at) for at in assigned}
        for records in (await reader.getmany(timeout_ms=POLL_MILLISECONDS)).values():
            await self.keys.apply(topic_id, _records(records))
        after = {at: await reader.position(at) for at in assigned}
        await self.keys.reached(topic_id, {at.partition: end for at, end in after.items() if end != before[at]})


def _records(records: Sequence[ConsumerRecord]) -> list[tuple[int, KeyRecord]]:
    found = []
    for record in records:
        try:
            if isinstance(record, Unreadable):
                raise ValueError(str(record))
            key = name_of(record.key or b"") if record.value is None else record_of(record.value)
            found.append((record.offset, key))
        except (ValueError, KeyError, TypeError) as error:  # the addresses that need it cannot be opened
            log.error("skipped a record of %s/%d that is not a key: %r", record.topic, record.partition, error)
    return found
