"""Kafka as other programs use it: hand-written commands, and topics read from the beginning."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import orjson
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from system import wait_until

from streams.runtime.settings import Settings


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
