"""Fetches that wait for their turn stand in nobody's way."""

import asyncio

from aiokafka import AIOKafkaConsumer, TopicPartition
from real_kafka import create

from streams.pace import UNPACED_FETCHES, pace_fetches
from streams.settings import Settings


async def test_a_consumer_closes_while_a_fetch_waits_for_its_turn(settings: Settings) -> None:
    topic = create(settings, "paced")
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.kafka, fetch_max_wait_ms=1, enable_auto_commit=False)
    await consumer.start()
    pace_fetches(consumer, 600)
    consumer.assign([TopicPartition(topic, 0)])
    for _ in range(UNPACED_FETCHES + 1):
        await consumer.getmany(timeout_ms=50)
    assert consumer._fetcher._pending_tasks, "a fetch waits"
    async with asyncio.timeout(5):
        await consumer.stop()
    assert all(connection._reader is None for connection in consumer._client._conns.values())


async def test_who_asks_for_something_else_does_not_wait_as_long_as_a_fetch(settings: Settings) -> None:
    topic = create(settings, "asked")
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.kafka, fetch_max_wait_ms=3_000, enable_auto_commit=False)
    await consumer.start()
    pace_fetches(consumer, 0)
    consumer.assign([TopicPartition(topic, 0)])
    await consumer.getmany(timeout_ms=100)
    assert consumer._fetcher._pending_tasks, "a fetch is under way"
    async with asyncio.timeout(1.5):
        assert await consumer.end_offsets([TopicPartition(topic, 0)])
    await consumer.stop()
