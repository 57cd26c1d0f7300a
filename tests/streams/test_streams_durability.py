"""Topics keep their records whatever the broker does by default, and what was lost before is reported."""

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, OffsetSpec, ResourceType
from kafka import alter
from real_kafka import create
from system import eventually, wait_until

from ops.kafka.topics import problems
from streams import topic_setup
from streams.runtime.settings import Settings
from streams.topic_setup import ensure_topics, requirements
from streams.topics import ORDER_COMMANDS, ORDER_EVENTS, ORDER_STATES, TOPICS, TopicDescription, describe_topics

MIB = 1 << 20
WEEK = "604800000"
AS_OLDER_CODE_DID = {"cleanup.policy": "delete", "retention.ms": "-1", "message.timestamp.type": "LogAppendTime"}


@contextmanager
def broker_default(settings: Settings, **config: str) -> Iterator[None]:
    """Let the broker have other defaults, as an operator who saves disk space would set them."""
    properties = {name.replace("_", "."): value for name, value in config.items()}
    alter(settings, ResourceType.BROKER, "1", properties)
    try:
        yield
    finally:
        alter(settings, ResourceType.BROKER, "1", dict.fromkeys(properties))


def start(settings: Settings, topic: str) -> int:
    """Return the first offset of a topic's first partition."""
    place = TopicPartition(topic, 0)
    client = AdminClient({"bootstrap.servers": settings.kafka})
    return int(client.list_offsets({place: OffsetSpec.earliest()})[place].result(120).offset)


