"""Our records are aiokafka's, whatever a partition has: markers, aborted transactions, holes, batches begun before."""

import struct
from collections.abc import Iterable

import pytest
from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.consumer.fetcher import READ_COMMITTED, READ_UNCOMMITTED, PartitionRecords
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords

from streams.records import Records

TP = TopicPartition("order-events", 3)
ABORT, COMMIT = struct.pack(">HH", 0, 0), struct.pack(">HH", 0, 1)
CONTROL = 1 << 5  # of a batch's attributes
ATTRIBUTES = 21  # where they are
ME, ANOTHER = 7, 8  # producers


def batch(base: int, offsets: Iterable[int], producer: int = -1, *, transactional: bool = False) -> bytearray:
    """Return a batch from offset `base` on with records at these offsets behind it."""
    builder = DefaultRecordBatchBuilder(2, 0, int(transactional), producer, 0, 0, 1 << 20)
    for offset in offsets:
        headers = [("content-type", b"json")] if offset % 2 else []
        builder.append(offset, 1_790_000_000_000 + offset, b"key", f"value {base + offset}".encode(), headers)
    built: bytearray = builder.build()
    built[:8] = struct.pack(">q", base)  # the checksum is of what comes after it
    return built


def marker(base: int, producer: int, key: bytes) -> bytearray:
    """Return the batch that ends a transaction."""
    builder = DefaultRecordBatchBuilder(2, 0, 1, producer, 0, 0, 1 << 20)
    builder.append(0, 0, key, b"\0\0\0\0\0\0", [])
    built: bytearray = builder.build()
    built[:8] = struct.pack(">q", base)
    built[ATTRIBUTES + 1] |= CONTROL
    return built


LOG = b"".join([
    batch(10, [0, 1, 2, 5]),  # compaction took away 13 and 14
    batch(16, [0, 1], ME, transactional=True),  # aborted
    batch(18, [0], ANOTHER, transactional=True),
    marker(19, ME, ABORT),
    batch(20, [0], ME, transactional=True),
    marker(21, ME, COMMIT),
    marker(22, ANOTHER, COMMIT),
    batch(23, [0, 1, 2]),
])  # fmt: skip
ABORTED = [(ME, 16)]


def read(
    kind: type[PartitionRecords], first: int, isolation: int, log: bytes = LOG, crcs: bool = False
) -> PartitionRecords:
    return kind(TP, MemoryRecords(log), list(ABORTED), first, None, None, crcs, isolation)


def said(record: ConsumerRecord) -> tuple[object, ...]:
    headers = tuple(record.headers)
    return record.topic, record.partition, record.offset, record.timestamp, record.key, record.value, headers


@pytest.mark.parametrize("isolation", [READ_COMMITTED, READ_UNCOMMITTED])
@pytest.mark.parametrize("first", [10, 11, 14, 15, 20, 23, 25])
def test_they_are_aiokafkas(isolation: int, first: int) -> None:
    theirs, ours = read(PartitionRecords, first, isolation), read(Records, first, isolation)
    assert [said(record) for record in ours] == [said(record) for record in theirs]
    assert ours.next_fetch_offset == theirs.next_fetch_offset == 26


def test_what_was_aborted_is_left_out() -> None:
    assert [record.offset for record in read(Records, 10, READ_COMMITTED)] == [10, 11, 12, 15, 18, 20, 23, 24, 25]


def test_whoever_stops_goes_on_behind_the_last_record() -> None:
    records = read(Records, 10, READ_COMMITTED)
    reached = [(record.offset, records.next_fetch_offset) for record in records]
    assert reached == [(offset, offset + 1) for offset, _ in reached]


def test_a_damaged_batch_is_refused() -> None:
    damaged = batch(10, [0, 1])
    damaged[-1] ^= 1
    with pytest.raises(CorruptRecordException, match="a batch of order-events/3 is damaged"):
        list(read(Records, 10, READ_COMMITTED, bytes(batch(8, [0, 1]) + damaged), crcs=True))
