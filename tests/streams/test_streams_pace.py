"""Fetches that wait for their turn delay no other requests."""

import asyncio
import selectors
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from real_kafka import create
from system import PATIENCE_SECONDS, eventually

from streams.kafka import pace
from streams.kafka.pace import (
    BUSY_BYTES,
    FORGET_SECONDS,
    MUCH_BYTES,
    UNPACED_FETCHES,
    UNTAKEN_SECONDS,
    Turns,
    pace_fetches,
)
from streams.runtime.settings import Settings


@asynccontextmanager
async def paced(settings: Settings, name: str, seconds: float, wait_ms: int) -> AsyncIterator[AIOKafkaConsumer]:
    """Yield a consumer of a topic with two partitions; an empty fetch is answered after `wait_ms`."""
    topic = create(settings, name, 2)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.kafka,
        fetch_max_wait_ms=wait_ms,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    await consumer.start()
    pace_fetches(consumer, Turns(seconds))
    consumer.assign([TopicPartition(topic, number) for number in range(2)])
    try:
        yield consumer
    finally:
        await consumer.stop()


async def fetching(consumer: AIOKafkaConsumer) -> None:
    """Wait until a fetch is under way or waits for its turn."""
    await eventually(lambda: asyncio.sleep(0, consumer._fetcher._pending_tasks), bool)


async def test_a_consumer_closes_while_a_fetch_waits_for_its_turn(settings: Settings) -> None:
    async with paced(settings, "paced", 600, wait_ms=1) as consumer:
        for _ in range(UNPACED_FETCHES + 1):
            await consumer.getmany(timeout_ms=50)
        await fetching(consumer)
        async with asyncio.timeout(PATIENCE_SECONDS):
            await consumer.stop()
        assert all(connection._reader is None for connection in consumer._client._conns.values())


async def test_other_requests_do_not_wait_as_long_as_a_fetch(settings: Settings) -> None:
    async with paced(settings, "asked", 0, wait_ms := 120_000) as consumer:
        await fetching(consumer)
        async with asyncio.timeout(wait_ms / 1000 / 2):
            assert await consumer.end_offsets(consumer.assignment())


class Skipping(selectors.SelectSelector):
    """A clock that jumps to the next timer whenever a loop waits, so that no test depends on the machine's speed."""

    now = 0.0

    def select(self, timeout: float | None = None) -> Any:
        self.now += timeout or 0.0
        return super().select(0)


@pytest.fixture
def seconds_of() -> Iterator[Callable[..., float]]:
    """Return a function that takes turns, after a pause, and returns how long they took."""
    clock = Skipping()
    loop = asyncio.SelectorEventLoop(clock)
    loop.time = lambda: clock.now  # type: ignore[method-assign]

    async def take(turns: Turns, count: int, size: int, after: float) -> float:
        await asyncio.sleep(after)
        began = loop.time()
        for _ in range(count):
            await turns.take()
            turns.came(size)
        return loop.time() - began

    def run(turns: Turns, count: int, size: int, after: float = 0.0) -> float:
        with ThreadPoolExecutor(1) as thread:  # this thread runs the loop of the other tests
            return thread.submit(loop.run_until_complete, take(turns, count, size, after)).result()

    yield run
    loop.close()


Seconds = Callable[..., float]


def test_a_few_turns_are_taken_at_once_and_the_others_steadily(seconds_of: Seconds) -> None:
    turns = Turns(0.5)
    assert seconds_of(turns, UNPACED_FETCHES, 0) == 0
    assert seconds_of(turns, 3, 0) == pytest.approx(1)  # the clock did not move: one more is taken at once


def test_a_backlog_is_fetched_at_full_speed(seconds_of: Seconds) -> None:
    assert seconds_of(Turns(5), 5 * UNPACED_FETCHES, MUCH_BYTES) == 0


def test_awaited_records_are_fetched_at_once_in_small_numbers_and_at_full_pace_in_large_ones(
    seconds_of: Seconds,
) -> None:
    assert seconds_of(Turns(0.5, awaited=True), 10 * UNPACED_FETCHES, 100) < 0.5
    turns = Turns(0.1, awaited=True)
    seconds_of(turns, 1, int(100 * BUSY_BYTES * FORGET_SECONDS))
    assert seconds_of(turns, UNPACED_FETCHES + 3, 0) == pytest.approx(0.2)


def test_fetches_of_long_ago_slow_down_no_later_ones(seconds_of: Seconds) -> None:
    turns = Turns(0.1, awaited=True)
    seconds_of(turns, 1, MUCH_BYTES - 1)
    assert seconds_of(turns, UNPACED_FETCHES + 2, 0) > 0.05
    assert seconds_of(turns, UNPACED_FETCHES + 2, 0, after=10 * FORGET_SECONDS) < 0.001


async def test_new_records_of_a_waiting_partition_are_fetched_with_the_others(settings: Settings) -> None:
    """A fetch that left it out would be answered only after `fetch_max_wait_ms` without other records."""
    wait_ms = 30_000
    async with (
        paced(settings, "untaken", 0, wait_ms) as consumer,
        AIOKafkaProducer(bootstrap_servers=settings.kafka) as producer,
    ):
        topic = settings.named("untaken")
        await producer.send_and_wait(topic, b"first", partition=0)
        assert await consumer.getmany(timeout_ms=wait_ms)
        await producer.send_and_wait(topic, b"second", partition=0)
        await asyncio.sleep(UNTAKEN_SECONDS / 2)  # under test: nothing else takes it for as long as a transaction
        assert await consumer.getmany(timeout_ms=wait_ms)
        await producer.send_and_wait(topic, b"third", partition=0)
        began = time.monotonic()
        assert await consumer.getmany(timeout_ms=2 * wait_ms)
        assert time.monotonic() - began < wait_ms / 1000 / 2


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a fetch be held for longer than a test waits, so that only what ends it early can."""
    monkeypatch.setattr(pace, "HELD_SECONDS", 2 * PATIENCE_SECONDS)


async def test_the_next_fetch_waits_until_the_records_before_it_are_handled(patient: None) -> None:
    turns = Turns(0)
    turns.hold()
    turn = asyncio.create_task(turns.take())
    await asyncio.wait([turn], timeout=0.05)
    assert not turn.done()
    turns.release()
    await asyncio.wait_for(turn, PATIENCE_SECONDS)


async def test_a_backlog_is_fetched_while_the_records_before_it_are_handled(patient: None) -> None:
    turns = Turns(0)
    turns.came(MUCH_BYTES)
    turns.hold()
    await asyncio.wait_for(turns.take(), PATIENCE_SECONDS)
