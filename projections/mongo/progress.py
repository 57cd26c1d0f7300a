"""How far each projection has come: one document a (projection, version, topic, partition), written after its batch."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from pymongo import UpdateOne

from projections.mongo.client import Mongo
from projections.mongo.indexes import PROGRESS
from projections.projection import Projection

TopicPartition = tuple[str, int]


def progress_id(projection: Projection, partition: TopicPartition) -> str:
    """Return the `_id` of a progress document."""
    return f"{projection.id}/{partition[0]}/{partition[1]}"


async def read_progress(
    mongo: Mongo, projections: Iterable[Projection], partitions: Iterable[TopicPartition]
) -> dict[str, int]:
    """Return `progress_id` → next offset of those that have one."""
    ids = [progress_id(projection, partition) for projection in projections for partition in partitions]
    found = mongo.collection(PROGRESS).find({"_id": {"$in": ids}}, {"nextOffset": 1}, batch_size=len(ids) + 1)
    return {document["_id"]: document["nextOffset"] async for document in found}


async def write_progress(mongo: Mongo, reached: Mapping[tuple[Projection, TopicPartition], int]) -> None:
    """Store the next offset of each; a smaller one than is stored changes nothing."""
    if not reached:
        return
    now = datetime.now(UTC)
    updates = [
        UpdateOne(
            {"_id": progress_id(projection, (topic, partition))},
            {
                "$max": {"nextOffset": offset},
                "$set": {"updatedAt": now},
                "$setOnInsert": {
                    "projection": projection.name,
                    "version": projection.version,
                    "topic": topic,
                    "partition": partition,
                },
            },
            upsert=True,
        )
        for (projection, (topic, partition)), offset in reached.items()
    ]
    await mongo.durable(PROGRESS).bulk_write(updates, ordered=False)
