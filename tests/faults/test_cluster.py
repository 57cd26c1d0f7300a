"""Three brokers and a replica set: any server may end, nothing is lost or doubled, and commands are accepted again.

Nothing is refused meanwhile, unless the machine is so slow that a failover takes longer than the API waits. So these
tests print how many requests were refused, and do not depend on the number.

`make faults BROKERS=3` runs many and longer schedules.
"""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import psutil
import pytest
from cluster import BROKERS, Cluster, ClusterChaos
from load import CLIENTS, Load
from system import ADDRESS, PATIENCE_SECONDS, Api, eventually, wait_until
from verify import verdict

from domain.orders.commands import Hold
from ops.stack import state
from streams.kafka.failover import DEFAULT_SESSION_SECONDS, NOTICED_SECONDS
from streams.kafka.gateway import Gateway, GatewayUnavailable
from streams.kafka.partitions import partition_of
from streams.messages.envelope import CommandMessage, new_id, now
from streams.topic_setup import ensure_topics

SESSION_SECONDS = 3.0  # after which the local brokers are fenced, instead of the nine that Kafka has by default
SERVERS = [f"{role}-{number}" for role in ("kafka", "mongod") for number in range(1, BROKERS + 1)]


@pytest.fixture(scope="module")
def cluster(processes: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    system = Cluster(tmp_path_factory.mktemp("cluster"))
    system.up()
    try:
        yield system
    finally:
        system.down()


@pytest.fixture
async def api(cluster: Cluster) -> AsyncIterator[Api]:
    async with aiohttp.ClientSession(base_url=cluster.base + "/") as session:
        yield Api(session)


def test_every_message_is_kept_on_three_brokers(cluster: Cluster) -> None:
    assert {each["name"] for each in cluster.status()["processes"]} >= {*SERVERS}
    wait_until(lambda: cluster.status()["ready"], "all processes to be ready")
    wait_until(cluster.in_sync, "three replicas of each partition")
    wait_until(lambda: cluster.primary() in SERVERS, "a primary of MongoDB")


async def test_replaced_brokers_and_a_new_primary_lose_nothing(cluster: Cluster) -> None:
    """A rolling restart, then killed coordinators; then the primary of MongoDB steps down and its successor is killed.

    Requests are only refused with the advice to retry, and each is answered in the end.
    """
    chaos, load = ClusterChaos(cluster, seed=1), Load(cluster, seed=1)
    running = asyncio.create_task(load.run())
    for fault in (chaos.rolling_restart, chaos.killed_coordinators, chaos.killed_primary):
        await fault()
        await chaos.recovered()
        await accepts(load)
        print(f"{fault.__name__}: {load.promises}")
    load.stopping.set()
    await running
    assert len(chaos.injected) == BROKERS + 3
    assert (load.promises.failed, load.promises.unanswered) == ({}, 0), chaos.injected
    assert not (await verdict(cluster, load.promises)).broken, (chaos.injected, load.promises.unavailable)


async def accepts(load: Load) -> None:
    """Return when the API has kept as many more promises as there are clients."""
    wanted = load.promises.kept + CLIENTS
    await eventually(lambda: asyncio.sleep(0, load.promises.kept), lambda kept: kept >= wanted)


async def test_only_partitions_without_a_leader_refuse_commands(cluster: Cluster) -> None:
    """On topics with one replica, each partition has one broker that can lead it; one of them is suspended."""
    settings = cluster.settings.model_copy(update={"prefix": "alone-", "replication": 1})
    topic = settings.named("order-commands")
    await ensure_topics(settings)
    gateway = Gateway(settings)
    await gateway.start()
    await eventually(gateway.away, lambda away: away is None)
    # A busy broker may not tell in time how long its session is; then Kafka's default is assumed.
    assert gateway.patience in {each + NOTICED_SECONDS for each in (SESSION_SECONDS, DEFAULT_SESSION_SECONDS)}
    silent = await asyncio.to_thread(cluster.process, "kafka-2")
    led = await eventually(lambda: asyncio.to_thread(cluster.led_by, topic, 2), bool)
    keys: dict[int, str] = {}  # one for each partition
    while len(keys) < settings.partitions:
        key = f"o-{new_id()}"
        keys[partition_of(key.encode(), settings.partitions)] = key
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
    await eventually(lambda: asyncio.to_thread(cluster.led_by, topic, 2), lambda found: found == led)
    elected = time.monotonic()
    for each in led:
        await eventually(lambda each=each: refusal(each), lambda why: not why)
    print(f"accepted {time.monotonic() - elected:.1f} s after the election")
    await gateway.stop()


def command(order: str) -> CommandMessage:
    return CommandMessage(new_id(), order, Hold(reason="test"), now(), "test", "test")


async def test_it_is_supervised_like_a_single_broker(cluster: Cluster, api: Api) -> None:
    """Servers that end are restarted, and all end with their supervisor; their data survives."""
    await accepted(api, "PUT", "/inventory/cluster-boots", {"quantity": 5})
    lines = [{"productId": "cluster-boots", "quantity": 1, "price": "10.00"}]
    addresses = {"shippingAddress": ADDRESS, "billingAddress": ADDRESS}
    order = await accepted(api, "POST", "/orders", {"customerId": "c-1", "items": lines} | addresses)
    assert "restarted 1 workers" in cluster.run("restart", "api").stdout
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
