"""The contract holds on brokers that ask for TLS and a password, also while one of them dies."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress

import pytest
from cluster import BROKERS
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType
from load import CLIENTS, Load
from secured_cluster import PASSWORD, Brokers, SecuredSystem, secured_system
from system import eventually, wait_until
from verify import verdict

from streams.topics import TOPICS

KILLED, NOBODY = 2, -1  # the id of broker 1, as ids begin with 1; the leader of a partition that has none


@pytest.fixture(scope="module")
def secured(
    processes: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[SecuredSystem, Brokers]]:  # fmt: skip
    with secured_system(tmp_path_factory.mktemp("secured")) as running:
        yield running


def test_every_topic_has_three_replicas_of_which_two_must_write(secured: tuple[SecuredSystem, Brokers]) -> None:
    system, _ = secured
    client = AdminClient({"bootstrap.servers": system.settings.kafka})
    names = [system.settings.named(topic.name) for topic in TOPICS]
    found = client.list_topics(timeout=120).topics
    replicas = {len(each.replicas) for name in names for each in found[name].partitions.values()}
    asked = client.describe_configs([ConfigResource(ResourceType.TOPIC, name) for name in names])
    assert replicas == {BROKERS}
    assert {future.result(120)["min.insync.replicas"].value for future in asked.values()} == {str(BROKERS - 1)}


async def test_every_promise_is_kept_although_a_broker_dies(secured: tuple[SecuredSystem, Brokers]) -> None:
    system, brokers = secured
    load = Load(system, seed=1)

    async def more_promises() -> None:
        wanted = load.promises.kept + 5 * CLIENTS
        await eventually(lambda: asyncio.sleep(0, load.promises.kept), lambda kept: kept >= wanted)

    async with load.running():
        await more_promises()
        await asyncio.to_thread(brokers.kill, 1)
        await more_promises()
        await asyncio.to_thread(wait_until, lambda: elected(system), "other brokers to lead all commands")
        await asyncio.to_thread(brokers.start, 1)
        await more_promises()
    assert (load.promises.failed, load.promises.unanswered) == ({}, 0)
    assert not (await verdict(system, load.promises)).broken, load.promises.unavailable
    await asyncio.to_thread(wait_until, lambda: bool(system.status()["ready"]), "all processes to be ready")


def elected(system: SecuredSystem) -> bool:
    """Return whether every partition of commands has a leader other than the killed broker."""
    topic, client = system.settings.named("order-commands"), AdminClient({"bootstrap.servers": system.settings.kafka})
    with suppress(KafkaException):
        found = client.list_topics(topic, timeout=10).topics[topic].partitions
        return bool(found) and all(each.leader not in (KILLED, NOBODY) for each in found.values())
    return False


def test_no_log_and_no_command_line_shows_the_password(secured: tuple[SecuredSystem, Brokers]) -> None:
    system, _ = secured
    wait_until(lambda: bool(system.status()["ready"]), "all processes to be ready")
    logs = [file.read_text(errors="replace") for file in (system.settings.data / "logs").iterdir()]
    assert logs
    assert not any(PASSWORD in log for log in logs)
    assert PASSWORD not in system.run("doctor", check=False).stdout + system.run("settings").stdout
