"""Wait until everything that older events caused has happened.

An event is written together with the commands it causes, so it is enough that the aggregates have handled all commands
on their topics. The committed offsets are compared with the last records, not with the ends of the partitions: these
may have transaction markers at the end, which are not included in committed offsets.
"""

import time

from ops.kafka import records
from streams.runtime.settings import Role, Settings
from streams.topology import AGGREGATES

PAUSE_SECONDS = 0.2
DECIDERS: dict[Role, str] = {aggregate.role: aggregate.commands.name for aggregate in AGGREGATES.values()}


def wait_until_settled(settings: Settings, deadline: float) -> str | None:
    """Return None when nothing caused by older events is in flight; at the deadline, the role that lags. Blocks."""
    commands = {topic: records.last_records(settings, topic) for topic in DECIDERS.values()}
    for role, topic in DECIDERS.items():
        if late := _wait_for(settings, role, topic, commands[topic], deadline):
            return late
    return None


def _wait_for(settings: Settings, role: Role, topic: str, ends: records.Offsets, deadline: float) -> str | None:
    while True:
        committed = records.committed(settings, role, topic)
        if all(committed[number] >= end for number, end in ends.items()):
            return None
        if time.monotonic() > deadline:
            return f"the {role} role has not handled all of {topic} yet"
        time.sleep(PAUSE_SECONDS)
