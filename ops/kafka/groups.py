"""Consumer groups, as an operator's command deals with them.

WorkersRun                     a group that must have no members has some
"""

import time
from collections.abc import Iterable
from typing import Any

from confluent_kafka import (
    ConsumerGroupState,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient

from ops.errors import CommandFailed
from streams.runtime.settings import Role, Settings
from streams.topics import admin
from streams.topology import group_of

ASK_SECONDS = 20.0


class WorkersRun(CommandFailed):
    """Somebody reads the topic that is to be adopted."""


def refuse_running(settings: Settings, roles: Iterable[Role]) -> None:
    """Wait as long as a worker that is gone is still a member of its group; then refuse."""
    client, until = admin(settings), time.monotonic() + settings.session_timeout + 2
    for role in sorted(roles):
        while (state := _state(client, group_of(role, settings))) not in (
            ConsumerGroupState.EMPTY,
            ConsumerGroupState.DEAD,
        ):
            if time.monotonic() > until:
                raise WorkersRun(
                    f"Workers of {role} run (their group is {state.name.lower()}): stop them first. On one machine: "
                    "`fulfillment down`, then `FULFILLMENT_ROLES= fulfillment up --detach` starts only the servers."
                )
            time.sleep(0.2)


def _state(client: AdminClient, group: str) -> Any:
    (described,) = client.describe_consumer_groups([group], request_timeout=ASK_SECONDS).values()
    try:
        return described.result(ASK_SECONDS).state
    except KafkaException as error:
        if error.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND:  # it never was, or expired
            return ConsumerGroupState.DEAD
        raise


def reset(settings: Settings, group: str, topic: str) -> None:
    """Let a group without members begin at the start of a topic (its full name)."""
    offsets = [TopicPartition(topic, number, 0) for number in range(settings.partitions)]
    client = admin(settings)
    (altered,) = client.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(group, offsets)]).values()
    altered.result(ASK_SECONDS)
