"""Events that operators told a projector to skip, one document each; kept forever, like the gaps they leave."""

from collections import defaultdict

from projections.mongo.client import Mongo
from projections.mongo.progress import TopicPartition

SKIPS = "skips"


async def read_skips(mongo: Mongo) -> dict[TopicPartition, dict[int, str]]:
    """Return partition → offset → reason."""
    found: defaultdict[TopicPartition, dict[int, str]] = defaultdict(dict)
    async for document in mongo.collection(SKIPS).find():
        found[document["topic"], document["partition"]][document["offset"]] = document["reason"]
    return found


async def write_skip(mongo: Mongo, at: TopicPartition, offset: int, reason: str, time: str) -> None:
    """Record that an event is skipped; the first reason stays."""
    topic, partition = at
    await mongo.durable(SKIPS).update_one(
        {"_id": f"{topic}/{partition}@{offset}"},
        {"$setOnInsert": {"topic": topic, "partition": partition, "offset": offset, "reason": reason, "time": time}},
        upsert=True,
    )
