"""Adopt topics that were deleted and created again.

A worker refuses to read a topic with another id than the one it has read before, because the offsets it knows mean
nothing there. Adopting resets its group to the start of the new topic and records the new id. The records of the old
topic are lost; the tables keep the state that they caused.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from typing import NamedTuple

from confluent_kafka import Producer
from pymongo.errors import PyMongoError

from ops.errors import Unavailable, mongo_error
from ops.kafka import groups, records
from ops.kafka.changelogs import restored
from projections.mongo.client import Mongo
from projections.mongo.indexes import PROGRESS
from projections.mongo.registry import Registry
from projections.mongo.skips import SKIPS
from projections.table import PROJECTIONS
from streams.kafka.clients import librdkafka_config
from streams.keys import position_key
from streams.runtime.settings import Role, Settings
from streams.topics import Topic, topic_ids
from streams.topology import AGGREGATES, TOPOLOGY, group_of
from tables import orders, stock
from tables.entries import Position, StructCodec

ASK_SECONDS = 20.0
PROJECTOR: Role = "projector"


class Reader(NamedTuple):
    """A role whose table records which topics it has read, and up to which offset."""

    role: Role
    codec: StructCodec

    @property
    def inputs(self) -> tuple[Topic, ...]:
        """The topics the role reads."""
        return TOPOLOGY[self.role].reads

    @property
    def changelog(self) -> Topic:
        """The changelog of the role's table."""
        table = TOPOLOGY[self.role].table
        assert table is not None
        return table


READERS = (
    Reader("orders", orders.CODEC),
    Reader("inventory", stock.CODEC),
)

Found = dict[int, Position]  # partition → the position reached in the old topic


async def adopt(settings: Settings) -> list[str]:
    """Adopt every topic that was replaced; return a sentence for each of its readers.

    `groups.WorkersRun` if a worker of such a role is running; nothing is changed then.
    """
    with records.kafka(settings):
        return await _adopt_all(settings)


async def _adopt_all(settings: Settings) -> list[str]:
    ids = await topic_ids(settings)
    replaced = [
        (reader, topic, found)
        for reader in READERS
        for topic, found in (await _replaced(settings, reader, ids)).items()
        if found
    ]
    logs = [aggregate.events for aggregate in AGGREGATES.values()]
    events = {settings.named(topic.name) for _, topic, _ in replaced if topic in logs}
    async with _mongo(settings) as mongo:
        projected = await projected_others(mongo, ids)
    events |= projected
    roles = {reader.role for reader, _, _ in replaced} | ({PROJECTOR} if events else set())
    await asyncio.to_thread(groups.refuse_running, settings, roles)
    if events:
        await _forget_progress(settings, events)
    for reader, topic, found in replaced:
        await asyncio.to_thread(_adopt, settings, reader, topic, found, ids[settings.named(topic.name)])
    said = [f"{reader.role} begins at the start of the new {topic.name}" for reader, topic, _ in replaced]
    only = projected - {settings.named(topic.name) for _, topic, _ in replaced}
    said += [f"{PROJECTOR} begins at the start of the new {topic}" for topic in sorted(only)]
    return said + await asyncio.to_thread(recounted, settings, events)


def recounted(settings: Settings, events: Collection[str]) -> list[str]:
    """Return what to do about counts that will include the events in new topics a second time. Blocks."""
    counted = {each.topic.name for each in PROJECTIONS if each.tallies}
    topics = sorted(topic for topic in counted if settings.named(topic) in events)
    filled = [topic for topic in topics if records.ends(settings, topic) != records.begins(settings, topic)]
    return [
        f"{topic} has events, which may be counted twice: run `fulfillment audit --repair` when they are projected"
        for topic in filled
    ]


async def _replaced(settings: Settings, reader: Reader, ids: Mapping[str, str]) -> dict[Topic, Found]:
    """Return the partitions of each input that were read before the topic was replaced."""
    for name in (settings.named(topic.name) for topic in (*reader.inputs, reader.changelog)):
        if name not in ids:
            raise Unavailable(f"Topic {name} is missing: run `fulfillment topics create`.")
    changelog, numbers = settings.named(reader.changelog.name), range(settings.partitions)
    tables = await restored(settings, changelog, numbers, reader.codec)
    found: dict[Topic, Found] = {}
    for topic in reader.inputs:
        name = settings.named(topic.name)
        read = {number: table.get(position_key(name)) for number, table in tables.items()}
        found[topic] = {number: each for number, each in read.items() if each and each.topic_id != ids[name]}
    return found


def _adopt(settings: Settings, reader: Reader, topic: Topic, found: Found, topic_id: str) -> None:
    """Reset the group, then write the new positions; if interrupted between the two, adopting again completes it."""
    group, name = group_of(reader.role, settings), settings.named(topic.name)
    groups.reset(settings, group, name)
    producer = Producer(librdkafka_config(settings) | {"enable.idempotence": True})
    for number, before in found.items():
        value = reader.codec.encode(Position(-1, topic_id, before.fulfils))
        producer.produce(settings.named(reader.changelog.name), value, position_key(name), number)
    if producer.flush(ASK_SECONDS):
        raise Unavailable(
            f"Kafka at {settings.kafka} did not accept the new positions: run `fulfillment topics adopt` again."
        )


async def projected_others(mongo: Mongo, ids: Mapping[str, str]) -> set[str]:
    """Return the topics that were projected before they were replaced."""
    with_id = mongo.collection(PROGRESS).find({"topicId": {"$exists": True}}, {"topic": 1, "topicId": 1})
    return {each["topic"] async for each in with_id if each["topicId"] != ids.get(each["topic"], each["topicId"])}


async def _forget_progress(settings: Settings, topics: set[str]) -> None:
    """Reset projectors to the start, too: their documents know which events they include.

    Sums and tallies record it by the offset in the old topic, so their offsets are reset to zero.
    """
    async with _mongo(settings) as mongo:
        for versions in (await Registry(mongo).read()).values():
            for version in versions.versions:
                one = versions.projection(version.number)
                if one is not None and settings.named(one.topic.name) in topics:
                    for name in one.by_offset:
                        await mongo.durable(one.collection(name)).update_many({}, {"$set": {"sequence": 0}})
        for collection in (PROGRESS, SKIPS):
            await mongo.durable(collection).delete_many({"topic": {"$in": sorted(topics)}})


@asynccontextmanager
async def _mongo(settings: Settings) -> AsyncIterator[Mongo]:
    mongo = Mongo(settings)
    try:
        yield mongo
    except PyMongoError as error:
        raise mongo_error(settings.mongo, error, "No topic was adopted.") from error
    finally:
        await mongo.close()
