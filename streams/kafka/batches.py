"""Messages become record batches, and record batches Produce requests: one batch a partition in each."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from aiokafka.record.default_records import DefaultRecordBatchBuilder
from faust.types import TP

from streams.kafka.library_patches import HeaderName, RawBatchBuilder
from streams.kafka.partitions import partition_of

ANY_PARTITION = -1  # by the key, as Kafka's Java client does (murmur2)
BATCH_BYTES = 900_000  # below the 1 MiB a broker takes by default; a larger message is a batch of its own
REQUEST_BYTES = 64 << 20  # below the 100 MiB a broker takes by default

_MAGIC, _UNCOMPRESSED, _TRANSACTIONAL = 2, 0, 1


class Write(NamedTuple):
    """A message to send; a partition of `ANY_PARTITION` means: by key."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] | None = None


class Producer(NamedTuple):
    """Who writes: as every record batch says it."""

    id: int
    epoch: int


Request = dict[TP, bytearray]  # one Produce request: a record batch a partition


def requests(
    writes: Iterable[Write], partitions: Mapping[str, int], producer: Producer, *, singly: bool = False
) -> Iterator[Request]:
    """Yield what is to be sent, one request after the other; `partitions`: topic → how many.

    `singly`: a batch for each message, since the broker's limit is of a batch.
    """
    batches = _Batches(producer, 1 if singly else BATCH_BYTES)
    for write in writes:
        partition = write.partition
        if partition == ANY_PARTITION:
            partition = partition_of(write.key or b"", partitions[write.topic])
        batches.append(TP(write.topic, partition), write)
    request, size = Request(), 0
    for tp, batch in batches.built():
        if tp in request or (request and size + len(batch) > REQUEST_BYTES):
            yield request
            request, size = {}, 0
        request[tp] = batch
        size += len(batch)
    if request:
        yield request


class _Batches:
    """The record batches of one transaction: sequences begin at 0 in each, since each has an epoch of its own."""

    def __init__(self, producer: Producer, batch_bytes: int) -> None:
        self._producer, self._batch_bytes, self._now_ms = producer, batch_bytes, int(time.time() * 1000)
        self._open: dict[TP, Any] = {}
        self._records: dict[TP, int] = {}  # in the open batch
        self._sequences: dict[TP, int] = {}  # of the open batch's first record
        self._full: list[tuple[TP, bytearray]] = []

    def append(self, tp: TP, write: Write) -> None:
        """Append a message; a batch that has no room for it is closed."""
        builder = self._open.get(tp) or self._begin(tp, 0)
        try:
            if not self._fits(tp, builder, write):
                self._fits(tp, self._begin_next(tp), write)
        except UnicodeEncodeError:  # a header name that came as bytes goes on as those bytes
            named = [(HeaderName(name), value) for name, value in write.headers or ()]
            self._fits(tp, self._begin_next(tp, RawBatchBuilder), write._replace(headers=named))

    def _begin_next(self, tp: TP, kind: Any = DefaultRecordBatchBuilder) -> Any:
        """Close the open batch, if there is anything in it, and begin the one that follows it."""
        if self._records[tp]:
            self._full.append((tp, self._open[tp].build()))
        return self._begin(tp, self._sequences[tp] + self._records[tp], kind)

    def _begin(self, tp: TP, sequence: int, kind: Any = DefaultRecordBatchBuilder) -> Any:
        builder = kind(_MAGIC, _UNCOMPRESSED, _TRANSACTIONAL, *self._producer, sequence, self._batch_bytes)
        self._open[tp], self._records[tp], self._sequences[tp] = builder, 0, sequence
        return builder

    def _fits(self, tp: TP, builder: Any, write: Write) -> bool:
        number = self._records[tp]
        if builder.append(number, self._now_ms, write.key, write.value, write.headers or []) is None:
            return False  # never of a batch's first message
        self._records[tp] = number + 1
        return True

    def built(self) -> list[tuple[TP, bytearray]]:
        """Return the batches, those of one partition in order."""
        return self._full + [(tp, builder.build()) for tp, builder in self._open.items()]
