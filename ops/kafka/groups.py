"""Check that consumer groups are empty, and reset their offsets.

WorkersRun                     a group that must be empty has members
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
    """Workers still read a topic that is to be adopted."""


def refuse_running(settings: Settings, roles: Iterable[Role]) -> None:
    """Raise `WorkersRun` if a role has workers; wait for workers that ended but are still group members."""
    client, until = admin(settings), time.monotonic() + settings.session_timeout + 2
    for role in sorted(roles):
        while (state := _state(client, group_of(role, settings))) not in (
            ConsumerGroupState.EMPTY,
            ConsumerGroupState.DEAD,
        ):
            if time.monotonic() > until:
                raise WorkersRun(
                    f"Workers of {role} are running (the state of their group is {state.name.lower()}): stop them "
                    "first. On one machine, run `fulfillment down`, then start only the servers with "
                    "`FULFILLMENT_ROLES= fulfillment up --detach`."
                )
            time.sleep(0.2)


def _state(client: AdminClient, group: str) -> Any:
    (described,) = client.describe_consumer_groups([group], request_timeout=ASK_SECONDS).values()
    try:
        return described.result(ASK_SECONDS).state
    except KafkaException as error:
        if error.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND:  # the group has never existed, or has expired
            return ConsumerGroupState.DEAD
        raise


def reset(settings: Settings, group: str, topic: str) -> None:
    """Reset a group without members to the start of a topic, which is given by its full name."""
    offsets = [TopicPartition(topic, number, 0) for number in range(settings.partitions)]
    client = admin(settings)
    (altered,) = client.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(group, offsets)]).values()
    altered.result(ASK_SECONDS)
