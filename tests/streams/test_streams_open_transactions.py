"""Transactions that other producers leave open: found by the records they hold back, named, and aborted."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiokafka.client import AIOKafkaClient
from confluent_kafka import KafkaException
from confluent_kafka.admin import ResourceType
from kafka import alter, records
from real_kafka import create, transactional
from system import eventually

from streams.kafka.batches import Write, requests
from streams.kafka.ends import Ends, ends_of
from streams.kafka.open_transactions import NotEnded, OpenTransaction, connected, end_transaction, open_transactions
from streams.kafka.producer import TransactionalProducer
from streams.kafka.wire import NO_TAGS, Produce, ProduceResponse
from streams.runtime.settings import Settings

MINUTES = 300


class OldProduceResponse(ProduceResponse):
    API_VERSION = 11


class OldProduce(Produce):
    """Send the request as a client of before Kafka 4: the broker does not tell the coordinator by itself."""

    API_VERSION, RESPONSE_TYPE = 11, OldProduceResponse


@pytest.fixture
async def topic(settings: Settings) -> str:
    return await asyncio.to_thread(create, settings, "commands", 2)


@pytest.fixture
async def client(settings: Settings, topic: str) -> AsyncIterator[AIOKafkaClient]:
    async with connected(settings, [topic]) as client:
        yield client


async def found(client: AIOKafkaClient, topic: str, longer_than: float = 0) -> list[OpenTransaction]:
    return await open_transactions(client, [(topic, 0), (topic, 1)], longer_than)


async def test_an_open_transaction_is_named_and_ended(settings: Settings, topic: str, client: AIOKafkaClient) -> None:
    foreign = await asyncio.to_thread(transactional, settings, "their-importer", MINUTES)
    foreign.begin_transaction()
    foreign.produce(topic, b"never committed", partition=1)
    foreign.flush(120)
    assert await ends_of(client, [(topic, 0), (topic, 1)]) == {(topic, 0): Ends(0, 0), (topic, 1): Ends(0, 1)}
    assert await found(client, topic, MINUTES) == [], "it is younger than that"
    (one,) = await eventually(lambda: found(client, topic, 0.2), lambda there: len(there) == 1)
    name = settings.named("their-importer")
    assert (one.topic, one.partition, one.offset, one.transactional_id) == (topic, 1, 0, name)
    assert (one.hanging, one.timeout_seconds, 0 < (one.seconds or 0) < MINUTES) == (False, MINUTES, True)
    assert all(part in one.sentence for part in (f"{topic}/1 ", name, str(one.producer_id), one.command))

    await end_transaction(client, settings, one)
    assert await found(client, topic) == []
    with pytest.raises(KafkaException):  # its producer is fenced
        await asyncio.to_thread(foreign.commit_transaction, 20)
    await asyncio.to_thread(_send, settings, topic, b"behind it")
    assert [each.value() for each in await asyncio.to_thread(records, settings, topic)] == [b"behind it"]


async def test_a_hanging_transaction_is_ended_without_its_coordinator(
    settings: Settings, topic: str, client: AIOKafkaClient
) -> None:
    _verify_partitions(settings, "false")  # as before Kafka 3.6, where such transactions come from
    try:
        lost = TransactionalProducer(settings, settings.named("lost"), 60)
        await lost.claim()
        (request,) = requests([Write(topic, 0, b"k", b"late")], {topic: 2}, lost._me)
        batches = [(topic, [(0, batch, NO_TAGS) for batch in request.values()], NO_TAGS)]
        node = next(iter(client.cluster.brokers())).nodeId

        async def written() -> int:
            answer = await client.send(node, OldProduce(lost.transactional_id, -1, 5000, batches, NO_TAGS))
            return int(answer.topics[0][1][0][1])

        await eventually(written, lambda code: code == 0)  # a broker that still verifies refuses it, and writes nothing
        await lost.close()
    finally:
        _verify_partitions(settings, "true")
    (one,) = await found(client, topic, MINUTES)
    assert (one.hanging, one.producer_id, one.offset) == (True, lost._me.id, 0)
    assert "hanging" in one.sentence
    await end_transaction(client, settings, one)
    assert await found(client, topic) == []
    assert await asyncio.to_thread(records, settings, topic) == []


async def test_a_transaction_that_cannot_be_ended_is_reported(
    settings: Settings, topic: str, client: AIOKafkaClient
) -> None:
    nobodys = OpenTransaction(topic, 0, 0, 1 << 40, 0, 0, transactional_id="nobody", timeout_seconds=1e6)
    with pytest.raises(NotEnded):  # a time-out longer than the broker allows
        await end_transaction(client, settings, nobodys)


def _send(settings: Settings, topic: str, value: bytes) -> None:
    producer = transactional(settings, "another")
    producer.begin_transaction()
    producer.produce(topic, value, partition=1)
    producer.commit_transaction(120)


def _verify_partitions(settings: Settings, how: str) -> None:
    alter(settings, ResourceType.BROKER, "1", {"transaction.partition.verification.enable": how})
