"""Rows on disk: one RocksDB database per partition of a table, in `FULFILLMENT_DATA/state/ROLE/INSTANCE/PARTITION`.

A database contains every committed record before its checkpoint, an offset of the changelog, because both change in
one atomic batch. It may contain later records, which do no harm: they are applied again in their order. It is never
ahead of what was committed, because batches are written after the commit.

Batches are not synchronised to the disk one by one. `kill -9` loses nothing of them; a power cut may lose the last
ones, which leaves an earlier checkpoint. A restore writes without RocksDB's own log, so until it is flushed, a crash
leaves an earlier checkpoint, too.

The changelog is the truth, so a directory is discarded in case of doubt: if it belongs to another changelog topic, is
in another format, is a copy of another directory, or has damage, which RocksDB detects by its checksums.

InUse                          another process has the database open
"""

import logging
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from itertools import islice
from pathlib import Path
from typing import NoReturn
from weakref import WeakSet

import msgspec
from rocksdict import (
    BlockBasedOptions,
    Cache,
    DbClosedError,
    DBCompactionStyle,
    DBCompressionType,
    Options,
    Rdict,
    RdictIter,
    WriteBatch,
    WriteBufferManager,
    WriteOptions,
)

from streams.runtime.process import end_process

from .rows import Checkpoint, Closed

log = logging.getLogger(__name__)

FORMAT = 1
RECORD = b"\0checkpoint"  # its key; those of entries are percent-encoded ids, or begin with `/`
BLOCK_BYTES, BLOOM_BITS = 16 << 10, 10  # larger blocks need less memory for indexes
BUFFERS = 3  # one third of the cache may hold rows that are not in files yet
OPEN_FILES = 512  # the limit for all partitions together
BULK = WriteOptions()
BULK.disable_wal = True  # type: ignore[method-assign,assignment]  # its stub declares a method
LOCKED = ("While lock file", "lock hold by current process")
FULL = ("No space left on device", "Disk quota exceeded")
NOT_DAMAGE = ("Permission denied", "Read-only file system", "Too many open files", "Not a directory")


class InUse(Exception):
    """Another process has the database open: one with the same FULFILLMENT_INSTANCE, probably."""


class Record(msgspec.Struct, frozen=True):
    """The origin of the rows: `offset` and `time` are the checkpoint, `home` is the directory they belong to.

    RocksDB takes a truncated manifest, its list of files, for an older one, and does not miss the rows of files that it
    lists no more. Therefore the record contains the manifest's name and size.
    """

    format: int
    home: str
    topic_id: str
    offset: int
    time: float
    manifest: str
    manifest_bytes: int


