"""A system on three brokers and three MongoDB nodes, and the faults of such a cluster.

At most one broker is down at a time, and the next one goes only when every replica is in sync again; unless the fault
says "two in a row": then the second one dies while the first still catches up.
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ClusterMetadata
from elections import Elections
from pymongo import MongoClient
from pymongo.errors import PyMongoError
from schedule import PAUSES, ROLES, WORKERS, Chaos
from system import System, eventually, free_ports, wait_until

from ops.stack import mongod
from streams.topology import group_of

BROKERS = MONGO_NODES = 3
DECIDING = ("orders", "inventory")  # the roles that write transactions
INTERNAL = {"group": "__consumer_offsets", "transaction": "__transaction_state"}  # where coordinators keep their state


class Cluster(System):
    """A running installation on three brokers and a replica set of three."""

    options = ("--brokers", str(BROKERS), "--mongo-replicas", str(MONGO_NODES))

    def __init__(self, data: Path, mongo_options: str = "", **overrides: str) -> None:
        first = free_ports(12)  # six for the servers, three for the controllers
        kafka = ",".join(f"127.0.0.1:{first + number}" for number in range(BROKERS))
        nodes = ",".join(f"127.0.0.1:{first + BROKERS + number}" for number in range(MONGO_NODES))
        mongo = f"mongodb://{nodes}/?replicaSet={mongod.REPLICA_SET}{mongo_options}"
        super().__init__(data, FULFILLMENT_KAFKA=kafka, FULFILLMENT_MONGO=mongo, **overrides)

    def in_sync(self) -> bool:
        """Return whether every partition has a leader and all of its replicas are in sync."""
        found = self._metadata()
        partitions = [each for topic in found.topics.values() for each in topic.partitions.values()] if found else []
        return bool(partitions) and all(each.leader > 0 and len(each.isrs) == BROKERS for each in partitions)

    def coordinator(self, kind: str, key: str) -> str | None:
        """Return the broker that coordinates a group or a transactional id; None while it is unknown."""
        leaders = self._leaders(INTERNAL[kind])
        leader = leaders[abs(_hash_code(key)) % len(leaders)] if leaders else 0
        return f"kafka-{leader}" if leader > 0 else None

    def led(self, topic: str) -> dict[int, list[int]]:
        """Return the partitions of a topic that each broker leads; nothing before every partition has a leader."""
        found = dict[int, list[int]]()
        for partition, leader in sorted(self._leaders(topic).items()):
            found.setdefault(leader, []).append(partition)
        return found if min(found, default=0) > 0 else {}

    def _leaders(self, topic: str) -> dict[int, int]:
        """Return the leader of each partition of a topic; nothing while that is unknown."""
        found = self._metadata(topic)
        return {number: each.leader for number, each in found.topics[topic].partitions.items()} if found else {}

    def _metadata(self, *topic: str) -> ClusterMetadata | None:
        """Return what the brokers say of a topic, or of all; None if none of them answers in time."""
        client = AdminClient({"bootstrap.servers": self.settings.kafka, "log_level": 0})
        with suppress(KafkaException):
            return client.list_topics(*topic, timeout=10)
        return None

    def primary(self) -> str | None:
        """Return the name of the MongoDB node that takes writes, or None during an election."""
        with suppress(PyMongoError, KeyError), self._mongo() as client:
            port = client.admin.command("hello")["primary"].rpartition(":")[2]
            numbers = {str(place[1]): number for number, place in enumerate(mongod.addresses(self.settings.mongo), 1)}
            return f"mongod-{numbers[port]}"
        return None

    def step_down(self) -> bool:
        """Let the primary of MongoDB hand over to another node; return whether it does."""
        with suppress(PyMongoError), self._mongo() as client:
            client.admin.command("replSetStepDown", 10, secondaryCatchUpPeriodSecs=5)
            return True
        return False

    def _mongo(self) -> MongoClient[dict[str, Any]]:
        return MongoClient(self.settings.mongo, serverSelectionTimeoutMS=10_000)


def _hash_code(text: str) -> int:
    """Return Java's hash code of a text, by which Kafka chooses a coordinator."""
    value = 0
    for character in text:
        value = (31 * value + ord(character)) & 0xFFFFFFFF
    return value - (1 << 32) if value >= 1 << 31 else value


