"""Three brokers and a replica set: any server may end, nothing is refused, lost or doubled.

The API waits for a failover longer here than by default, because this machine may be slow; `make faults BROKERS=3` runs
many and longer schedules with the default limits. How soon a partition accepts commands again is counted in looks for
its leader, which are `LOOK_SECONDS` apart on a machine that is not busy.
"""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import psutil
import pytest
from cluster import BROKERS, Cluster, ClusterChaos
from elections import command, key_of, summary
from load import CLIENTS, Load
from system import ADDRESS, PATIENCE_SECONDS, PATIENT, Api, api_at, eventually, wait_until
from verify import verdict

from ops.doctor.servers import topics
from ops.kafka.topics import problems
from ops.stack import state
from streams.kafka import gateway as gateways
from streams.kafka.failover import DEFAULT_SESSION_SECONDS, NOTICED_SECONDS
from streams.kafka.gateway import LOOK_SECONDS, Gateway, GatewayUnavailable
from streams.kafka.lookout import Lookout
from streams.topic_setup import ensure_topics

PATIENT_MONGO = "&serverSelectionTimeoutMS=60000&timeoutMS=60000"
MOST_LOOKS = int(2 / LOOK_SECONDS)  # a partition accepts commands again within two seconds of its leader's election
SESSION_SECONDS = 3.0  # after which the local brokers are fenced, instead of the nine that Kafka has by default
SERVERS = [f"{role}-{number}" for role in ("kafka", "mongod") for number in range(1, BROKERS + 1)]