class Memory:
    """The memory that all databases of a process share, and their options."""

    def __init__(self, cache_bytes: int, partitions: int) -> None:
        cache = Cache(cache_bytes)
        table = BlockBasedOptions()
        table.set_block_cache(cache)
        table.set_block_size(BLOCK_BYTES)
        table.set_bloom_filter(BLOOM_BITS, False)
        table.set_cache_index_and_filter_blocks(True)
        table.set_pin_l0_filter_and_index_blocks_in_cache(True)
        self.options = options = Options(raw_mode=True)
        options.set_block_based_table_factory(table)
        buffers = WriteBufferManager.new_write_buffer_manager_with_cache(cache_bytes // BUFFERS, False, cache)
        options.set_write_buffer_manager(buffers)
        # Ids are random, so with levels each of the small files that leave memory would rewrite a whole level.
        options.set_compaction_style(DBCompactionStyle.universal())
        options.set_compression_type(DBCompressionType.lz4())
        options.set_paranoid_checks(True)
        options.set_max_open_files(max(OPEN_FILES // partitions, 20))
        options.set_max_background_jobs(2)
        options.set_max_log_file_size(1 << 20)
        options.set_keep_log_file_num(2)
        options.set_stats_dump_period_sec(0)
        options.set_stats_persist_period_sec(0)


class DiskRows:
    """The rows of a partition in `place`, for the changelog topic with an id. Raise `InUse`."""

    def __init__(self, place: Path, topic_id: str, memory: Memory) -> None:
        self.place = place
        self.checkpoint: Checkpoint | None = None
        self._manifest = place / "no manifest"
        self._options, self._unflushed = memory.options, False
        self._iterated: WeakSet[_Items] = WeakSet()
        self._db = self._open()
        self.use_for(topic_id)

    def use_for(self, topic_id: str) -> None:
        """Begin an assignment: discard the rows if they do not belong to this changelog and this directory."""
        self.topic_id = topic_id
        raw = self.get(RECORD)
        record = _record(raw) if raw is not None else None
        if record is None and next(self.items(), None) is None:
            return
        if (why := self._misfit(record)) is not None:
            log.warning("%s is discarded and rebuilt from the changelog: %s", self.place, why)
            self.clear()
        elif record is not None:
            self.checkpoint = Checkpoint(record.offset, record.time)

    def _misfit(self, record: Record | None) -> str | None:
        if record is None:
            return "its rows have no checkpoint in a format that this version knows"
        if record.manifest == self._read_manifest and record.manifest_bytes > self._read_bytes:
            return f"{record.manifest} is truncated"
        if record.home != self._home:
            return f"it is a copy of {record.home}, which may have been copied while it changed"
        if record.topic_id != self.topic_id:
            return "the changelog topic was deleted and created again"
        return None

    # --- reading

    def get(self, key: bytes) -> bytes | None:
        """Return the row of `key`."""
        try:
            return self._db.get(key)
        except Exception as error:
            self._fail(error)

    def __contains__(self, key: object) -> bool:
        try:
            return key in self._db  # type: ignore[operator]
        except Exception as error:
            self._fail(error)

    def __len__(self) -> int:
        return self._db.property_int_value("rocksdb.estimate-num-keys") or 0

    def keys(self, prefix: bytes) -> list[bytes]:
        """Return the keys that begin with `prefix`, sorted."""
        with closing(_Items(self._db.iter(), prefix, self._fail)) as items:
            return [key for key, _ in items]

    def first(self, prefix: bytes, behind: bytes, limit: int) -> list[bytes]:
        """Return the first keys that begin with `prefix` and are greater than `behind`, sorted."""
        with closing(_Items(self._db.iter(), prefix, self._fail, behind)) as items:
            return list(islice((key for key, _ in items if key > behind), limit))

    def items(self, prefix: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Yield the rows whose keys begin with `prefix`, as they are now; raise `Closed` if they are closed before."""
        items = _Items(self._db.snapshot().iter(), prefix, self._fail)
        self._iterated.add(items)
        return items

    # --- writing

    def write(self, rows: Mapping[bytes, bytes | None], checkpoint: Checkpoint | None, *, bulk: bool = False) -> None:
        """Set or delete rows, whole or not at all, together with the checkpoint."""
        batch = WriteBatch(raw_mode=True)
        for key, row in rows.items():
            if row is None:
                batch.delete(key)
            else:
                batch.put(key, row)
        if checkpoint is not None:
            batch.put(RECORD, self._record(checkpoint))
        if not bulk:
            self.flush()  # otherwise a crash could lose what was written in bulk, and keep this
        try:
            self._db.write(batch, BULK if bulk else None)
        except Exception as error:
            self._fail(error)
        self._unflushed, self.checkpoint = bulk, checkpoint or self.checkpoint

    def _record(self, checkpoint: Checkpoint) -> bytes:
        try:
            size = self._manifest.stat().st_size
        except FileNotFoundError:  # after some errors RocksDB continues with a new one
            self._manifest = self._current_manifest()
            size = self._manifest.stat().st_size
        return msgspec.json.encode(Record(FORMAT, self._home, self.topic_id, *checkpoint, self._manifest.name, size))

    def flush(self) -> None:
        """Make what was written in bulk durable."""
        if not self._unflushed:
            return
        try:
            self._db.flush()
        except Exception as error:
            self._fail(error)
        self._unflushed = False

    # --- the directory

    def clear(self) -> None:
        """Discard all rows and the checkpoint."""
        self.close()
        discard(self.place)
        self._db, self.checkpoint, self._unflushed = self._open(), None, False

    def close(self) -> None:
        """Close the database; iterators let go of it, because they would keep its lock."""
        for items in self._iterated:
            items.close()
        try:
            self._db.close()
        except Exception as error:  # rows that could not be written are in the changelog
            log.warning("%s was not closed: %s", self.place, error)

    def _open(self) -> Rdict:
        try:
            return self._try_to_open()
        except Exception as error:
            if any(each in str(error) for each in LOCKED):
                raise InUse(f"another process uses {self.place}") from error
            if any(each in str(error) for each in (*FULL, *NOT_DAMAGE)):
                self._fail(error)
            log.warning("%s is discarded and rebuilt from the changelog: %s", self.place, error)
        try:
            discard(self.place)
            return self._try_to_open()
        except Exception as error:
            self._fail(error)

    def _try_to_open(self) -> Rdict:
        self.place.mkdir(parents=True, exist_ok=True)
        self._home = f"{'/'.join(self.place.parts[-3:])}, inode {self.place.stat().st_ino}"
        before = self._current_manifest()
        self._read_manifest, self._read_bytes = before.name, before.stat().st_size if before.exists() else 0
        found = Rdict(str(self.place), self._options)
        self._manifest = self._current_manifest()
        return found

    def _current_manifest(self) -> Path:
        with suppress(OSError):
            return self.place / (self.place / "CURRENT").read_text().strip()
        return self.place / "no manifest"

    def _fail(self, error: Exception) -> NoReturn:
        """End the process, because the table cannot be read or written; the changelog has everything."""
        if isinstance(error, DbClosedError):
            raise error
        if any(each in str(error) for each in FULL):
            end_process(f"the table in {self.place} cannot be written: {error}; free some space on that disk")
        if any(each in str(error) for each in NOT_DAMAGE):
            end_process(f"the table in {self.place} cannot be opened: {error}")
        with suppress(OSError):
            discard(self.place)
        end_process(f"the table in {self.place} is damaged, and will be rebuilt from its changelog: {error}")


class _Items(Iterator[tuple[bytes, bytes]]):
    """Rows whose keys begin with a prefix, in order, from the key `begin` on.

    `fail` handles errors, which RocksDB reports at the end.
    """

    def __init__(
        self, cursor: RdictIter, prefix: bytes, fail: Callable[[Exception], NoReturn], begin: bytes = b""
    ) -> None:
        self._cursor: RdictIter | None = cursor
        self._prefix, self._fail = prefix, fail
        cursor.seek(max(prefix, begin))

    def __next__(self) -> tuple[bytes, bytes]:
        if (cursor := self._cursor) is None:
            raise Closed
        while cursor.valid():
            key, row = cursor.key(), cursor.value()
            cursor.next()
            if not key.startswith(self._prefix):
                break
            if key != RECORD:
                return key, row
        try:
            cursor.status()
        except Exception as error:
            self._fail(error)
        raise StopIteration

    def close(self) -> None:
        """Let go of the database."""
        self._cursor = None


def _record(raw: bytes) -> Record | None:
    """Return the record of the rows; None if another version wrote it in another format."""
    with suppress(msgspec.MsgspecError):
        record = msgspec.json.decode(raw, type=Record)
        return record if record.format == FORMAT else None
    return None


def discard(place: Path) -> None:
    """Delete a database. It is renamed first, because RocksDB would use what an interrupted deletion leaves."""
    rubbish = place.with_name(f"{place.name}.discarded")
    shutil.rmtree(rubbish, ignore_errors=True)
    with suppress(FileNotFoundError):
        place.rename(rubbish)
    shutil.rmtree(rubbish, ignore_errors=True)
