"""Record batches that aiokafka cannot read: they are read with a tolerant reader, or returned as a whole.

Kafka stores header names as bytes and does not check them. It does not check the checksum of a stored batch either.
Header names that are not UTF-8 are read with `surrogateescape`, as Python reads file names: `name.encode(*RAW)` returns
the original bytes.
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from aiokafka import ConsumerRecord
from aiokafka.errors import CorruptRecordException
from aiokafka.record.util import calc_crc32c, decode_varint

from streams.kafka.decompression import gzip_decode, lz4_decode, snappy_decode, zstd_decode

RAW = "utf-8", "surrogateescape"  # header names as Python has them: a name that is not UTF-8 becomes its bytes again
_HEADER = struct.Struct(">qiibIhiqqqhii")  # the header of a batch of version 2; the records follow
_ENTRY = struct.Struct(">qi")  # base offset and length, with which every version of the format begins
_MAGIC, _CHECKED = 16, 21  # where the version is, and where what the checksum covers begins
_CODEC, _LOG_APPEND_TIME, _TRANSACTIONAL, _CONTROL = 0x07, 0x08, 0x10, 0x20  # bits of the attributes
_DECODERS: dict[int, Callable[[bytes], bytes]] = {1: gzip_decode, 2: snappy_decode, 3: lz4_decode, 4: zstd_decode}


@dataclass
class Unreadable(ConsumerRecord[bytes, bytes]):
    """A record batch, or the rest of one, that cannot be read; it replaces its records.

    `offset` is the offset of its last record, so that the next record is the one after the batch; `value` is the whole
    batch.
    """

    first: int  # offset
    reason: str

    @property
    def span(self) -> str:
        """The offsets of its records."""
        return f"offset {self.offset}" if self.first == self.offset else f"offsets {self.first} to {self.offset}"

    def __str__(self) -> str:
        return f"{self.span} cannot be read: {self.reason}"


class CannotRead(Exception):
    """A partition is blocked by an `Unreadable`."""


def first_of(record: ConsumerRecord[bytes, bytes]) -> int:
    """Return the offset of a record, or of the first record of an unreadable batch."""
    return record.first if isinstance(record, Unreadable) else record.offset


class Batch(NamedTuple):
    """A record batch as bytes, and the fields of its header."""

    raw: bytes
    end: int  # its end in the fetched bytes
    magic: int
    crc: int
    attributes: int
    base_offset: int
    next_offset: int
    first_timestamp: int
    max_timestamp: int
    producer_id: int
    records: int

    @property
    def transactional(self) -> bool:
        """Whether it belongs to a transaction, which may be aborted; markers do not."""
        return self.attributes & (_TRANSACTIONAL | _CONTROL) == _TRANSACTIONAL

    def check(self, *, crc: bool) -> None:
        """Raise `CorruptRecordException` if the records cannot be trusted."""
        if self.magic < 0 or (self.magic == 2 and len(self.raw) < _HEADER.size):
            raise CorruptRecordException("the batch is cut off")
        if self.magic != 2:
            raise CorruptRecordException(f"message format {self.magic} is not known")
        if crc and calc_crc32c(self.raw[_CHECKED:]) != self.crc:
            raise CorruptRecordException("the checksum is wrong")
        if self.attributes & _CONTROL:
            raise CorruptRecordException("a transaction marker is malformed")


def batch_at(fetched: bytes, offset: int) -> Batch | None:
    """Return the batch that contains `offset`, or the next one; None if there is neither."""
    position = 0
    while position < len(fetched):
        batch = _batch(fetched, position, offset)
        if batch.next_offset > offset:
            return batch
        position = batch.end
    return None


def _batch(fetched: bytes, position: int, offset: int) -> Batch:
    """Return the batch at a position; of one that is cut off, all that is left, and that it ends with `offset`."""
    left = len(fetched) - position
    base, length = _ENTRY.unpack_from(fetched, position) if left >= _ENTRY.size else (offset, -1)
    if length < 0 or length > left - _ENTRY.size:
        return Batch(fetched[position:], len(fetched), -1, 0, 0, offset, offset + 1, -1, -1, -1, 0)
    end = position + _ENTRY.size + length
    raw = fetched[position:end]
    magic = raw[_MAGIC] if len(raw) > _MAGIC else -1
    if magic != 2 or len(raw) < _HEADER.size:  # older formats: an entry is a record, or ends with that offset
        return Batch(raw, end, magic, 0, 0, base, base + 1, -1, -1, -1, 0)
    _, _, _, _, crc, attributes, last, first_time, max_time, producer, _, _, count = _HEADER.unpack_from(raw)
    return Batch(raw, end, magic, crc, attributes, base, base + max(last, 0) + 1, first_time, max_time, producer, count)


def whole(record: Unreadable) -> Unreadable:
    """Return an `Unreadable` from its first offset on, wherever reading it began."""
    batch = batch_at(record.value or b"", record.offset)
    return record if batch is None else replace(record, first=min(record.first, batch.base_offset))


def records_of(batch: Batch, topic: str, partition: int) -> Iterator[ConsumerRecord[bytes, bytes]]:
    """Yield a batch's records; invalid bytes raise various errors, such as `ValueError` and `IndexError`."""
    reading = _Reading(_uncompressed(batch))
    for _ in range(batch.records):
        yield reading.record(batch, topic, partition)
    if reading.position != len(reading.buffer):
        raise CorruptRecordException(f"{len(reading.buffer) - reading.position} bytes are left after the last record")


def _uncompressed(batch: Batch) -> bytearray:
    codec, data = batch.attributes & _CODEC, batch.raw[_HEADER.size :]
    if codec == 0:
        return bytearray(data)
    if (decode := _DECODERS.get(codec)) is None:
        raise CorruptRecordException(f"compression codec {codec} is not known")
    return bytearray(decode(data))


@dataclass
class _Reading:
    """A batch's records, and how far they were read."""

    buffer: bytearray
    position: int = 0

    def record(self, batch: Batch, topic: str, partition: int) -> ConsumerRecord[bytes, bytes]:
        """Return the next record."""
        length = self._number()
        end = self.position + length
        self._number()  # attributes: none are defined
        delta = self._number()
        offset = batch.base_offset + self._number()
        append_time = batch.attributes & _LOG_APPEND_TIME
        key, value = self._bytes(), self._bytes()
        headers = tuple([self._header() for _ in range(self._number())])
        if self.position != end:
            raise CorruptRecordException(f"record {offset} ends at byte {self.position} instead of {end}")
        sizes = (-1 if key is None else len(key)), (-1 if value is None else len(value))
        timestamp = batch.max_timestamp if append_time else batch.first_timestamp + delta
        return ConsumerRecord(  # type: ignore[call-arg]
            topic, partition, offset, timestamp, int(bool(append_time)), key, value, None, *sizes, headers
        )

    def _header(self) -> tuple[str, bytes | None]:
        name, value = self._bytes(), self._bytes()
        if name is None:
            raise CorruptRecordException("a header has no name")
        return name.decode(*RAW), value

    def _bytes(self) -> bytes | None:
        if (length := self._number()) < 0:
            return None
        begin, self.position = self.position, self.position + length
        if self.position > len(self.buffer):
            raise CorruptRecordException(f"a field ends after the batch, at byte {self.position}")
        return bytes(self.buffer[begin : self.position])

    def _number(self) -> int:
        number, self.position = decode_varint(self.buffer, self.position)
        return int(number)
