"""Kafka as other programs use it: hand-written commands, and topics read from the beginning."""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from typing import Any
from uuid import uuid4

import orjson
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ConfigSource,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)
from system import wait_until

from streams.runtime.settings import Settings

STORED = {
    ResourceType.TOPIC: ConfigSource.DYNAMIC_TOPIC_CONFIG,
    ResourceType.BROKER: ConfigSource.DYNAMIC_BROKER_CONFIG,
}


def produce(
    settings: Settings, topic: str, key: str | None, value: Any, partition: int = -1, headers: Any = None
) -> None:
    """Send one message as a foreign client would, hashed by librdkafka's own rule."""
    producer = Producer({"bootstrap.servers": settings.kafka})
    raw = value if isinstance(value, bytes) else orjson.dumps(value)
    producer.produce(topic, key=key, value=raw, partition=partition, headers=headers)
    assert producer.flush(120) == 0


def records(settings: Settings, topic: str) -> list[Any]:
    """Return all committed messages of a topic, partition by partition, because readers mix partitions in any order."""
    reader = Consumer(
        {"bootstrap.servers": settings.kafka, "group.id": "tests", "isolation.level": "read_committed"}
        | {"enable.auto.commit": False, "enable.partition.eof": True}
    )
    partitions = list(reader.list_topics(topic, timeout=120).topics[topic].partitions)
    reader.assign([TopicPartition(topic, partition, 0) for partition in partitions])
    try:
        found = list(_until_end(reader, len(partitions)))
        return sorted(found, key=lambda record: (record.partition(), record.offset()))
    finally:
        reader.close()


def _until_end(reader: Consumer, partitions: int) -> Iterator[Any]:
    ended: set[int] = set()
    while len(ended) < partitions:
        message = reader.poll(120)
        assert message is not None, "Kafka did not answer for 120 s"
        if (error := message.error()) is None:
            yield message
        elif error.code() == KafkaError._PARTITION_EOF:
            ended.add(message.partition())
        else:  # such as a broker that does not answer, which librdkafka asks again
            assert not error.fatal(), error


def messages(settings: Settings, topic: str, holds: Callable[[Any], bool] = bool) -> list[dict[str, Any]]:
    """Return the JSON of a topic's messages for which `holds` is true."""
    found = []
    for record in records(settings, topic):
        try:
            message = orjson.loads(record.value())
        except orjson.JSONDecodeError:
            continue
        with suppress(KeyError, TypeError, AttributeError):  # messages of other shapes, which other tests send
            if holds(message):
                found.append(message)
    return found


def await_message(settings: Settings, topic: str, holds: Callable[[Any], bool]) -> dict[str, Any]:
    """Return the first message of which `holds`, as soon as it is in the topic."""
    wait_until(lambda: bool(messages(settings, topic, holds)), f"a message in {topic}")
    return messages(settings, topic, holds)[0]


def reset_to_zero(settings: Settings, group: str, *topics: str) -> None:
    """Set a group's offsets to zero, like an operator who wants a replay; its members must be gone."""
    admin = AdminClient({"bootstrap.servers": settings.kafka})
    offsets = [TopicPartition(topic, partition, 0) for topic in topics for partition in range(settings.partitions)]
    for future in admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(group, offsets)]).values():
        future.result(120)


def grant(client: AdminClient, rights: Collection[AclBinding]) -> None:
    """Add rights, or denials; return when the broker applies them, which it does after it confirmed them."""
    for future in client.create_acls(list(rights)).values():
        future.result(120)
    await_rights(client, rights)


def await_rights(client: AdminClient, rights: Collection[AclBinding]) -> None:
    """Return when the broker applies rights."""
    wait_until(lambda: _acls(client) >= {*rights}, "the broker to apply rights")


def revoke(client: AdminClient, rights: Collection[AclBinding]) -> None:
    """Remove rights, or denials; return when the broker no longer applies them."""
    exactly = [
        AclBindingFilter(
            each.restype, each.name, each.resource_pattern_type, each.principal, each.host, each.operation,
            each.permission_type,
        )
        for each in rights
    ]  # fmt: skip
    for future in client.delete_acls(exactly).values():
        future.result(120)
    wait_until(lambda: not _acls(client) & {*rights}, "the broker to apply rights")


def _acls(client: AdminClient) -> set[AclBinding]:
    every = AclBindingFilter(
        ResourceType.ANY, None, ResourcePatternType.ANY, None, None, AclOperation.ANY, AclPermissionType.ANY
    )
    return {*client.describe_acls(every).result(120)}


def alter(settings: Settings, kind: ResourceType, name: str, config: Mapping[str, str | None]) -> None:
    """Set properties of a topic or a broker, or remove those with None; return when the broker applies them.

    Kafka confirms a change before the broker applies it. A broker shows a change shortly before it applies it, and
    applies changes in their order, so once it shows a later one, the earlier ones hold.
    """
    client = AdminClient({"bootstrap.servers": settings.kafka})  # its futures die with it
    _alter(client, kind, name, config)
    later = f"applied-{uuid4().hex}"
    client.create_topics([NewTopic(later, 1, 1)])[later].result(120)
    wait_until(lambda: later in client.list_topics(timeout=120).topics, "the broker to show a later change")
    client.delete_topics([later])[later].result(120)


def _alter(client: AdminClient, kind: ResourceType, name: str, config: Mapping[str, str | None]) -> None:
    entries = [
        ConfigEntry(
            key, value, incremental_operation=AlterConfigOpType.DELETE if value is None else AlterConfigOpType.SET
        )
        for key, value in config.items()
    ]
    (future,) = client.incremental_alter_configs([ConfigResource(kind, name, incremental_configs=entries)]).values()
    future.result(120)
    wait_until(lambda: _shown(client, kind, name, config), "the broker to show the new values")


def _shown(client: AdminClient, kind: ResourceType, name: str, config: Mapping[str, str | None]) -> bool:
    (asked,) = client.describe_configs([ConfigResource(kind, name)]).values()
    found = asked.result(120)
    return all(
        found[key].source != STORED[kind].value if value is None else found[key].value == value
        for key, value in config.items()
    )
