"""Fetches that wait for their turn stand in nobody's way."""

import asyncio
import time

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from real_kafka import create

from streams.pace import BUSY_BYTES, FORGET_SECONDS, MUCH_BYTES, UNPACED_FETCHES, UNTAKEN_SECONDS, Turns, pace_fetches
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


async def seconds_of(turns: Turns, count: int, size: int) -> float:
    """Return how long `count` turns take that bring `size` bytes each."""
    began = time.monotonic()
    for _ in range(count):
        await turns.take()
        turns.came(size)
    return time.monotonic() - began


async def test_a_few_turns_are_taken_at_once_and_the_others_steadily() -> None:
    turns = Turns(0.1)
    assert await seconds_of(turns, UNPACED_FETCHES, 0) < 0.1
    assert 0.15 < await seconds_of(turns, 3, 0) < 1


async def test_a_backlog_is_fetched_as_fast_as_it_goes() -> None:
    turns = Turns(0.1)
    assert await seconds_of(turns, 5 * UNPACED_FETCHES, MUCH_BYTES) < 0.1


async def test_where_somebody_waits_for_it_little_is_fetched_at_once_and_much_at_the_full_pace() -> None:
    turns = Turns(0.1, awaited=True)
    assert await seconds_of(turns, 10 * UNPACED_FETCHES, 100) < 0.1
    for _ in range(100):
        turns.came(int(BUSY_BYTES * FORGET_SECONDS / 10))
    assert 0.15 < await seconds_of(turns, UNPACED_FETCHES + 3, 0) < 1


async def test_what_was_fetched_long_ago_slows_nobody_down() -> None:
    turns = Turns(0.1, awaited=True)
    turns.came(int(BUSY_BYTES * FORGET_SECONDS / 10))
    await asyncio.sleep(4 * FORGET_SECONDS)
    assert await seconds_of(turns, UNPACED_FETCHES + 2, 0) < 0.1


async def test_what_comes_to_a_partition_whose_records_wait_is_fetched_with_the_others(settings: Settings) -> None:
    """A fetch that left it out would be answered after `fetch_max_wait_ms`, when nothing else comes."""
    topic, wait_ms = create(settings, "untaken", partitions=2), 5_000
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.kafka, fetch_max_wait_ms=wait_ms, enable_auto_commit=False)
    await consumer.start()
    pace_fetches(consumer, 0)
    busy, quiet = TopicPartition(topic, 0), TopicPartition(topic, 1)
    consumer.assign([busy, quiet])
    await consumer.seek_to_beginning()
    async with AIOKafkaProducer(bootstrap_servers=settings.kafka) as producer:
        await producer.send_and_wait(topic, b"first", partition=0)
        assert await consumer.getmany(timeout_ms=wait_ms)
        await producer.send_and_wait(topic, b"second", partition=0)
        await asyncio.sleep(UNTAKEN_SECONDS / 2)  # a long transaction
        assert await consumer.getmany(timeout_ms=wait_ms)
        await producer.send_and_wait(topic, b"third", partition=0)
        began = time.monotonic()
        assert await consumer.getmany(timeout_ms=2 * wait_ms)
    await consumer.stop()
    assert time.monotonic() - began < wait_ms / 1000 / 2
