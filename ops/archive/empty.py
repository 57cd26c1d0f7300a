"""Refuse to import into an installation that has data: its events and the imported ones would contradict each other.

NotEmpty                       the installation has data already
"""

import asyncio
from collections.abc import Collection

from confluent_kafka.admin import AdminClient
from pymongo.errors import PyMongoError

from ops.errors import Misconfigured, mongo_error
from ops.kafka import records
from projections.mongo.client import Mongo
from streams.runtime.settings import Settings
from streams.topics import EVERY_TOPIC, MESSAGE_TOPICS
from streams.topology import READING

ASK_SECONDS = 30.0


class NotEmpty(Misconfigured):
    """The installation has data already."""


def refuse_data(settings: Settings, client: AdminClient) -> None:
    """Raise `NotEmpty` if a topic, the database or a consumer group of the installation has been used."""
    existing = refuse_records(settings, client)
    if names := asyncio.run(_collections_in_use(settings)):
        raise NotEmpty(
            f"The MongoDB database has documents ({', '.join(names)}): import into an installation without data, for "
            "example with another FULFILLMENT_DATABASE."
        )
    for topic in MESSAGE_TOPICS:
        if settings.named(topic.name) in existing:
            _refuse_offsets(settings, topic.name)


def refuse_records(settings: Settings, client: AdminClient) -> Collection[str]:
    """Raise `NotEmpty` if a topic of the installation has had records; return all topics of the cluster."""
    existing: Collection[str] = client.list_topics(timeout=ASK_SECONDS).topics
    for topic in EVERY_TOPIC:
        if settings.named(topic.name) in existing and any(records.ends(settings, topic.name).values()):
            raise NotEmpty(
                f"Topic {settings.named(topic.name)} has had records: import into an installation without data, for "
                "example with another FULFILLMENT_PREFIX."
            )
    return existing


def _refuse_offsets(settings: Settings, topic: str) -> None:
    for role in READING:
        if any(records.committed(settings, role, topic).values()):
            raise NotEmpty(
                f"The consumer group of {role} has offsets of {settings.named(topic)}: delete the group, or import "
                "with another FULFILLMENT_PREFIX."
            )


async def _collections_in_use(settings: Settings) -> list[str]:
    mongo = Mongo(settings)
    try:
        names = await mongo.database.list_collection_names()
        return [name for name in sorted(names) if await mongo.collection(name).find_one() is not None]
    except PyMongoError as error:
        raise mongo_error(settings.mongo, error, "Nothing was imported.") from error
    finally:
        await mongo.close()
