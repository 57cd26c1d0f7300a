"""The progress of each projection: one document per (projection, version, topic, partition), written after its batch.

AnotherTopic                   a topic is not the one that was projected
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from projections.mongo.client import Mongo
from projections.mongo.indexes import PROGRESS
from projections.mongo.writes import upsert
from projections.projection import Projection

TopicPartition = tuple[str, int]


class AnotherTopic(Exception):
    """A topic was deleted and created again, so that the known offsets are meaningless."""


def progress_id(projection: Projection, partition: TopicPartition) -> str:
    """Return the `_id` of a progress document."""
    return f"{projection.id}/{partition[0]}/{partition[1]}"


async def read_progress(
    mongo: Mongo,
    projections: Iterable[Projection],
    partitions: Iterable[TopicPartition],
    topic_ids: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, int]:
    """Return `progress_id` → next offset of those with progress; `AnotherTopic` if one is of another topic."""
    at = list(partitions)
    ids = [progress_id(projection, partition) for projection in projections for partition in at]
    found = mongo.collection(PROGRESS).find({"_id": {"$in": ids}}, batch_size=len(ids) + 1)
    documents = {document["_id"]: document async for document in found}
    for document in documents.values():
        _refuse_another_topic(document, topic_ids)
    return {name: document["nextOffset"] for name, document in documents.items()}


def _refuse_another_topic(document: Mapping[str, Any], topic_ids: Mapping[str, str]) -> None:
    topic, known = document["topic"], document.get("topicId")
    if known is not None and known != topic_ids.get(topic, known):
        raise AnotherTopic(
            f"topic {topic} is not the one that was projected up to offset {document['nextOffset']} of partition "
            f"{document['partition']}: it was deleted and created again. Restore the old topic, or accept the new "
            "one with `fulfillment topics adopt`"
        )


async def write_progress(
    mongo: Mongo,
    reached: Mapping[tuple[Projection, TopicPartition], int],
    topic_ids: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Store the next offsets; an offset never decreases."""
    if not reached:
        return
    now = datetime.now(UTC)
    updates = [
        {
            "q": {"_id": progress_id(projection, (topic, partition))},
            "u": {
                "$max": {"nextOffset": offset},
                "$set": {"updatedAt": now, **({"topicId": topic_ids[topic]} if topic in topic_ids else {})},
                "$setOnInsert": {
                    "projection": projection.name,
                    "version": projection.version,
                    "topic": topic,
                    "partition": partition,
                },
            },
            "upsert": True,
        }
        for (projection, (topic, partition)), offset in reached.items()
    ]
    await upsert(mongo.durable(PROGRESS), updates)


async def offsets_of(mongo: Mongo, projection: Projection) -> dict[TopicPartition, int]:
    """Return the next offset of a version in every partition that it has started."""
    query = {"projection": projection.name, "version": projection.version}
    found = mongo.collection(PROGRESS).find(query, batch_size=1_000)
    return {(document["topic"], document["partition"]): document["nextOffset"] async for document in found}


async def forget_progress(mongo: Mongo, name: str, version: int) -> None:
    """Forget the progress of a version of a projection."""
    await mongo.durable(PROGRESS).delete_many({"projection": name, "version": version})
