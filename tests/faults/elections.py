"""How long after an election clients are served again: partitions of commands, and reads of MongoDB.

The measurements use the clients that the api uses, in this process, so that a fault of the api does not count.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from aiokafka.errors import KafkaError
from bson import ObjectId
from pymongo import MongoClient
from pymongo.errors import PyMongoError
from system import eventually

from domain.orders.commands import Hold
from ops.stack import mongod
from projections.mongo.client import Mongo
from projections.mongo.failures import is_unreachable
from streams.kafka.gateway import Gateway, GatewayUnavailable
from streams.kafka.lookout import Lookout
from streams.kafka.partitions import partition_of
from streams.messages.envelope import CommandMessage, new_id, now
from streams.runtime.settings import Settings
from streams.runtime.tasks import cancel

LOOK_SECONDS = 0.1  # between two looks who was elected
SEND_SECONDS = 1.0  # between two commands for a partition, unless it got a new leader
READ_SECONDS = 0.1
LIMIT_MS = 500  # time limit of a request that asks who was elected
TOPIC = "order-commands"
IN_SYNC, NOBODY = 2, -1  # replicas that a message needs; the leader of a partition that has none


def key_of(partition: int, partitions: int) -> str:
    """Return the id of an order whose commands are on a partition."""
    return next(key for key in iter(lambda: f"o-{new_id()}", "") if partition_of(key.encode(), partitions) == partition)


def command(order: str) -> CommandMessage:
    """Return a command that is rejected, because the order does not exist."""
    return CommandMessage(new_id(), order, Hold(reason="test"), now(), "test", "test")


class Elections:
    """Sends commands to every partition and reads from MongoDB, and notes how long both take after each election."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.gateway = settings, Gateway(settings)
        self.partitions: list[float] = []  # seconds from a leader's election to an accepted command
        self.reads: list[float] = []  # seconds from a primary's election to an answered read
        self.refused: Counter[str] = Counter()  # why the gateway refused commands
        self._elected: dict[int, float] = {}  # partition → when its leader was first seen
        self._new_primary: float | None = None
        self._wake = {each: asyncio.Event() for each in range(settings.partitions)}

    @asynccontextmanager
    async def measured(self) -> AsyncIterator[None]:
        """Send, read and look until the block ends; an error of one of them ends the block."""
        await self.gateway.start()
        try:
            await eventually(self.gateway.away, lambda away: away is None)
            async with asyncio.TaskGroup() as group:
                sending = [self._send(partition) for partition in range(self.settings.partitions)]
                tasks = [
                    group.create_task(each) for each in (*sending, self._look(), self._read(), self._see_primary())
                ]
                try:
                    yield
                finally:  # each may lose a cancellation, so a single one does not end all of them
                    await asyncio.gather(*map(cancel, tasks))
        finally:
            await self.gateway.stop()

    async def _send(self, partition: int) -> None:
        wake, key = self._wake[partition], key_of(partition, self.settings.partitions)
        while True:
            try:
                await self.gateway.send([command(key)])
            except GatewayUnavailable as refusal:
                self.refused[str(refusal)] += 1
                pause = LOOK_SECONDS
            else:
                if (elected := self._elected.pop(partition, None)) is not None:
                    self.partitions.append(time.monotonic() - elected)
                pause = SEND_SECONDS
            with suppress(TimeoutError):
                await asyncio.wait_for(wake.wait(), pause)
            wake.clear()

    async def _look(self) -> None:
        topic, leaders = self.settings.named(TOPIC), dict[int, int]()
        while True:
            with suppress(KafkaError, OSError):
                async with Lookout(self.settings, {topic}, (), LIMIT_MS) as lookout:
                    while True:
                        for _, partition, leader, _, in_sync, *_ in (await lookout.look()).topics[0][-1]:
                            self._note(leaders, partition, leader if len(in_sync) >= IN_SYNC else NOBODY)
                        await asyncio.sleep(LOOK_SECONDS)
            await asyncio.sleep(LOOK_SECONDS)

    def _note(self, leaders: dict[int, int], partition: int, leader: int) -> None:
        """Note a leader that can write; without enough replicas in sync it cannot."""
        if leader == NOBODY:
            self._elected.pop(partition, None)
        elif leader != leaders.setdefault(partition, leader):
            leaders[partition], self._elected[partition] = leader, time.monotonic()
            self._wake[partition].set()

    async def _read(self) -> None:
        mongo = Mongo(self.settings)
        documents = mongo.collection("projections")
        try:
            while True:
                try:
                    await documents.find_one({})
                except PyMongoError as error:
                    if not is_unreachable(error):
                        raise
                else:
                    if self._new_primary is not None:
                        self.reads.append(time.monotonic() - self._new_primary)
                        self._new_primary = None
                await asyncio.sleep(READ_SECONDS)
        finally:
            await mongo.close()

    async def _see_primary(self) -> None:
        """Ask each node whether it is the primary, by a connection of its own."""
        known: ObjectId | None = None
        clients = [_client(*place) for place in mongod.addresses(self.settings.mongo)]
        try:
            while True:
                said = await asyncio.gather(*(asyncio.to_thread(_election, client) for client in clients))
                for election in sorted(filter(None, said)):
                    if known is not None and election > known:
                        self._new_primary = time.monotonic()
                    known = max(election, known or election)  # a primary that was suspended still names an older one
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            for client in clients:
                client.close()


def _client(host: str, port: int) -> MongoClient[dict[str, Any]]:
    limits = {"serverSelectionTimeoutMS": LIMIT_MS, "connectTimeoutMS": LIMIT_MS, "socketTimeoutMS": LIMIT_MS}
    return MongoClient(host, port, directConnection=True, **limits)


def _election(client: MongoClient[dict[str, Any]]) -> ObjectId | None:
    """Return the id of the election that a node won, which is larger than those of earlier ones; None if it has not."""
    with suppress(PyMongoError):
        hello = client.admin.command("hello")
        return hello["electionId"] if hello["isWritablePrimary"] else None
    return None


def summary(partitions: list[float], reads: list[float]) -> str:
    """Return in one sentence each how long after elections clients were served again."""
    return " ".join(filter(None, (
        _sentence("leaders of partitions", "the partition accepted a command", partitions),
        _sentence("primaries of MongoDB", "a read was answered", reads),
    )))  # fmt: skip


def _sentence(of_what: str, what: str, seconds: list[float]) -> str:
    if not seconds:
        return ""
    half, most = sorted(seconds)[len(seconds) // 2], max(seconds)
    return f"After {len(seconds)} elections of {of_what}, {what} at most {most:.1f} s later (median {half:.1f} s)."
