"""Three brokers and a replica set: any server may end, nothing is refused meanwhile, and nothing is lost.

`make faults BROKERS=3` runs many and longer schedules.
"""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator

import aiohttp
import psutil
import pytest
from cluster import BROKERS, Cluster, ClusterChaos
from load import Load
from system import PATIENCE_SECONDS, Api, eventually, wait_until
from verify import verdict

from domain.orders.commands import Hold
from ops.stack import state
from streams.kafka.failover import NOTICED_SECONDS
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


async def under_load(cluster: Cluster, chaos: ClusterChaos) -> Load:
    """Do all that `chaos` was told under load; return the load, after all its promises were checked."""
    load = Load(cluster, chaos.seed)
    running = asyncio.create_task(load.run())
    for fault in chaos.told:
        await fault()
    await chaos.recovered()
    load.stopping.set()
    await running
    assert load.promises.done, "the load had no effect"
    assert not (await verdict(cluster, load.promises)).broken, chaos.injected
    return load


def test_every_message_is_kept_on_three_brokers(cluster: Cluster) -> None:
    status = cluster.status()
    assert status["ready"]
    assert {each["name"] for each in status["processes"]} >= {*SERVERS}
    wait_until(cluster.in_sync, "three replicas of each partition")
    assert cluster.primary() in SERVERS


async def test_a_rolling_restart_of_all_brokers_refuses_nothing(cluster: Cluster) -> None:
    chaos = ClusterChaos(cluster, seed=1)
    chaos.told = [chaos.rolling_restart]
    load = await under_load(cluster, chaos)
    assert len(chaos.injected) == BROKERS
    assert (load.promises.unavailable, load.promises.unanswered) == ({}, 0)


async def test_killed_brokers_and_a_new_primary_refuse_nothing(cluster: Cluster) -> None:
    chaos = ClusterChaos(cluster, seed=2)
    chaos.told = [chaos.killed_coordinators, chaos.killed_primary]
    load = await under_load(cluster, chaos)
    assert chaos.injected
    assert (load.promises.unavailable, load.promises.unanswered) == ({}, 0)


async def test_only_partitions_without_a_leader_refuse_commands(cluster: Cluster) -> None:
    """On topics with one replica, each partition has one broker that can lead it; one of them is suspended."""
    settings = cluster.settings.model_copy(update={"prefix": "alone-", "replication": 1})
    await ensure_topics(settings)
    gateway = Gateway(settings)
    await gateway.start()
    await eventually(gateway.away, lambda away: away is None)
    assert gateway.patience == SESSION_SECONDS + NOTICED_SECONDS
    silent = await asyncio.to_thread(cluster.process, "kafka-2")
    led = await asyncio.to_thread(cluster.led_by, settings.named("order-commands"), 2)
    keys = [f"o-{number}" for number in range(100)]
    theirs = [key for key in keys if partition_of(key.encode(), settings.partitions) in led]
    others = [key for key in keys if key not in theirs]
    assert theirs
    assert others

    async def refused(key: str) -> bool:
        try:
            await gateway.send([command(key)])
        except GatewayUnavailable:
            return True
        return False

    silent.suspend()
    try:
        unanswered = asyncio.gather(*(refused(key) for key in theirs))
        while not unanswered.done():
            assert not any(await asyncio.gather(*(refused(key) for key in others)))
        assert all(await unanswered)
        with pytest.raises(GatewayUnavailable, match="does not answer: nothing was sent"):
            await gateway.send([command(theirs[0])])
        assert await gateway.away() is None, "it still answers for the other partitions"
    finally:
        silent.resume()
    topic = settings.named("order-commands")
    await eventually(lambda: asyncio.to_thread(cluster.led_by, topic, 2), lambda found: found == led)
    elected = time.monotonic()
    for key in theirs:
        await eventually(lambda key=key: refused(key), lambda no: not no)
    print(f"accepted {time.monotonic() - elected:.1f} s after the election")
    await gateway.stop()


def command(order: str) -> CommandMessage:
    return CommandMessage(new_id(), order, Hold(reason="test"), now(), "test", "test")


async def test_it_is_supervised_like_a_single_broker(cluster: Cluster, api: Api) -> None:
    """Servers that end are restarted, and all end with their supervisor; their data survives."""
    await api.stock("cluster-boots", 5)
    order = await api.place(("cluster-boots", 1))
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
