"""Batches that aiokafka's parser does not survive: read nevertheless, or returned as unreadable, in their place."""

import asyncio
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import READ_COMMITTED
from aiokafka.record.memory_records import MemoryRecords
from raw_kafka import GZIP, HEADER, LZ4, MUNICH, NONE, SNAPPY, ZSTD, Raw, append, damage, raw_batch
from real_kafka import Broker, create
from system import PATIENCE_SECONDS

from streams.kafka import decompression
from streams.kafka.batches import Write
from streams.kafka.library_patches import AIOKafkaConsumer, Fetched, TolerantRecords
from streams.kafka.producer import TransactionalProducer
from streams.kafka.unreadable import RAW, Unreadable, batch_at, records_of
from streams.runtime.settings import Settings

NAME = MUNICH.decode(*RAW)
RECORDS: list[Raw] = [
    (b"a", b"1", [(b"h", b"\xff")]),
    (b"\xfc", b"2", [(MUNICH, b"x"), (MUNICH, None), (b"", b"")]),
    (None, None, []),
]
READ = [
    (b"a", b"1", (("h", b"\xff"),)),
    (b"\xfc", b"2", ((NAME, b"x"), (NAME, None), ("", b""))),
    (None, None, ()),
]


async def read(settings: Settings, topic: str, ends: dict[int, int], **options: Any) -> dict[int, list[Any]]:
    """Return the records of partitions up to their ends, read in one go like a role's consumer."""
    found: dict[int, list[Any]] = {number: [] for number in ends}
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.kafka, enable_auto_commit=False, isolation_level="read_committed", **options
    )
    partitions = [TopicPartition(topic, number) for number in ends]
    async with asyncio.timeout(PATIENCE_SECONDS), consumer:
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        while any([await consumer.position(tp) < ends[tp.partition] for tp in partitions]):
            for tp, records in (await consumer.getmany(timeout_ms=200)).items():
                found[tp.partition] += records
    return found


def shown(records: list[Any]) -> list[Any]:
    return [str(each) if isinstance(each, Unreadable) else (each.key, each.value, each.headers) for each in records]


@pytest.mark.parametrize("codec", [NONE, GZIP, SNAPPY, LZ4, ZSTD])
async def test_header_names_of_any_bytes_are_read(settings: Settings, codec: int) -> None:
    topic = create(settings, f"names-{codec}", 1, {"retention.ms": "-1"})  # their time is more than a week ago
    for _ in range(3):
        await append(settings, topic, 0, raw_batch(RECORDS, codec, 1_763_000_000_000))
    found = (await read(settings, topic, {0: 9}))[0]
    assert shown(found) == READ * 3
    assert [record.offset for record in found] == list(range(9))
    assert {record.timestamp for record in found} == {1_763_000_000_000}


async def test_a_seek_into_such_a_batch_is_where_reading_continues(settings: Settings) -> None:
    topic = create(settings, "middle")
    await append(settings, topic, 0, raw_batch(RECORDS * 2))
    async with AIOKafkaConsumer(bootstrap_servers=settings.kafka, enable_auto_commit=False) as consumer:
        consumer.assign([at := TopicPartition(topic, 0)])
        consumer.seek(at, 2)
        first = await consumer.getmany(at, timeout_ms=180_000, max_records=2)
        rest = await consumer.getmany(at, timeout_ms=180_000)
    assert [record.offset for record in (*first[at], *rest[at])] == [2, 3, 4, 5]


@pytest.mark.parametrize("codec", [NONE, GZIP, SNAPPY, LZ4, ZSTD])
async def test_a_damaged_batch_costs_only_its_own_records(settings: Settings, broker: Broker, codec: int) -> None:
    topic = create(settings, f"damaged-{codec}", 2)
    first, damaged, last = (raw_batch([*RECORDS, (b"k", name, [])], codec) for name in (b"first", b"damaged", b"last"))
    for batch in (first, damaged, last):
        for partition in (0, 1):
            await append(settings, topic, partition, batch)
    damage(broker.folder, topic, 0, damaged[HEADER:])
    found = await read(settings, topic, {0: 12, 1: 12})
    blocked = "offsets 4 to 7 cannot be read: the checksum is wrong"
    assert shown(found[0]) == [*READ, (b"k", b"first", ()), blocked, *READ, (b"k", b"last", ())]
    assert len(found[1]) == 12  # in the same fetches
    (unreadable,) = (each for each in found[0] if isinstance(each, Unreadable))
    assert unreadable.value[61:-1] == damaged[61:-1]  # all of it is kept, including header and records


