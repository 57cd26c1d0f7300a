"""The events and table entries of one partition, aggregate by aggregate: in memory, above a limit in RocksDB.

Aggregates are then folded one after the other, so that an audit needs no more memory for ten million than for ten
thousand. In RocksDB, the key begins with `length of the aggregate's id, id, kind, number`: all of an aggregate is
adjacent, its events first, in the order of their offsets. The number of an entry is that of the attempt to read the
table, and the entry's own key follows, so that of several changes of an entry the last one is kept.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from ops.kafka.records import BulkRecord

LIMIT = 48 << 20  # bytes of events and entries of a partition in memory; Python needs about twice as much
BATCH = 2_000  # writes
MEMTABLE_BYTES = 16 << 20
EVENT, ENTRY = 0, 1
_LENGTH, _NUMBER, _TIME = struct.Struct(">I"), struct.Struct(">BQ"), struct.Struct(">q")

Entry = tuple[bytes, bytes]  # key and value in a table
Change = tuple[bytes, bytes | None]  # key and new value of an entry; None deletes it


@dataclass(slots=True)
class Group:
    """One aggregate: its events, to be read first, then its table entries; each can be read once."""

    id: bytes
    events: Iterator[BulkRecord]
    entries: Iterator[Entry]


@dataclass(slots=True)
class _Held:
    events: list[BulkRecord] = field(default_factory=list)
    entries: dict[bytes, bytes | None] = field(default_factory=dict)

    def existing(self) -> Iterator[Entry]:
        """Yield the entries that were not deleted."""
        return ((key, value) for key, value in self.entries.items() if value is not None)


class Groups:
    """Everything about one partition, collected in any order and read by aggregate; a context manager."""

    def __init__(self, partition: int, folder: Path, limit: int = LIMIT) -> None:
        self._partition, self._folder, self._limit = partition, folder, limit
        self._held: dict[bytes, _Held] = {}
        self._bytes = 0
        self._spill: _Spill | None = None

    def __enter__(self) -> "Groups":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        if self._spill is not None:
            self._spill.close()

    @property
    def spilled(self) -> bool:
        """Whether the limit was reached."""
        return self._spill is not None

    def add_event(self, aggregate: bytes, record: BulkRecord) -> None:
        """Add an event; those of an aggregate come in the order of their offsets."""
        held = self._held.get(aggregate)
        if held is None:
            held = self._held[aggregate] = _Held()
        held.events.append(record)
        self._grow(len(record.value or b""))

    def add_entry(self, aggregate: bytes, change: Change) -> None:
        """Add an entry of the table, or a change of one that was added."""
        held = self._held.get(aggregate)
        if held is None:
            held = self._held[aggregate] = _Held()
        key, value = change
        held.entries[key] = value
        self._grow(len(key) + len(value or b""))

    def forget_entries(self) -> None:
        """Forget all table entries: they will be added again."""
        for held in self._held.values():
            held.entries.clear()
        if self._spill is not None:
            self._spill.forget_entries()

    def _grow(self, size: int) -> None:
        self._bytes += size
        if self._bytes > self._limit:
            if self._spill is None:
                self._spill = _Spill(self._folder)
            self._spill.write(self._held)
            self._held, self._bytes = {}, 0

    def __iter__(self) -> Iterator[Group]:
        """Yield the aggregates; each must be read before the next."""
        if self._spill is None:
            return (Group(each, iter(held.events), held.existing()) for each, held in self._held.items())
        self._spill.write(self._held)
        self._held = {}
        return self._spill.groups(self._partition)


class _Spill:
    """A temporary RocksDB that is written once, then read in order; it needs no log, and no compaction."""

    def __init__(self, folder: Path) -> None:
        from rocksdict import DBCompressionType, Options, Rdict, WriteOptions

        options = Options(raw_mode=True)
        options.create_if_missing(True)
        options.set_write_buffer_size(MEMTABLE_BYTES)
        options.set_compression_type(DBCompressionType.lz4())
        options.set_disable_auto_compactions(True)
        options.set_level_zero_slowdown_writes_trigger(1 << 30)
        options.set_level_zero_stop_writes_trigger(1 << 30)
        self._folder, self._database = folder, Rdict(str(folder), options)
        self._unlogged = WriteOptions()
        self._attempt = 0  # to read the table
        self._unlogged.disable_wal = True  # type: ignore[method-assign,assignment]  # a property

    def write(self, held: dict[bytes, _Held]) -> None:
        """Write everything that was held in memory."""
        batch, size = self._batch(), 0
        for key, value in self._rows(held):
            if value is None:
                batch.delete(key)
            else:
                batch.put(key, value)
            size += 1
            if size == BATCH:
                self._database.write(batch, self._unlogged)
                batch, size = self._batch(), 0
        self._database.write(batch, self._unlogged)

    @staticmethod
    def _batch() -> Any:
        from rocksdict import WriteBatch

        return WriteBatch(raw_mode=True)

    def _rows(self, held: dict[bytes, _Held]) -> Iterator[tuple[bytes, bytes | None]]:
        for aggregate, group in held.items():
            prefix = _LENGTH.pack(len(aggregate)) + aggregate
            for record in group.events:
                yield prefix + _NUMBER.pack(EVENT, record.offset), _TIME.pack(record.timestamp) + (record.value or b"")
            for key, value in group.entries.items():
                yield prefix + _NUMBER.pack(ENTRY, self._attempt) + key, value

    def forget_entries(self) -> None:
        """Leave out the entries that were written so far."""
        self._attempt += 1

    def groups(self, partition: int) -> Iterator[Group]:
        """Yield the aggregates in the order of their ids."""
        items: Any = self._database.items()
        rows = _Rows(items)
        while (aggregate := rows.aggregate) is not None:
            yield Group(aggregate, rows.events(aggregate, partition), rows.entries(aggregate, self._attempt))
            while rows.aggregate == aggregate:
                rows.next()

    def close(self) -> None:
        """Close and delete it."""
        from rocksdict import Rdict

        self._database.close()
        Rdict.destroy(str(self._folder))


class _Rows:
    """The rows of a spill; it knows the one that is next."""

    def __init__(self, rows: Iterator[tuple[bytes, bytes]]) -> None:
        self._rows = rows
        self.next()

    def next(self) -> None:
        """Go to the next row; after the last one, `aggregate` is None."""
        self.aggregate: bytes | None = None
        if (row := next(self._rows, None)) is not None:
            key, self._value = row
            end = _LENGTH.size + _LENGTH.unpack_from(key)[0]
            self.aggregate = key[_LENGTH.size : end]
            self._kind, self._number = _NUMBER.unpack_from(key, end)
            self._rest = key[end + _NUMBER.size :]

    def events(self, aggregate: bytes, partition: int) -> Iterator[BulkRecord]:
        """Yield the events of an aggregate."""
        while self.aggregate == aggregate and self._kind == EVENT:
            value, (timestamp,) = self._value, _TIME.unpack_from(self._value)
            yield BulkRecord(aggregate, value[_TIME.size :], partition, self._number, timestamp)
            self.next()

    def entries(self, aggregate: bytes, attempt: int) -> Iterator[Entry]:
        """Yield the table entries of an aggregate that an attempt has read."""
        while self.aggregate == aggregate and self._kind == ENTRY:
            if self._number == attempt:
                yield self._rest, self._value
            self.next()