def fill(settings: Settings, *topics: str) -> None:
    """Write 20 MiB to the first partition of each topic."""
    producer = Producer({"bootstrap.servers": settings.kafka})
    for topic in topics:
        for _ in range(40):
            producer.produce(topic, bytes(MIB // 2), partition=0)
        assert producer.flush(120) == 0


def let_the_broker_delete(settings: Settings, control: str) -> None:
    """Return when the broker has looked at every log for what to delete: `control` is cut in two rounds."""
    for _ in range(2):
        before = start(settings, control)
        fill(settings, control)
        wait_until(lambda before=before: start(settings, control) > before, "the broker to delete records")


async def described(settings: Settings) -> dict[str, TopicDescription]:
    return {each.name.removeprefix(settings.prefix): each for each in await describe_topics(settings)}


async def test_events_survive_a_broker_that_limits_the_size_of_logs(settings: Settings) -> None:
    """`retention.ms=-1` alone keeps them for ever only as long as `log.retention.bytes` is not set."""
    older = settings.model_copy(update={"prefix": f"older-{settings.prefix}"})
    lost, kept = create(older, "order-events", 4, AS_OLDER_CODE_DID), settings.named("order-events")
    with broker_default(settings, log_retention_bytes=str(MIB), log_segment_bytes=str(4 * MIB)):
        await ensure_topics(settings)
        control, commands = create(settings, "control"), settings.named("order-commands")
        (said,) = await problems(older)
        assert said.found == (
            f"retention.bytes is {MIB}, so records are deleted when a partition grows beyond that size: {lost}"
        )
        assert said.remedy == "run `fulfillment topics create`, which corrects it"
        fill(settings, lost, kept, commands)
        let_the_broker_delete(settings, control)
        assert start(settings, lost) > 0
        assert (start(settings, kept), start(settings, commands)) == (0, 0)
        assert await problems(settings) == []

        await ensure_topics(older)
        before = start(settings, lost)
        fill(settings, lost)
        let_the_broker_delete(settings, control)
        assert start(settings, lost) == before
        (said,) = await problems(older)
        assert said.found == f"events were deleted, these partitions begin after offset 0: {lost}/0@{before}"
        assert "restore the topic from a backup" in said.remedy


async def test_everything_that_keeps_records_is_stored_in_the_topic_itself(settings: Settings) -> None:
    """Also in topics of older code whose settings are right, because the broker's defaults may change."""
    create(settings, "inventory-events", 4, AS_OLDER_CODE_DID)
    create(settings, "orders-states-changelog", 4, {"cleanup.policy": "compact"})
    await ensure_topics(settings)
    needed = {topic.name: {each.setting: each.want for each in requirements(topic, 1)} for topic in TOPICS}
    found = await eventually(  # the broker may show them a moment after it stored them
        lambda: described(settings), lambda found: all(each.keys() <= found[name].own for name, each in needed.items())
    )
    for topic, settled in needed.items():
        assert {name: found[topic].config[name] for name in settled} == settled
    assert (found["order-events"].config["retention.bytes"], found["order-events"].replicas) == ("-1", 1)
    assert await problems(settings) == []


@pytest.mark.parametrize(
    ("topic", "config", "defaults", "want", "says"),
    [
        (
            "order-commands", {"retention.ms": WEEK}, {"log_retention_bytes": str(1 << 40)}, {"retention.bytes": "-1"},
            "deleted",
        ),
        (
            "order-events",
            {"retention.ms": "-1", "retention.bytes": str(1 << 40)},
            {"unclean_leader_election_enable": "true"},
            {"retention.bytes": "-1", "unclean.leader.election.enable": "false"},
            "a replica that lacks records may become the leader",
        ),
        (
            "orders-states-changelog",
            {"cleanup.policy": "compact", "delete.retention.ms": "0", "segment.bytes": str(MIB)},
            {},
            {"delete.retention.ms": "86400000", "segment.bytes": str(32 * MIB), "max.message.bytes": str(32 * MIB)},
            "gets entries back that were deleted",
        ),
        (
            "dead-letters",
            {"retention.ms": str(30 * 86_400_000), "max.message.bytes": "1000000"},
            {},
            {"max.message.bytes": str(32 * MIB)},
            "larger records are refused",
        ),
    ],
)  # fmt: skip
async def test_settings_that_lose_records_are_reported_and_corrected(
    settings: Settings, topic: str, config: dict[str, str], defaults: dict[str, str], want: dict[str, str], says: str
) -> None:
    name = create(settings, topic, 4, {"message.timestamp.type": "LogAppendTime"} | config)
    with broker_default(settings, **defaults) if defaults else nullcontext():
        said = await problems(settings)
        assert all("topics create" in each.remedy and name in each.found for each in said)
        assert any(says in each.found for each in said)
        assert {setting for setting in want if any(each.found.startswith(f"{setting} is") for each in said)} == set(
            want
        )
        await ensure_topics(settings)
        found = (await described(settings))[topic]
        assert {setting: found.config[setting] for setting in want} == want
        assert await problems(settings) == []


async def test_settings_that_an_operator_stored_in_a_topic_are_reported_and_kept(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """An operator may have to save disk space, or to accept records with one replica."""
    await ensure_topics(settings)
    stored = {
        "order-commands": {"retention.bytes": str(1 << 40)},
        "order-events": {"unclean.leader.election.enable": "true", "min.insync.replicas": "2"},
    }
    for topic, config in stored.items():
        alter(settings, ResourceType.TOPIC, settings.named(topic), config)
    reported = await problems(settings)
    caplog.clear()
    await ensure_topics(settings)
    found = await described(settings)
    assert {topic: {name: found[topic].config[name] for name in config} for topic, config in stored.items()} == stored
    assert await problems(settings) == reported
    for topic, config in stored.items():
        for name, value in config.items():
            assert f"{name} of {settings.named(topic)} stays {value}, as stored in it, so" in caplog.text
            (said,) = (each for each in reported if each.found.startswith(f"{name} is {value}, so"))
            assert said.found.endswith(settings.named(topic))
            want = next(each.want for each in requirements(ORDER_COMMANDS, 1) if each.setting == name)
            assert said.remedy.endswith(f"set it with kafka-configs.sh to {want}")


class Managed(AdminClient):
    """A client of a managed service, whose policy forbids a property of a topic."""

    forbidden = "unclean.leader.election.enable"

    def create_topics(self, new: Sequence[NewTopic], **options: Any) -> dict[str, Any]:
        refused = [each for each in new if self.forbidden in each.config]
        return {each.topic: _refusal() for each in refused} | self._other(super().create_topics, new, refused, options)

    def incremental_alter_configs(self, resources: Sequence[ConfigResource], **options: Any) -> dict[Any, Any]:
        refused = [each for each in resources if any(one.name == self.forbidden for one in each.incremental_configs)]
        other = self._other(super().incremental_alter_configs, resources, refused, options)
        return {each: _refusal() for each in refused} | other

    def _other(self, ask: Callable[..., Any], every: Sequence[Any], refused: Sequence[Any], options: Any) -> Any:
        other = [each for each in every if each not in refused]
        return ask(other, **options) if other else {}


def _refusal() -> Future[None]:
    refusal = Future[None]()
    refusal.set_exception(KafkaException(KafkaError(KafkaError.POLICY_VIOLATION, "not allowed here")))
    return refusal


async def test_a_service_that_forbids_a_setting_gets_all_others(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(topic_setup, "admin", lambda settings: Managed({"bootstrap.servers": settings.kafka}))
    assert len(await ensure_topics(settings)) == len(TOPICS)
    needed = {topic.name: {each.setting for each in requirements(topic, 1)} for topic in TOPICS}
    found = await eventually(  # the broker may show them a moment after it stored them
        lambda: described(settings),
        lambda found: all(each - found[name].own == {Managed.forbidden} for name, each in needed.items()),
    )
    for topic in TOPICS:
        assert found[topic.name].cleanup_policy == topic.cleanup
        assert found[topic.name].retention_ms == topic.retention_ms
    assert f"the broker's {Managed.forbidden} applies to {settings.named('order-events')}" in caplog.text
    assert await problems(settings) == []


async def test_stricter_settings_of_an_operator_are_left_alone(settings: Settings) -> None:
    await ensure_topics(settings)
    name, stricter = settings.named("orders-states-changelog"), {"delete.retention.ms": str(10 * 86_400_000)}
    alter(settings, ResourceType.TOPIC, name, stricter | {"max.message.bytes": str(64 * MIB)})
    assert await problems(settings) == []
    await ensure_topics(settings)
    found = (await described(settings))["orders-states-changelog"].config
    assert (found["delete.retention.ms"], found["max.message.bytes"]) == (str(10 * 86_400_000), str(64 * MIB))


@pytest.mark.parametrize(("setting", "value"), [("cleanup.policy", "compact"), ("retention.ms", "60000")])
async def test_a_decision_of_an_operator_is_reported_and_not_undone(
    settings: Settings, setting: str, value: str
) -> None:
    await ensure_topics(settings)
    name = settings.named("order-events")
    alter(settings, ResourceType.TOPIC, name, {setting: value})
    (said,) = await problems(settings)
    assert f"topic {name} has {setting} {value}, this installation needs" in said.found
    assert said.refused


async def test_events_that_an_operator_deleted_are_reported(settings: Settings) -> None:
    await ensure_topics(settings)
    name, producer = settings.named("inventory-events"), Producer({"bootstrap.servers": settings.kafka})
    for _ in range(3):
        producer.produce(name, b"event", partition=2)
    assert producer.flush(120) == 0
    place, client = TopicPartition(name, 2, 2), AdminClient({"bootstrap.servers": settings.kafka})
    client.delete_records([place])[place].result(120)
    (said,) = await problems(settings)
    assert said.found.endswith(f": {name}/2@2")


async def test_more_replicas_than_brokers_are_refused_by_the_broker(settings: Settings) -> None:
    with pytest.raises(KafkaException, match="replicat"):
        await ensure_topics(settings.model_copy(update={"replication": 3}))


@pytest.mark.parametrize(("replicas", "in_sync"), [(1, "1"), (2, None), (3, "2"), (5, "2")])
def test_two_of_three_replicas_must_have_a_record(replicas: int, in_sync: str | None) -> None:
    for topic in (ORDER_COMMANDS, ORDER_EVENTS, ORDER_STATES):
        needed: dict[str, Any] = {each.setting: each.want for each in requirements(topic, replicas)}
        assert needed.get("min.insync.replicas") == in_sync
