"""What is changed in libraries from within: each patch with its reason, the version it is for, and its test.

**aiokafka 0.14: one record must not block its partition** (tests/streams/test_streams_unreadable.py). Its parser raises
whatever the bytes of a batch lead to out of `getmany`: `UnicodeDecodeError` for a header name that is not UTF-8, errors
of a decompressor, `CorruptRecordException`. What was fetched of other partitions in the same call is lost, the position
stays, and the next call raises again; seeking is no way out, because the broker always returns whole batches. Patched,
a batch that raises is read again by `streams/kafka/unreadable.py`, and one that nothing can read is handed out in its
place as an `Unreadable`. Batches that can be read never leave aiokafka's own path.

**aiokafka 0.14: header names as bytes** (tests/streams/test_streams_batches.py). Its builder in C encodes header names
as UTF-8, so that a name which came as other bytes could not be sent on as it was. The builder in Python asks the name
itself to do that: a `HeaderName` becomes the bytes it came as.

**aiokafka 0.14: fetches in turns** (tests/streams/test_streams_pace.py). Its fetcher sends the next request as soon as
an answer is there, over the connection that every other request waits for, and has no setting for either.
`intercept_fetches` puts a turn before each request, and a client of ours in place of the fetcher's.

**faust-streaming 0.15.3: only committed records** (tests/integration/test_open_transactions.py). Faust reads
uncommitted ones unless it runs its own `exactly_once`, which we do not use. `read_committed` sets it on the consumer
that Faust has made.

**aiokafka 0.14: decompression without end** (the same test). Its parser decompresses whatever it is given; patched, no
more than `decompression.LARGEST` bytes a batch.

Whoever reads with aiokafka takes `AIOKafkaConsumer` from here, so that the patch is in force.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from aiokafka import AIOKafkaConsumer as AIOKafkaConsumer
from aiokafka import ConsumerRecord
from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record._crecords import default_records
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy as RawBatchBuilder
from aiokafka.record.memory_records import MemoryRecords

from streams.kafka import decompression
from streams.kafka.unreadable import RAW, Batch, Unreadable, batch_at, records_of

__all__ = ["AIOKafkaConsumer", "HeaderName", "RawBatchBuilder", "intercept_fetches", "read_committed"]


def intercept_fetches(
    consumer: Any, take_turn: Callable[[], Awaitable[None]], wrap: Callable[[Any], Any], untaken_seconds: float
) -> None:
    """Await `take_turn` before each fetch request of a started consumer, and send it with the client `wrap` returns.

    `untaken_seconds`: after which a partition whose records were not taken is left out of the next request.
    """
    its_fetcher = consumer._fetcher
    send = its_fetcher._proc_fetch_request

    async def send_in_turn(assignment: Any, node_id: int, request: Any) -> Any:
        try:
            await take_turn()
        except asyncio.CancelledError:  # the fetcher awaits those it cancels, and closes no further where one raises
            return False
        return await send(assignment, node_id, request)

    its_fetcher._proc_fetch_request = send_in_turn
    its_fetcher._prefetch_backoff = untaken_seconds
    its_fetcher._client = wrap(its_fetcher._client)


def read_committed(consumer: Any) -> Any:
    """Return a consumer that has not started, set to read only what was committed."""
    consumer._isolation_level = "read_committed"
    return consumer


class HeaderName(str):
    """The name of a header, for a `RawBatchBuilder`."""

    __slots__ = ()

    def encode(self, *_: str) -> bytes:
        """Return the bytes it came as."""
        return str.encode(self, *RAW)


class Fetched:
    """What a fetch brought of a partition: aiokafka's parser of it, and the bytes."""

    __slots__ = ("memory", "raw")

    def __init__(self, raw: bytes | None) -> None:
        self.raw = raw or b""
        self.memory = MemoryRecords(self.raw)

    def has_next(self) -> bool:
        """Return whether there is anything; a first batch that is cut off is something, too."""
        return bool(self.raw)

    def size_in_bytes(self) -> int:
        """Return how much there is."""
        return len(self.raw)


class TolerantRecords(fetcher.PartitionRecords):  # type: ignore[misc]
    """A partition's records as they were fetched, those of batches that aiokafka cannot read among them."""

    def __init__(self, tp: Any, records: Fetched, *options: Any) -> None:
        super().__init__(tp, records.memory, *options)
        self._raw = records.raw
        self.next_fetch_offset: int
        self._records_iterator: Iterator[ConsumerRecord[bytes, bytes]] | None
        if not records.memory.has_next():
            self._records_iterator = self._read_again(CorruptRecordException("the batch is cut off"))

    def __next__(self) -> ConsumerRecord[bytes, bytes]:
        try:
            return next(self._records_iterator)  # type: ignore[arg-type]
        except StopIteration:
            self._records_iterator = None
            raise
        except Exception as error:
            self._records_iterator = self._read_again(error)
            return next(self)

    def _read_again(self, error: Exception) -> Iterator[ConsumerRecord[bytes, bytes]]:
        """Yield what is in the batch that raised, then what is behind it."""
        batch = batch_at(self._raw, self.next_fetch_offset)
        if batch is None:
            raise error
        if not self._was_aborted(batch):
            try:
                batch.check(crc=self._check_crcs)
                for record in records_of(batch, self._tp.topic, self._tp.partition):
                    if record.offset >= self.next_fetch_offset:
                        self.next_fetch_offset = record.offset + 1
                        yield record
            except Exception as unreadable:
                first, self.next_fetch_offset = self.next_fetch_offset, batch.next_offset
                yield self._unreadable(batch, max(first, batch.base_offset), unreadable)
                return  # which transactions were aborted behind it, the next fetch says
        self.next_fetch_offset = batch.next_offset
        self._records = MemoryRecords(self._raw[batch.end :])
        yield from self._unpack_records()

    def _was_aborted(self, batch: Batch) -> bool:
        if self._isolation_level != fetcher.READ_COMMITTED:
            return False
        self._consume_aborted_up_to(batch.base_offset)
        return batch.transactional and batch.producer_id in self._aborted_producers

    def _unreadable(self, batch: Batch, first: int, error: Exception) -> Unreadable:
        reason = str(error) if isinstance(error, CorruptRecordException) else f"{type(error).__name__}: {error}"
        reason = reason.removeprefix("[Error 2] CorruptRecordException: ")
        return Unreadable(
            self._tp.topic, self._tp.partition, batch.next_offset - 1, batch.max_timestamp, 0, None, batch.raw,
            None, -1, len(batch.raw), (), first, reason,
        )  # fmt: skip


for _codec in ("gzip_decode", "lz4_decode", "snappy_decode", "zstd_decode"):
    setattr(default_records, _codec, getattr(decompression, _codec))
fetcher.MemoryRecords, fetcher.PartitionRecords = Fetched, TolerantRecords
