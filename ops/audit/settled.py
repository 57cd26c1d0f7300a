"""When is nothing under way any more that was caused by the events in the log?

Once the aggregates have handled all commands that are in theirs, because an event is written together with the commands
it causes. Offsets are compared with those the roles commit; behind the last record of a partition there may be
transaction markers, which nobody commits.
"""

import time
from collections.abc import Mapping

from confluent_kafka import Consumer, TopicPartition

from ops.kafka import records
from streams.runtime.settings import Role, Settings
from streams.topology import AGGREGATES, group_of

TAIL = 100  # records of a partition among which the last one is looked for first
PAUSE_SECONDS = 0.2
DECIDERS: dict[Role, str] = {aggregate.role: aggregate.commands.name for aggregate in AGGREGATES.values()}

Behind = Mapping[str, records.Offsets]  # topic → partition → the offset behind its last record


def wait_until_settled(settings: Settings, deadline: float) -> str | None:
    """Return None once nothing is under way that older events caused; at the deadline, which role is behind. Blocks."""
    commands = {topic: last_records(settings, topic) for topic in DECIDERS.values()}
    for role, topic in DECIDERS.items():
        if late := _wait_for(settings, role, {topic: commands[topic]}, deadline):
            return late
    return None


def last_records(settings: Settings, topic: str) -> dict[int, int]:
    """Return the offset behind the last committed record of each partition, 0 where there is none."""
    begins, ends, found = records.begins(settings, topic), records.ends(settings, topic), dict[int, int]()
    reach = TAIL
    while left := {n: end for n, end in ends.items() if n not in found}:
        start = {n: max(begins[n], end - reach) for n, end in left.items()}
        with records.Log(settings, topic, start) as log:
            for batch in log.upto(left):
                found |= {record.partition: record.offset + 1 for record in batch}
        found |= {n: 0 for n in left if n not in found and start[n] == begins[n]}
        reach *= 100
    return found


def _wait_for(settings: Settings, role: Role, wanted: Behind, deadline: float) -> str | None:
    partitions = [TopicPartition(settings.named(topic), n) for topic, ends in wanted.items() for n in ends]
    with records.kafka(settings):
        group = Consumer({"bootstrap.servers": settings.kafka, "group.id": group_of(role, settings), "log_level": 0})
        try:
            while True:
                committed = group.committed(partitions, records.ASK_SECONDS)
                behind = {(tp.topic, tp.partition): tp.offset for tp in committed}
                if all(
                    behind[settings.named(t), n] >= end for t, ends in wanted.items() for n, end in ends.items() if end
                ):
                    return None
                if time.monotonic() > deadline:
                    return f"the {role} role has not handled all of {', '.join(wanted)} yet"
                time.sleep(PAUSE_SECONDS)
        finally:
            group.close()
