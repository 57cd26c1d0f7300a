"""Find partitions whose next record cannot be read, from the committed offsets of their groups."""

import asyncio
import time
from collections.abc import Iterator

from ops.doctor.finding import Finding
from ops.errors import CommandFailed
from ops.kafka import records
from streams.kafka.unreadable import Unreadable, whole
from streams.runtime.settings import Role, Settings
from streams.topics import Topic
from streams.topology import TOPOLOGY, TRANSACTIONAL

LOOK_SECONDS = 2.0  # for the next records of a topic


async def unreadable(settings: Settings) -> list[Finding]:
    """Check the next record of every partition that has messages left."""
    try:
        found = await asyncio.to_thread(lambda: list(_findings(settings)))
    except CommandFailed as error:
        return [Finding("records", str(error), "see Kafka above", may_pass=True)]
    return found or [Finding("records", "the next record of every partition can be read")]


def _findings(settings: Settings) -> Iterator[Finding]:
    for role in TRANSACTIONAL:
        for topic in TOPOLOGY[role].reads:
            for record in _next(settings, role, topic):
                place = f"{record.topic}/{record.partition}"
                skip = f"`fulfillment skip {role} {place}@{record.offset} --reason …`, which loses them"
                yield Finding("records", f"{place}: {whole(record)}", f"restore Kafka's log from a replica; or {skip}")


def _next(settings: Settings, role: Role, topic: Topic) -> list[Unreadable]:
    """Return the records that cannot be read among the next ones of a role, at most one for each partition."""
    ends = records.ends(settings, topic.name)
    left = {number: at for number, at in records.committed(settings, role, topic.name).items() if at < ends[number]}
    found, until = dict[int, records.Record](), time.monotonic() + LOOK_SECONDS
    if left:
        with records.Log(settings, topic.name, left) as log:
            while time.monotonic() < until and any(log.positions[n] < ends[n] and n not in found for n in left):
                for record in log.batch():
                    found.setdefault(record.partition, record)
    return [record for record in found.values() if isinstance(record, Unreadable)]
