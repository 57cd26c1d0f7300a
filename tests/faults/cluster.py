"""A system on three brokers and three MongoDB nodes, and the faults of such a cluster.

At most one broker is down at a time, and the next one goes only when every replica is in sync again; unless the fault
says "two in a row": then the second one dies while the first still catches up.
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from pymongo import MongoClient
from pymongo.errors import PyMongoError
from schedule import PAUSES, ROLES, WORKERS, Chaos
from system import System, free_ports, wait_until

from ops.stack import mongod
from streams.topology import group_of

BROKERS = MONGO_NODES = 3
DECIDING = ("orders", "inventory")  # the roles that write transactions
INTERNAL = {"group": "__consumer_offsets", "transaction": "__transaction_state"}  # where coordinators keep their state


class Cluster(System):
    """A running installation on three brokers and a replica set of three."""

    options = ("--brokers", str(BROKERS), "--mongo-replicas", str(MONGO_NODES))

    def __init__(self, data: Path, **overrides: str) -> None:
        first = free_ports(12)  # six for the servers, three for the controllers
        kafka = ",".join(f"127.0.0.1:{first + number}" for number in range(BROKERS))
        nodes = ",".join(f"127.0.0.1:{first + BROKERS + number}" for number in range(MONGO_NODES))
        mongo = f"mongodb://{nodes}/?replicaSet={mongod.REPLICA_SET}"
        super().__init__(data, FULFILLMENT_KAFKA=kafka, FULFILLMENT_MONGO=mongo, **overrides)

    def in_sync(self) -> bool:
        """Return whether every partition has a leader and all of its replicas are in sync."""
        try:
            topics = AdminClient({"bootstrap.servers": self.settings.kafka, "log_level": 0}).list_topics(timeout=5)
        except KafkaException:
            return False
        partitions = [each for topic in topics.topics.values() for each in topic.partitions.values()]
        return bool(partitions) and all(each.leader > 0 and len(each.isrs) == BROKERS for each in partitions)

    def coordinator(self, kind: str, key: str) -> str | None:
        """Return the broker that coordinates a group or a transactional id; None while there is none."""
        with suppress(KafkaException, KeyError):
            topic = INTERNAL[kind]
            client = AdminClient({"bootstrap.servers": self.settings.kafka, "log_level": 0})
            partitions = client.list_topics(topic, timeout=5).topics[topic].partitions
            leader = partitions[abs(_hash_code(key)) % len(partitions)].leader
            return f"kafka-{leader}" if leader > 0 else None
        return None

    def led_by(self, topic: str, broker: int) -> list[int]:
        """Return the partitions of a topic that a broker leads."""
        topics = AdminClient({"bootstrap.servers": self.settings.kafka, "log_level": 0}).list_topics(topic, timeout=120)
        return [number for number, each in topics.topics[topic].partitions.items() if each.leader == broker]

    def primary(self) -> str | None:
        """Return the name of the MongoDB node that takes writes; None while there is none."""
        with suppress(PyMongoError), self._mongo() as client:
            port = client.admin.command("hello")["primary"].rpartition(":")[2]
            numbers = {str(place[1]): number for number, place in enumerate(mongod.addresses(self.settings.mongo), 1)}
            return f"mongod-{numbers[port]}"
        return None

    def step_down(self) -> None:
        """Let the primary of MongoDB hand over to another node."""
        with suppress(PyMongoError), self._mongo() as client:
            client.admin.command("replSetStepDown", 10, secondaryCatchUpPeriodSecs=5)

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
    told: Sequence[Callable[[], Awaitable[None]]] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        self.victims = WORKERS

    async def _inject(self) -> None:
        of_brokers = [self.broker, self.broker, self.coordinator, self.coordinator, self.two_in_a_row,
                      self.rolling_restart]  # fmt: skip
        besides = [self.primary, self._fault, self._nothing]  # while the replicas of the broker before catch up
        await asyncio.gather(self.random.choice(of_brokers)(), self.random.choice(besides)())

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
        if name := await asyncio.to_thread(self.system.coordinator, kind, key):
            await self._hit(name, f" ({kind} coordinator of {role})")

    async def two_in_a_row(self) -> None:
        """Kill a broker, and another one as soon as the first runs again."""
        first, second = self.random.sample(range(1, BROKERS + 1), 2)
        await self.recovered()
        await self._signal(f"kafka-{first}", signal.SIGKILL, " (first of two in a row)")
        await self._running(f"kafka-{first}")
        await self._signal(f"kafka-{second}", signal.SIGKILL, " (second of two in a row)")

    async def rolling_restart(self) -> None:
        """Stop the brokers one after the other, each when all replicas are in sync."""
        for number in range(1, BROKERS + 1):
            await self.recovered()
            await self._signal(f"kafka-{number}", signal.SIGTERM, " (rolling restart)")
            await self._running(f"kafka-{number}")

    async def primary(self) -> None:
        """Kill, stop or pause the primary of MongoDB, or let it step down."""
        if self.random.random() < 0.3:
            self.injected.append("step down of MongoDB's primary")
            return await asyncio.to_thread(self.system.step_down)
        if name := await asyncio.to_thread(self.system.primary):
            await self._strike(name, " (primary)")

    async def killed_coordinators(self) -> None:
        """Kill the coordinator of the orders' group, and then the one of their transactions."""
        group = group_of("orders", self.system.settings)
        for kind, key in (("group", group), ("transaction", f"{group}-0")):
            await self.recovered()
            name = await asyncio.to_thread(self.system.coordinator, kind, key)
            assert name is not None, f"all replicas are in sync, and {key} has no {kind} coordinator"
            await self._signal(name, signal.SIGKILL, f" ({kind} coordinator of orders)")
            await self._running(name)

    async def killed_primary(self) -> None:
        """Let the primary of MongoDB step down, and kill its successor."""
        await asyncio.to_thread(self.system.step_down)
        name = await asyncio.to_thread(self.system.primary)
        assert name is not None, "the set has elected another primary"
        await self._signal(name, signal.SIGKILL, " (primary)")

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

    async def _running(self, name: str) -> None:
        """Wait until a process that was ended runs again and answers."""

        def ready() -> bool:
            return any(each["name"] == name and each["state"] == "ready" for each in self.system.status()["processes"])

        await asyncio.sleep(0.5)  # until its supervisor has noticed
        await asyncio.to_thread(wait_until, ready, f"{name} to run again")