async def test_without_checksums_what_a_decompressor_raises_is_the_reason(settings: Settings, broker: Broker) -> None:
    topic = create(settings, "unchecked")
    batch = raw_batch([(b"k", b"value" * 100, [])], LZ4)
    for _ in range(2):
        await append(settings, topic, 0, batch)
    damage(broker.folder, topic, 0, batch[HEADER:], within=40)
    (unreadable, good) = (await read(settings, topic, {0: 2}, check_crcs=False))[0]
    assert str(unreadable).startswith("offset 0 cannot be read: DecompressionError")
    assert good.offset == 1


async def test_aborted_records_are_not_read_whatever_their_headers(settings: Settings) -> None:
    topic = create(settings, "aborted")
    producer = TransactionalProducer(settings, settings.named("aborting"), 10)
    await producer.claim()
    for commit in (False, True, False):
        await producer.produce([Write(topic, 0, b"k", b"committed" if commit else b"aborted", [(NAME, b"x")])])
        await producer.end(commit=commit)
    await producer.close()
    await append(settings, topic, 0, raw_batch([(b"k", b"last", [])]))
    found = (await read(settings, topic, {0: 7}))[0]
    assert shown(found) == [(b"k", b"committed", ((NAME, b"x"),)), (b"k", b"last", ())]


# --- bytes that no broker returns


def unpacked(fetched: bytes, offset: int = 0) -> tuple[list[Any], int]:
    """Return the result of parsing bytes, and the offset at which reading continues."""
    records = TolerantRecords(TopicPartition("t", 0), Fetched(fetched), [], offset, None, None, True, READ_COMMITTED)
    return shown(list(records)), records.next_fetch_offset


def test_older_formats_unknown_codecs_and_what_is_cut_off_are_unreadable() -> None:
    good = raw_batch([(b"k", b"v", [])])
    old = good[:16] + b"\x01" + good[17:]
    assert unpacked(good + good[:40]) == ([(b"k", b"v", ())], 1)  # the end of a fetch cuts batches off
    assert unpacked(good[:40]) == (["offset 0 cannot be read: the batch is cut off"], 1)
    assert unpacked(b"\x00" * 8 + b"\xff" * 20) == (["offset 0 cannot be read: the batch is cut off"], 1)
    assert unpacked(old[:61]) == (["offset 0 cannot be read: the batch is cut off"], 1)
    (reason,), behind = unpacked(old)
    assert "cannot be read: message format 1 is not known" in reason
    assert behind == 1


def test_every_flipped_byte_of_a_batch_is_survived() -> None:
    """However a batch is damaged, parsing ends, and no later than where the batch claims to end."""
    batch = raw_batch(RECORDS)
    for position in range(8, len(batch)):  # the broker looks batches up by their base offset
        damaged = bytearray(batch)
        damaged[position] ^= 0xFF
        found, behind = unpacked(bytes(damaged))
        assert found
        assert behind > 0


def test_it_reads_what_aiokafka_reads() -> None:
    for codec in (NONE, GZIP, SNAPPY, LZ4, ZSTD):
        raw = raw_batch([(b"k" * 200, b"v" * n, [("ü".encode(), b"x")]) for n in (0, 1, 70_000)], codec, -1)
        batch = batch_at(raw, 0)
        assert batch is not None
        ours = [(r.offset, r.timestamp, r.key, r.value, list(r.headers)) for r in records_of(batch, "t", 0)]
        theirs = [(r.offset, r.timestamp, r.key, r.value, r.headers) for r in MemoryRecords(raw).next_batch()]
        assert ours == theirs


@pytest.mark.parametrize("codec", [GZIP, LZ4, ZSTD])
def test_a_batch_that_grows_without_end_is_unreadable(codec: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decompression, "LARGEST", limit := 4 << 20)
    bomb = raw_batch([(b"k", bytes(2 * limit), [])], codec)
    assert len(bomb) < limit // 100
    (reason,), behind = unpacked(bomb)
    assert (reason, behind) == ("offset 0 cannot be read: uncompressed, it is larger than 4 MiB", 1)
    large = raw_batch([(b"k", bytes(limit - 100), [])], codec)
    assert [len(value) for _, value, _ in unpacked(large)[0]] == [limit - 100]


# --- the patch


def test_the_patch_is_still_needed_and_still_fits() -> None:
    """When this fails, aiokafka has changed: look at `streams/kafka/library_patches.py` again."""
    assert version("aiokafka").startswith("0.14.")
    with pytest.raises(UnicodeDecodeError):
        list(MemoryRecords(raw_batch(RECORDS)).next_batch())


def test_all_consumers_read_with_the_patch() -> None:
    here = Path(__file__).parents[2]
    rooms = ("agents", "streams", "parking", "privacy", "tables", "projections", "webhooks", "web", "ops")
    direct = re.compile(r"^(?:from aiokafka import .*\bAIOKafkaConsumer\b|import aiokafka)", re.MULTILINE)
    found = [path.name for room in rooms for path in here.glob(f"{room}/**/*.py") if direct.search(path.read_text())]
    assert found == ["library_patches.py"]