@pytest.fixture(scope="module")
def cluster(processes: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    system = Cluster(tmp_path_factory.mktemp("cluster"), PATIENT_MONGO, **PATIENT)
    system.up()
    try:
        yield system
    finally:
        system.down()


@pytest.fixture
async def api(cluster: Cluster) -> AsyncIterator[Api]:
    async with api_at(cluster.base) as api:
        yield api


def test_every_message_is_kept_on_three_brokers(cluster: Cluster) -> None:
    assert {each["name"] for each in cluster.status()["processes"]} >= {*SERVERS}
    wait_until(lambda: cluster.status()["ready"], "all processes to be ready")
    wait_until(cluster.in_sync, "three replicas of each partition")
    wait_until(lambda: cluster.primary() in SERVERS, "a primary of MongoDB")


async def test_replaced_brokers_and_a_new_primary_refuse_and_lose_nothing(cluster: Cluster) -> None:
    """A rolling restart; killed coordinators; the primary of MongoDB steps down and its successor is killed."""
    chaos, load = ClusterChaos(cluster, seed=1), Load(cluster, seed=1)
    async with load.running(), chaos.elections.measured():
        for fault in (chaos.rolling_restart, chaos.killed_coordinators, chaos.killed_primary):
            await fault()
            await chaos.recovered()
            await accepts(load)
    print(summary(chaos.elections.partitions, chaos.elections.reads))
    assert len(chaos.injected) == BROKERS + 3
    assert (load.promises.unavailable, chaos.elections.refused) == ({}, {}), chaos.injected
    assert (load.promises.failed, load.promises.unanswered) == ({}, 0), chaos.injected
    assert len(chaos.elections.reads) >= 2, "one for each primary that MongoDB elected"
    assert not (await verdict(cluster, load.promises)).broken, chaos.injected


async def accepts(load: Load) -> None:
    """Return when the API has kept as many more promises as there are clients."""
    wanted = load.promises.kept + CLIENTS
    await eventually(lambda: asyncio.sleep(0, load.promises.kept), lambda kept: kept >= wanted)


class Looks(Lookout):
    """Lookouts whose looks are counted."""

    count = 0

    async def look(self) -> Any:
        """Count the look."""
        found = await super().look()
        Looks.count += 1
        return found


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> type[Looks]:
    """Counts how often a gateway looks for leaders."""
    monkeypatch.setattr(gateways, "Lookout", Looks)
    return Looks


async def test_commands_for_a_suspended_leader_are_accepted_soon_after_it_was_replaced(
    cluster: Cluster, looks: type[Looks]
) -> None:
    topic, partitions = cluster.settings.named("order-commands"), cluster.settings.partitions
    await eventually(lambda: asyncio.to_thread(cluster.in_sync), bool)
    gateway = Gateway(cluster.settings)
    await gateway.start()
    await eventually(gateway.away, lambda away: away is None)
    leader, led = await a_leader(cluster, topic)
    suspended = await asyncio.to_thread(cluster.process, f"kafka-{leader}")
    suspended.suspend()
    try:
        sending = asyncio.gather(*(gateway.send([command(key_of(each, partitions))]) for each in led))
        async with Lookout(cluster.settings, {topic}, (), 1000) as lookout:
            await eventually(lookout.look, lambda found: not {leader, -1} & leaders_of(found, led))
        elected, before = time.monotonic(), looks.count
        await sending
        print(f"accepted {time.monotonic() - elected:.1f} s after the election")
        assert looks.count - before <= MOST_LOOKS
    finally:
        suspended.resume()
        await gateway.stop()


async def a_leader(cluster: Cluster, topic: str) -> tuple[int, list[int]]:
    """Return the broker that leads most partitions of a topic, and these: after failovers, some broker leads none."""
    led = await eventually(lambda: asyncio.to_thread(cluster.led, topic), bool)
    return max(led.items(), key=lambda each: len(each[1]))


def leaders_of(metadata: Any, partitions: list[int]) -> set[int]:
    """Return the brokers that lead some partitions of the only topic; -1 if one has no leader."""
    ((*_, found),) = metadata.topics
    return {leader for _, partition, leader, *_ in found if partition in partitions}


async def test_only_partitions_without_a_leader_refuse_commands(cluster: Cluster, looks: type[Looks]) -> None:
    """On topics with one replica, each partition has one broker that can lead it; one of them is suspended."""
    alone = {"prefix": "alone-", "replication": 1, "command_timeout": 5.0}
    settings = cluster.settings.model_copy(update=alone)
    topic = settings.named("order-commands")
    await eventually(lambda: asyncio.to_thread(cluster.in_sync), bool)  # so that each broker gets partitions
    await ensure_topics(settings)
    gateway = Gateway(settings)
    await gateway.start()
    await eventually(gateway.away, lambda away: away is None)
    # A busy broker may not tell in time how long its session is; then Kafka's default is assumed.
    assert gateway.patience in {each + NOTICED_SECONDS for each in (SESSION_SECONDS, DEFAULT_SESSION_SECONDS)}
    leader, led = await a_leader(cluster, topic)
    silent = await asyncio.to_thread(cluster.process, f"kafka-{leader}")
    keys = {each: key_of(each, settings.partitions) for each in range(settings.partitions)}
    others = keys.keys() - {*led}
    assert others

    async def refusal(partition: int) -> str:
        try:
            await gateway.send([command(keys[partition])])
        except GatewayUnavailable as error:
            return str(error)
        return ""

    late = set[int]()  # partitions that a slow machine did not let accept a command in time; only these may refuse

    async def other(partition: int) -> str:
        if "in time" in (why := await refusal(partition)):
            late.add(partition)
        return why

    silent.suspend()
    try:
        unanswered = asyncio.gather(*(refusal(each) for each in led))
        while not unanswered.done():
            found = dict(zip(others, await asyncio.gather(*map(other, others)), strict=True))
            assert {each for each, why in found.items() if why} <= late, found
        assert all(await unanswered)
        print(f"{len(late)} of {len(others)} other partitions were slow")
        for each in led:
            await eventually(lambda each=each: refusal(each), lambda why: "does not answer: nothing was sent" in why)
        for each in others:
            await eventually(lambda each=each: refusal(each), lambda why: not why)
        await eventually(gateway.away, lambda away: away is None)  # it still answers for the other partitions
    finally:
        silent.resume()
    await eventually(lambda: asyncio.to_thread(cluster.led, topic), lambda found: found.get(leader) == led)
    elected, before = time.monotonic(), looks.count
    for each in led:
        await eventually(lambda each=each: refusal(each), lambda why: not why)
    print(f"accepted {time.monotonic() - elected:.1f} s after the election")
    assert looks.count - before <= MOST_LOOKS
    await gateway.stop()


async def test_it_is_supervised_like_a_single_broker(cluster: Cluster, api: Api) -> None:
    """Servers that end are restarted, and all end with their supervisor; their data survives."""
    await accepted(api, "PUT", "/inventory/cluster-boots", {"quantity": 5})
    lines = [{"productId": "cluster-boots", "quantity": 1, "price": "10.00"}]
    addresses = {"shippingAddress": ADDRESS, "billingAddress": ADDRESS}
    order = await accepted(api, "POST", "/orders", {"customerId": "c-1", "items": lines} | addresses)
    assert "restarted 1 worker\n" in cluster.run("restart", "api").stdout
    assert cluster.run("up", "--brokers", "1", check=False).returncode == os.EX_UNAVAILABLE  # it is running
    stack = state.read(cluster.settings.data)
    assert stack is not None
    processes = [psutil.Process(pid) for pid in (stack.pid, *(each.pid for each in stack.processes)) if pid]
    os.kill(stack.pid, signal.SIGKILL)
    await asyncio.to_thread(psutil.wait_procs, processes, PATIENCE_SECONDS)
    assert not [each for each in processes if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]
    refused = cluster.run("up", "--detach", check=False)
    assert refused.returncode
    assert "--brokers 3" in refused.stderr
    await asyncio.to_thread(cluster.up)
    await api.order(order["id"], lambda found: found["allocationStatus"] == "ALLOCATED")


async def accepted(api: Api, method: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Return the data of the first answer that accepts a command."""
    _, answer, _ = await eventually(lambda: api(method, path, body), lambda answer: answer[0] < 300)
    return dict(answer["data"])


async def test_topics_with_fewer_replicas_than_the_brokers_can_keep_are_reported(cluster: Cluster) -> None:
    """This test is the last one, because its topics never have three replicas that are in sync."""
    assert [each for each in await topics(cluster.settings) if each.what == "durability"] == []
    alone = cluster.settings.model_copy(update={"prefix": "alone-", "replication": 1})
    await ensure_topics(alone)
    (found,) = [each for each in await topics(alone) if each.what == "durability"]
    assert found.found.startswith("there are 1 replicas where 3 are possible (3 brokers)")
    assert "alone-order-events" in found.found
    assert "set FULFILLMENT_REPLICATION=3" in found.remedy
    (said,) = await problems(alone)  # as `topics create`, `topics list` and `status` print it
    assert (said.found, said.remedy) == (found.found, found.remedy)