@dataclass
class ClusterChaos(Chaos):
    """Injects faults of the brokers one by one, and besides faults of MongoDB's primary and of the workers."""

    system: Cluster
    elections: Elections = field(init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.victims, self.elections = WORKERS, Elections(self.system.settings)

    async def run(self, seconds: float) -> None:
        """Inject faults, and measure how long after each election clients are served again."""
        async with self.elections.measured():
            await super().run(seconds)
            await self.recovered()

    async def _inject(self) -> None:
        of_brokers = [self.broker, self.broker, self.coordinator, self.coordinator, self.two_in_a_row,
                      self.rolling_restart]  # fmt: skip
        besides = [self.primary, self._fault, self._nothing]  # while the replicas of the broker before catch up
        async with asyncio.TaskGroup() as faults:
            for among in (of_brokers, besides):
                faults.create_task(self.random.choice(among)())

    async def _nothing(self) -> None:
        """Inject no second fault."""

    async def broker(self) -> None:
        """Kill, stop or pause any broker."""
        await self._hit(f"kafka-{self.random.randint(1, BROKERS)}")

    async def coordinator(self) -> None:
        """Kill, stop or pause the coordinator of a role's group or of its transactions."""
        kind = self.random.choice(sorted(INTERNAL))
        role = self.random.choice(ROLES if kind == "group" else DECIDING)
        group = group_of(role, self.system.settings)  # type: ignore[arg-type]
        key = group if kind == "group" else f"{group}-0"
        await self._hit(await self._known(self.system.coordinator, kind, key), f" ({kind} coordinator of {role})")

    async def two_in_a_row(self) -> None:
        """Kill a broker, and another one as soon as the first runs again."""
        first, second = self.random.sample(range(1, BROKERS + 1), 2)
        await self.recovered()
        await self._restart(f"kafka-{first}", signal.SIGKILL, " (first of two in a row)")
        await self._signal(f"kafka-{second}", signal.SIGKILL, " (second of two in a row)")

    async def rolling_restart(self) -> None:
        """Stop the brokers one after the other, each when all replicas are in sync."""
        for number in range(1, BROKERS + 1):
            await self.recovered()
            await self._restart(f"kafka-{number}", signal.SIGTERM, " (rolling restart)")

    async def primary(self) -> None:
        """Kill, stop or pause the primary of MongoDB, or let it step down."""
        if self.random.random() < 0.3:
            self.injected.append("step down of MongoDB's primary")
            await asyncio.to_thread(self.system.step_down)
        else:
            await self._strike(await self._known(self.system.primary), " (primary)")

    async def killed_coordinators(self) -> None:
        """Kill the coordinator of the orders' group, and then the one of their transactions."""
        group = group_of("orders", self.system.settings)
        for kind, key in (("group", group), ("transaction", f"{group}-0")):
            await self.recovered()
            name = await self._known(self.system.coordinator, kind, key)
            await self._restart(name, signal.SIGKILL, f" ({kind} coordinator of orders)")

    async def killed_primary(self) -> None:
        """Let the primary of MongoDB step down, and kill its successor."""
        reads = len(self.elections.reads)
        await asyncio.to_thread(wait_until, self.system.step_down, "the primary to step down")
        await self._more_reads_than(reads)  # the election of the successor, which would otherwise be killed unnoticed
        reads = len(self.elections.reads)
        await self._restart(await self._known(self.system.primary), signal.SIGKILL, " (primary)")
        await self._more_reads_than(reads)

    async def _more_reads_than(self, before: int) -> None:
        """Return once a read after another election of a primary has been measured."""
        await eventually(lambda: asyncio.sleep(0, len(self.elections.reads)), lambda reads: reads > before)

    async def _hit(self, name: str, why: str = "") -> None:
        await self.recovered()
        await self._strike(name, why)

    async def _strike(self, name: str, why: str) -> None:
        faults: list[Callable[[], Awaitable[None]]] = [
            lambda: self._signal(name, signal.SIGKILL, why),
            lambda: self._signal(name, signal.SIGTERM, why),
            lambda: self._pause(name, self.random.choice(PAUSES), why),
        ]
        await self.random.choice(faults)()

    async def recovered(self) -> None:
        await asyncio.to_thread(wait_until, self.system.in_sync, "all replicas to be in sync")

    async def _known(self, ask: Callable[..., str | None], *about: str) -> str:
        """Return the name of a process as soon as it is known."""
        return str(await eventually(lambda: asyncio.to_thread(ask, *about), lambda name: name is not None))

    async def _restart(self, name: str, sign: signal.Signals, why: str) -> None:
        """End a process, and wait until the next one of that name answers."""
        before = await eventually(lambda: self._process(name), lambda process: process is not None)
        assert before is not None
        self.injected.append(f"{sign.name} {name}{why}")
        before.send_signal(sign)

        def answers() -> bool:
            processes = {each["name"]: each for each in self.system.status()["processes"]}
            return processes[name]["state"] == "ready" and processes[name]["pid"] not in (None, before.pid)

        await asyncio.to_thread(wait_until, answers, f"{name} to run again")
