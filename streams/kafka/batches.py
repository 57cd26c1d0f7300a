"""Turns messages into record batches, and record batches into Produce requests with one batch per partition."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from struct import Struct
from typing import Any, NamedTuple

import msgspec
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from faust.types import TP
from msgspec.structs import astuple

from streams.kafka.library_patches import HeaderName, RawBatchBuilder
from streams.kafka.partitions import partition_of

ANY_PARTITION = -1  # the partition follows from the key, as in Kafka's Java client (murmur2)
BATCH_BYTES = 900_000  # below the 1 MiB a broker accepts by default; a larger message is a batch of its own
REQUEST_BYTES = 64 << 20  # below the 100 MiB a broker accepts by default

_MAGIC, _UNCOMPRESSED, _TRANSACTIONAL = 2, 0, 1
_RECORD_COUNT, _RECORD_COUNT_AT = Struct(">i"), 57  # the last field of a batch's header
NO_HEADERS: list[tuple[str, bytes | None]] = []


class Write(msgspec.Struct, frozen=True, gc=False):
    """A message to send; with `ANY_PARTITION`, its partition follows from its key."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] | None = None


class Producer(NamedTuple):
    """The producer's id and epoch, which every record batch contains."""

    id: int
    epoch: int


Request = dict[TP, bytearray]  # one Produce request: one record batch per partition


def requests(
    writes: Iterable[Write], partitions: Mapping[str, int], producer: Producer, *, singly: bool = False
) -> Iterator[Request]:
    """Yield Produce requests for `writes`, one record batch for each partition in each; `partitions`: topic → count.

    `singly` makes a batch of each message, because the broker limits the size of a batch.
    """
    request, size = Request(), 0
    for tp, batch in _batches(writes, partitions, producer, 1 if singly else BATCH_BYTES):
        if tp in request or (request and size + len(batch) > REQUEST_BYTES):
            yield request
            request, size = {}, 0
        request[tp] = batch
        size += len(batch)
    if request:
        yield request


def record_count(batch: bytes | bytearray) -> int:
    """Return the number of records in a batch."""
    return int(_RECORD_COUNT.unpack_from(batch, _RECORD_COUNT_AT)[0])


def _batches(
    writes: Iterable[Write], partitions: Mapping[str, int], producer: Producer, batch_bytes: int
) -> list[tuple[TP, bytearray]]:
    """Return the record batches of one transaction; batches of one partition are in order."""
    now_ms = int(time.time() * 1000)
    full: list[tuple[TP, bytearray]] = []
    logs: dict[tuple[str, int], _Log] = {}
    for write in writes:
        topic, partition, key, value, headers = astuple(write)
        if partition == ANY_PARTITION:
            partition = partition_of(key or b"", partitions[topic])
        log = logs.get((topic, partition))
        if log is None:
            log = logs[topic, partition] = _Log(TP(topic, partition), producer, batch_bytes, full)
        try:
            taken = log.append(log.records, now_ms, key, value, headers or NO_HEADERS)
            if taken is None:  # the batch is full; it always takes its first message
                log.begin()
                log.append(0, now_ms, key, value, headers or NO_HEADERS)
        except UnicodeEncodeError:  # a header name that came as bytes is sent as those bytes
            log.begin(RawBatchBuilder)
            named = [(HeaderName(name), content) for name, content in headers or NO_HEADERS]
            log.append(0, now_ms, key, value, named)
        log.records += 1
    return full + [(log.tp, log.builder.build()) for log in logs.values()]


class _Log:
    """The open record batch of one partition.

    Sequences begin at 0 in each transaction, because each has a producer epoch of its own.
    """

    __slots__ = ("_batch_bytes", "_full", "_producer", "append", "builder", "records", "sequence", "tp")

    def __init__(self, tp: TP, producer: Producer, batch_bytes: int, full: list[tuple[TP, bytearray]]) -> None:
        self.tp, self._producer, self._batch_bytes, self._full = tp, producer, batch_bytes, full
        self.records = 0  # in the open batch
        self.sequence = 0  # the sequence number of its first record
        self._open(DefaultRecordBatchBuilder)

    def begin(self, kind: Any = DefaultRecordBatchBuilder) -> None:
        """Close the open batch, unless it is empty, and begin the one that follows it."""
        if self.records:
            self._full.append((self.tp, self.builder.build()))
        self.sequence, self.records = self.sequence + self.records, 0
        self._open(kind)

    def _open(self, kind: Any) -> None:
        self.builder = kind(_MAGIC, _UNCOMPRESSED, _TRANSACTIONAL, *self._producer, self.sequence, self._batch_bytes)
        self.append = self.builder.append
