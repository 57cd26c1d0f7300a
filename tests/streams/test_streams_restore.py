"""Bulk restore of a changelog: complete, committed only, and up to what an earlier owner may still commit."""

import asyncio
import time
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import ResourceType
from kafka import alter, records
from real_kafka import Broker, create, transactional
from system import wait_until

from streams.runtime.settings import Settings
from tables.restore import restore

COMPACT = {"cleanup.policy": "compact"}
EAGER = {  # compact at once, whatever is written
    "cleanup.policy": "compact",
    "segment.ms": "100",
    "min.cleanable.dirty.ratio": "0.001",
    "min.compaction.lag.ms": "0",
    "max.compaction.lag.ms": "100",
    "delete.retention.ms": "0",
}


class Raw:
    """Bytes as they are."""

    def encode(self, value: bytes) -> bytes:
        return value

    def decode(self, key: bytes, raw: bytes) -> bytes:
        return raw


async def restored(settings: Settings, topic: str, *partitions: int) -> dict[int, dict[bytes, bytes]]:
    found = await asyncio.wait_for(restore(settings, topic, partitions, Raw()), 120)
    return {partition: dict(entries.rows.items()) for partition, entries in found.items()}


def write(settings: Settings, topic: str, *records: tuple[bytes, bytes | None], partition: int = 0) -> None:
    producer = Producer({"bootstrap.servers": settings.kafka, "linger.ms": 20})
    for key, value in records:
        producer.produce(topic, value=value, key=key, partition=partition)
    assert producer.flush(120) == 0


async def test_the_last_value_of_each_key_is_restored_and_tombstones_are_gone(settings: Settings) -> None:
    topic = create(settings, "log", 3, COMPACT)
    write(settings, topic, (b"a", b"1"), (b"b", b"1"), (b"a", b"2"), (b"b", None), (b"c", None), (b"", b"0"))
    write(settings, topic, (b"a", b"of 1"), partition=1)
    assert await restored(settings, topic, 0, 1, 2) == {0: {b"a": b"2", b"": b"0"}, 1: {b"a": b"of 1"}, 2: {}}


async def test_only_the_requested_partitions_are_restored(settings: Settings) -> None:
    topic = create(settings, "log", 3, COMPACT)
    write(settings, topic, (b"a", b"1"), partition=2)
    write(settings, topic, (b"b", b"1"), partition=1)
    assert await restored(settings, topic, 2) == {2: {b"a": b"1"}}
    assert await restored(settings, topic) == {}


async def test_aborted_records_are_left_out(settings: Settings) -> None:
    topic = create(settings, "log", 1, COMPACT)
    producer = transactional(settings, "owner")
    for number, commit in enumerate([True, False, True, False]):
        producer.begin_transaction()
        producer.produce(topic, key=b"k", value=b"%d" % number)
        producer.produce(topic, key=b"k%d" % number, value=b"")
        producer.flush(120)
        producer.commit_transaction(120) if commit else producer.abort_transaction(120)
    assert await restored(settings, topic, 0) == {0: {b"k": b"2", b"k0": b"", b"k2": b""}}


async def test_a_log_with_only_aborted_records_is_empty(settings: Settings) -> None:
    topic = create(settings, "log", 1, COMPACT)
    producer = transactional(settings, "owner")
    producer.begin_transaction()
    producer.produce(topic, key=b"k", value=b"v")
    producer.flush(120)
    producer.abort_transaction(120)
    assert await restored(settings, topic, 0) == {0: {}}


@pytest.mark.parametrize("commit", [True, False])
async def test_an_open_transaction_is_waited_for(settings: Settings, commit: bool) -> None:
    """Its records are below the high watermark: records that a later owner committed after them must not be missed."""
    topic = create(settings, "log", 1, COMPACT)
    write(settings, topic, (b"k", b"before"))
    earlier = transactional(settings, "earlier")
    earlier.begin_transaction()
    earlier.produce(topic, key=b"k", value=b"earlier")
    earlier.flush(120)
    later = transactional(settings, "later")
    later.begin_transaction()
    later.produce(topic, key=b"l", value=b"later")
    later.commit_transaction(120)
    waiting = asyncio.create_task(restored(settings, topic, 0))
    await asyncio.sleep(1.5)
    assert not waiting.done()
    await asyncio.to_thread(earlier.commit_transaction if commit else earlier.abort_transaction, 120)
    assert await waiting == {0: {b"k": b"earlier" if commit else b"before", b"l": b"later"}}


def compact_without_pause(settings: Settings) -> None:
    """Let the broker's cleaner run continuously instead of every 15 s."""
    alter(settings, ResourceType.BROKER, "1", {"log.cleaner.backoff.ms": "100"})


def test_a_compacted_log_is_restored_whole(settings: Settings) -> None:
    """Compaction leaves holes, also at the end: offsets that never come must not be waited for."""
    compact_without_pause(settings)
    topic = create(settings, "log", 1, EAGER)
    for number in range(5):
        write(settings, topic, *[(b"%d" % key, b"%d" % number) for key in range(200)], (b"gone", b"x"))
        time.sleep(0.15)  # rolls the segment: the active one is never compacted
    write(settings, topic, (b"gone", None))
    time.sleep(0.15)
    write(settings, topic, (b"tail", None))

    def whole() -> bool:
        assert asyncio.run(restored(settings, topic, 0)) == {0: {b"%d" % key: b"4" for key in range(200)}}
        return len(records(settings, topic)) < 250

    wait_until(whole, "the log to be compacted")


async def test_a_hundred_thousand_entries_are_restored_in_seconds(settings: Settings) -> None:
    topic = create(settings, "log", 2, COMPACT)
    value = b"v" * 300
    for partition in (0, 1):
        records: Any = ((b"product/%d" % number, value) for number in range(50_000))
        await asyncio.to_thread(write, settings, topic, *records, partition=partition)
    started = time.monotonic()
    found = await restored(settings, topic, 0, 1)
    took = time.monotonic() - started
    print(f"restored 100,000 entries in {took:.2f} s: {100_000 / took:,.0f}/s")
    everything = {b"product/%d" % number for number in range(50_000)}
    assert found[0].keys() == found[1].keys() == everything
    assert took < 60


async def test_a_broker_that_is_unreachable_for_a_moment_is_waited_for(broker: Broker, settings: Settings) -> None:
    topic = create(settings, "log", 1, COMPACT)
    write(settings, topic, (b"a", b"1"))
    with broker.stopped():
        waiting = asyncio.create_task(restored(settings, topic, 0))
        await asyncio.sleep(2)
        assert not waiting.done()
    assert await waiting == {0: {b"a": b"1"}}
