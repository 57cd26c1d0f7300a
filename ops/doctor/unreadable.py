"""Find partitions whose next record cannot be read, by the committed offsets of their groups."""

import asyncio
import time
from collections.abc import Iterator

from confluent_kafka import Consumer, TopicPartition

from ops.doctor.finding import Finding
from ops.errors import CommandFailed
from ops.kafka import records
from streams.kafka.unreadable import Unreadable, whole
from streams.runtime.settings import Role, Settings
from streams.topics import Topic
from streams.topology import TOPOLOGY, TRANSACTIONAL, group_of

LOOK_SECONDS = 2.0  # at the next records of a topic


async def unreadable(settings: Settings) -> list[Finding]:
    """Look at what comes next in every partition that has messages left."""
    try:
        found = await asyncio.to_thread(lambda: list(_findings(settings)))
    except CommandFailed as error:
        return [Finding("records", str(error), "see Kafka above")]
    return found or [Finding("records", "the next of every partition can be read")]


def _findings(settings: Settings) -> Iterator[Finding]:
    for role in TRANSACTIONAL:
        for topic in TOPOLOGY[role].reads:
            for record in _next(settings, role, topic):
                place = f"{record.topic}/{record.partition}"
                skip = f"`fulfillment skip {role} {place}@{record.offset} --reason …`, which loses them"
                yield Finding("records", f"{place}: {whole(record)}", f"restore Kafka's log from a replica; or {skip}")


def _next(settings: Settings, role: Role, topic: Topic) -> list[Unreadable]:
    """Return what cannot be read of the first records that a role has not handled, one of a partition."""
    ends = records.ends(settings, topic.name)
    left = {number: at for number, at in _committed(settings, role, topic).items() if at < ends[number]}
    found, until = dict[int, records.Record](), time.monotonic() + LOOK_SECONDS
    if left:
        with records.Log(settings, topic.name, left) as log:
            while time.monotonic() < until and any(log.positions[n] < ends[n] and n not in found for n in left):
                for record in log.batch():
                    found.setdefault(record.partition, record)
    return [record for record in found.values() if isinstance(record, Unreadable)]


def _committed(settings: Settings, role: Role, topic: Topic) -> dict[int, int]:
    """Return where a role's group goes on."""
    partitions = [TopicPartition(settings.named(topic.name), number) for number in range(settings.partitions)]
    with records.kafka(settings):
        group = Consumer({"bootstrap.servers": settings.kafka, "group.id": group_of(role, settings), "log_level": 0})
        try:
            return {at.partition: max(at.offset, 0) for at in group.committed(partitions, records.ASK_SECONDS)}
        finally:
            group.close()
