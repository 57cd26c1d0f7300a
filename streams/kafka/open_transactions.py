"""Transactions that hold back a partition: their producers, how long they have been open, and how to end them.

A reader of committed records stops at the first transaction that is still open. Any producer may open one on any of our
topics, and leave it open for as long as its own time-out allows. A *hanging* transaction stays open for ever: its
records are in the partition, and no coordinator knows of it.

NotEnded                       the broker refuses to end a transaction
"""

import asyncio
import time
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from aiokafka.client import AIOKafkaClient, CoordinationType
from aiokafka.errors import KafkaError, for_code

from streams.kafka.brokers import REQUEST_SECONDS, Refused
from streams.kafka.clients import aiokafka_config
from streams.kafka.ends import by_leader, ends_of
from streams.kafka.metadata import metadata_of
from streams.kafka.producer import TransactionalProducer
from streams.kafka.wire import NO_TAGS, Code
from streams.kafka.wire_admin import DescribeProducers, DescribeTransactions, ListTransactions, WriteTxnMarkers
from streams.runtime.settings import Settings
from streams.topics import topics_of

At = tuple[str, int]  # topic, partition
ANY_DURATION = -1
END_SECONDS = 30.0  # for the broker to abort a transaction


class NotEnded(Exception):
    """The broker refuses to end a transaction."""


@dataclass(frozen=True, slots=True)
class OpenTransaction:
    """A transaction that holds back a partition.

    `seconds` is how long it has been open, None if that is unknown. Its coordinator aborts it after `timeout_seconds`,
    which is None if no coordinator knows it.
    """

    topic: str
    partition: int
    offset: int  # the offset of its first record
    producer_id: int
    producer_epoch: int
    coordinator_epoch: int
    transactional_id: str | None = None
    seconds: float | None = None
    timeout_seconds: float | None = None
    hanging: bool = False

    @property
    def identity(self) -> tuple[str, int, int, int, int]:
        """Its identity."""
        return self.topic, self.partition, self.offset, self.producer_id, self.producer_epoch

    @property
    def command(self) -> str:
        """The command that ends it."""
        return f"fulfillment transactions abort {self.topic}/{self.partition}"

    @property
    def sentence(self) -> str:
        """A sentence that describes it and names the command that ends it."""
        who = f"of {self.transactional_id!r} (producer id {self.producer_id})"
        if self.transactional_id is None:
            who = f"of producer id {self.producer_id}, whose transactional id is unknown"
        age = "" if self.seconds is None else f", open for {self.seconds:.0f} s"
        hanging = ", hanging: no coordinator will end it" if self.hanging else ""
        at = f"{self.topic}/{self.partition} is blocked at offset {self.offset}"
        return f"{at} by a transaction {who}{age}{hanging}; to end it: {self.command}"

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "topic": self.topic,
            "partition": self.partition,
            "offset": self.offset,
            "transactionalId": self.transactional_id,
            "producerId": self.producer_id,
            "seconds": None if self.seconds is None else round(self.seconds, 1),
            "timeoutSeconds": self.timeout_seconds,
            "hanging": self.hanging,
            "command": self.command,
        }


@asynccontextmanager
async def connected(settings: Settings, topics: Collection[str] | None = None) -> AsyncIterator[AIOKafkaClient]:
    """Connect to Kafka and read the metadata of `topics`, which are full names; by default, our topics."""
    client = AIOKafkaClient(
        **aiokafka_config(settings),
        client_id=settings.named("transactions"),
        request_timeout_ms=int(REQUEST_SECONDS * 1000),
    )
    try:
        await client.bootstrap()
        await _learn(client, topics or {settings.named(topic.name) for topic in topics_of(settings)})
        yield client
    finally:
        await client.close()


async def open_transactions(
    client: AIOKafkaClient, partitions: Collection[At], longer_than: float
) -> list[OpenTransaction]:
    """Return the transactions that have held back `partitions` for `longer_than` seconds; raise `KafkaError`.

    The broker measures that with its own clock. If nothing is open, two requests are enough. Partitions that do not
    exist are ignored.
    """
    await _learn(client, {topic for topic, _ in partitions})
    there = [(topic, number) for topic, number in partitions if number in known_partitions(client, topic)]
    held = {at for at, ends in (await ends_of(client, there)).items() if ends.held}
    if not held:
        return []
    found = await _producers(client, held)
    ids = {one.producer_id for one in found}
    known, old = await asyncio.gather(_listed(client, ids, ANY_DURATION), _listed(client, ids, int(longer_than * 1000)))
    described = await _described(client, set(known.values()))
    told: list[OpenTransaction] = []
    unknown: list[OpenTransaction] = []
    for one in found:
        about = described.get(known.get(one.producer_id, ""))
        if about is None or (one.topic, one.partition) not in about.partitions:
            unknown.append(one)
        elif one.producer_id in old:
            told.append(about.told_of(one, longer_than))
    hanging = await _still_open(client, unknown)
    return sorted([*told, *hanging], key=lambda one: (one.topic, one.partition, one.offset))


async def _learn(client: AIOKafkaClient, topics: Collection[str]) -> None:
    """Read the metadata of topics that are not known yet; asking the usual way could create them."""
    if not all(known_partitions(client, topic) for topic in topics):
        answer = await metadata_of(client, topics)
        if there := [topic for code, topic, *_ in answer.topics if code == Code.NONE]:
            await client.set_topics(there)


