"""Topics are created as designed, once, and refused if they differ."""

import asyncio
import json
import subprocess
import sys
import time
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from confluent_kafka import Producer, TopicCollection
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType
from real_kafka import create, environment

from ops.doctor.servers import topics
from streams.kafka.received import received_at
from streams.runtime.settings import Settings
from streams.topic_setup import TopicMismatch, ensure_topics
from streams.topics import TOPICS, describe_topics

DAYS = 24 * 60 * 60 * 1000
TABLE = {  # design §2
    "order-commands": ("delete", 7 * DAYS),
    "order-events": ("delete", -1),
    "inventory-commands": ("delete", 7 * DAYS),
    "inventory-events": ("delete", -1),
    "command-outcomes": ("delete", 7 * DAYS),
    "dead-letters": ("delete", 30 * DAYS),
    "orders-states-changelog": ("compact", None),
    "inventory-stock-changelog": ("compact", None),
    "webhooks": ("compact", None),
}


def on_the_broker(settings: Settings) -> dict[str, tuple[int, str, int | None]]:
    """Return name without prefix → partitions, cleanup, retention, of every topic with the prefix."""
    client = AdminClient({"bootstrap.servers": settings.kafka})
    names = [name for name in client.list_topics(timeout=120).topics if name.startswith(settings.prefix)]
    found: dict[str, Any] = {}
    for name, topic in client.describe_topics(TopicCollection(names)).items():
        config = client.describe_configs([ConfigResource(ResourceType.TOPIC, name)])
        values = next(iter(config.values())).result(120)
        cleanup = values["cleanup.policy"].value
        retention = int(values["retention.ms"].value) if "delete" in cleanup else None
        found[name.removeprefix(settings.prefix)] = (len(topic.result(120).partitions), cleanup, retention)
    return found


async def test_topics_are_created_as_the_table_says_and_only_once(settings: Settings) -> None:
    assert await ensure_topics(settings) == sorted(settings.named(name) for name in TABLE)
    assert on_the_broker(settings) == {name: (4, *values) for name, values in TABLE.items()}
    before = {topic.name: topic.id for topic in await describe_topics(settings)}
    assert await ensure_topics(settings) == []
    assert {topic.name: topic.id for topic in await describe_topics(settings)} == before
    assert len(set(before.values())) == len(TOPICS)


async def test_missing_topics_are_added_to_existing_ones(settings: Settings) -> None:
    create(settings, "order-events", 4, {"cleanup.policy": "delete", "retention.ms": "-1"})
    assert len(await ensure_topics(settings)) == len(TABLE) - 1
    assert set(on_the_broker(settings)) == set(TABLE)


@pytest.mark.parametrize(
    ("name", "partitions", "config", "setting", "have", "want", "advice"),
    [
        ("order-events", 3, {"retention.ms": "-1"}, "partitions", "3", "4", "FULFILLMENT_PARTITIONS=3"),
        ("order-events", 4, {"retention.ms": "1000"}, "retention.ms", "1000", "-1", "on the broker"),
        ("order-commands", 4, {"retention.ms": "-1"}, "retention.ms", "-1", str(7 * DAYS), "on the broker"),
        ("order-events", 4, {"cleanup.policy": "compact"}, "cleanup.policy", "compact", "delete", "on the broker"),
        ("orders-states-changelog", 4, {"cleanup.policy": "compact,delete"}, "cleanup.policy", "compact,delete",
         "compact", "on the broker"),
        ("orders-states-changelog", 5, {"cleanup.policy": "compact"}, "partitions", "5", "4", "PARTITIONS=5"),
    ],
)  # fmt: skip
async def test_a_topic_with_other_settings_is_refused_and_nothing_is_created(
    settings: Settings, name: str, partitions: int, config: Any, setting: str, have: str, want: str, advice: str
) -> None:
    topic = create(settings, name, partitions, config)
    with pytest.raises(TopicMismatch) as refused:
        await ensure_topics(settings)
    sentence = str(refused.value)
    assert f"topic {topic} has {setting} {have}, this installation needs {want}" in sentence
    assert advice in sentence
    assert "FULFILLMENT_PREFIX" in sentence
    assert list(on_the_broker(settings)) == [name]


async def test_installations_with_other_prefixes_are_left_alone(settings: Settings) -> None:
    other = settings.model_copy(update={"prefix": f"other-{settings.prefix}", "partitions": 2})
    await ensure_topics(settings)
    await ensure_topics(other)
    assert {partitions for partitions, _, _ in on_the_broker(settings).values()} == {4}
    assert {partitions for partitions, _, _ in on_the_broker(other).values()} == {2}
    assert {topic.partitions for topic in await describe_topics(other)} == {2}


def test_processes_that_create_at_once_agree(settings: Settings) -> None:
    script = (
        "import asyncio, json; from streams.runtime.settings import Settings; "
        "from streams.topic_setup import ensure_topics; "
        "print(json.dumps(asyncio.run(ensure_topics(Settings()))))"
    )
    racing = [
        subprocess.Popen([sys.executable, "-c", script], env=environment(settings), stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    created = [json.loads(process.communicate(timeout=120)[0]) for process in racing]
    assert all(process.returncode == 0 for process in racing)
    assert sorted(name for names in created for name in names) == sorted(settings.named(name) for name in TABLE)
    assert set(on_the_broker(settings)) == set(TABLE)


def test_a_record_of_a_machine_whose_clock_is_ahead_is_taken(settings: Settings) -> None:
    """Kafka refuses records that are an hour ahead, unless told otherwise: that worker could not write any more."""
    topic, errors = create(settings, "ahead"), []
    producer = Producer({"bootstrap.servers": settings.kafka})
    ahead = int((time.time() + 400 * 86_400) * 1000)
    producer.produce(topic, b"value", timestamp=ahead, on_delivery=lambda error, _: errors.append(error))
    assert producer.flush(120) == 0
    assert errors == [None]


async def test_the_broker_stamps_the_records_of_all_topics_including_those_of_older_code(
    settings: Settings,
) -> None:
    """Where records are kept for a week, one of 2020 would be deleted before it is read, and one of 9999 never."""
    older = create(settings, "order-events", 4, {"retention.ms": "-1", "message.timestamp.type": "CreateTime"})
    producer = Producer({"bootstrap.servers": settings.kafka})
    producer.produce(older, b"before", partition=0, timestamp=1_577_836_800_000)
    assert producer.flush(120) == 0
    (finding,) = [each for each in await topics(settings) if "clocks" in each.found]
    assert (older in finding.found, "topics create" in finding.remedy) == (True, True)
    await ensure_topics(settings)
    assert {topic.config["message.timestamp.type"] for topic in await describe_topics(settings)} == {"LogAppendTime"}
    before = int(time.time() * 1000)
    for stamp in (1_577_836_800_000, 253_402_300_799_000):
        producer.produce(older, b"after", partition=0, timestamp=stamp)
    assert producer.flush(120) == 0
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.kafka, auto_offset_reset="earliest")
    await consumer.start()
    consumer.assign([TopicPartition(older, 0)])
    first, second, third = [await asyncio.wait_for(consumer.getone(), 120) for _ in range(3)]
    await consumer.stop()
    assert (first.timestamp, first.timestamp_type, received_at(first)) == (1_577_836_800_000, 0, 1_577_836_800)
    for record in (second, third):
        assert (record.timestamp_type, received_at(record)) == (1, record.timestamp / 1000)
        assert before <= record.timestamp <= time.time() * 1000 + 60_000