def known_partitions(client: AIOKafkaClient, topic: str) -> set[int]:
    """Return the partitions of a topic, an empty set if it does not exist."""
    return client.cluster.partitions_for_topic(topic) or set()


async def end_transaction(client: AIOKafkaClient, settings: Settings, one: OpenTransaction) -> None:
    """Abort a transaction, or raise `NotEnded`. If its producer still runs, its next request is refused."""
    try:
        async with asyncio.timeout(END_SECONDS):
            if one.hanging:
                await _write_marker(client, one)
            else:
                await _claim(settings, one)
    except Refused as refused:
        raise NotEnded(str(refused)) from refused
    except (KafkaError, OSError, TimeoutError) as error:
        raise NotEnded(f"no answer in time: {error!r}") from error


@dataclass(frozen=True, slots=True)
class _Coordinated:
    """A transaction as its coordinator describes it."""

    transactional_id: str
    began_at: float  # Unix time, by the coordinator's clock
    timeout_seconds: float
    partitions: frozenset[At]

    def told_of(self, one: OpenTransaction, at_least: float) -> OpenTransaction:
        """Return `one` with its transactional id and age."""
        return replace(
            one,
            transactional_id=self.transactional_id,
            seconds=max(time.time() - self.began_at, at_least),  # the clocks may differ
            timeout_seconds=self.timeout_seconds,
        )


async def _producers(client: AIOKafkaClient, partitions: Collection[At]) -> list[OpenTransaction]:
    """Return the open transactions that the partitions' leaders report, without transactional ids."""
    found = []
    for node, topics in by_leader(client, partitions).items():
        asked = [(topic, numbers, NO_TAGS) for topic, numbers in topics.items()]
        answer = await client.send(node, DescribeProducers(asked, NO_TAGS))
        for topic, described, _ in answer.topics:
            for partition, code, _, producers, _ in described:
                _refuse(code, f"{topic}/{partition}")
                for producer_id, epoch, _, last, coordinator_epoch, offset, _ in producers:
                    if offset >= 0:
                        seconds = time.time() - last / 1000 if last > 0 else None
                        found.append(
                            OpenTransaction(
                                topic, partition, offset, producer_id, epoch, coordinator_epoch,
                                seconds=None if seconds is None or seconds < 0 else seconds,
                            )
                        )  # fmt: skip
    return found


async def _listed(client: AIOKafkaClient, producer_ids: Collection[int], duration_ms: int) -> dict[int, str]:
    """Return the transactional ids of the producers whose transaction has been open for longer than a duration."""
    found: dict[int, str] = {}
    for broker in client.cluster.brokers():
        answer = await client.send(
            broker.nodeId, ListTransactions([], sorted(producer_ids), duration_ms, NO_TAGS)
        )  # fmt: skip
        _refuse(answer.error_code, "its transactions cannot be listed")
        found |= {producer_id: name for name, producer_id, *_ in answer.transactions}
    return found


async def _described(client: AIOKafkaClient, names: Collection[str]) -> dict[str, _Coordinated]:
    found = {}
    for name in sorted(names):
        node = await client.coordinator_lookup(CoordinationType.TRANSACTION, name)
        answer = await client.send(node, DescribeTransactions([name], NO_TAGS))
        for code, _, _, timeout, began, _, _, topics, _ in answer.transactions:
            if code == Code.NONE:
                partitions = frozenset((topic, number) for topic, numbers, _ in topics for number in numbers)
                found[name] = _Coordinated(name, began / 1000, timeout / 1000, partitions)
    return found


async def _still_open(client: AIOKafkaClient, unknown: list[OpenTransaction]) -> list[OpenTransaction]:
    """Return the transactions that are still open although their coordinator had ended or never known them."""
    if not unknown:
        return []
    again = {one.identity for one in await _producers(client, {(one.topic, one.partition) for one in unknown})}
    return [replace(one, hanging=True) for one in unknown if one.identity in again]


async def _claim(settings: Settings, one: OpenTransaction) -> None:
    """Claim the transactional id, as a restart of the producer does, which aborts its open transaction."""
    assert one.transactional_id is not None
    producer = TransactionalProducer(settings, one.transactional_id, one.timeout_seconds or END_SECONDS)
    try:
        await producer.claim()
    finally:
        await producer.close()


async def _write_marker(client: AIOKafkaClient, one: OpenTransaction) -> None:
    """Write the end of a transaction into its partition, as `kafka-transactions.sh abort` does."""
    (node,) = by_leader(client, {(one.topic, one.partition)})
    where = [(one.topic, [one.partition], NO_TAGS)]
    marker = (one.producer_id, one.producer_epoch, False, where, max(one.coordinator_epoch, 0), NO_TAGS)
    answer = await client.send(node, WriteTxnMarkers([marker], NO_TAGS))
    for _, topics, _ in answer.markers:
        for topic, partitions, _ in topics:
            for partition, code, _ in partitions:
                _refuse(code, f"{topic}/{partition}")


def _refuse(code: int, about: str) -> None:
    if code != Code.NONE:
        raise for_code(code)(about)
