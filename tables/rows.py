"""The bytes of one partition's entries, and the point of the changelog that they correspond to.

MemoryRows                     in memory; read again from the beginning of the changelog at each assignment
tables/disk.py: DiskRows       in RocksDB, with a checkpoint

Closed                         rows were closed while they were read
"""

from collections.abc import Iterator, Mapping
from heapq import nsmallest
from typing import NamedTuple, Protocol


class Closed(Exception):
    """The rows were closed while they were read: the partition is assigned again."""


class Checkpoint(NamedTuple):
    """The offset of the changelog before which the rows contain every committed record.

    Later records were written after `time` (Unix seconds).
    """

    offset: int
    time: float


class Rows(Protocol):
    """The rows of a partition. They change only by records that are committed."""

    @property
    def checkpoint(self) -> Checkpoint | None:
        """How much of the changelog the rows contain; None if it must be read from the beginning."""

    def get(self, key: bytes) -> bytes | None:
        """Return the row of `key`."""

    def __contains__(self, key: object) -> bool: ...

    def __len__(self) -> int:
        """Return the number of rows, which is an estimate on disk."""

    def keys(self, prefix: bytes) -> list[bytes]:
        """Return the keys that begin with `prefix`, sorted."""

    def first(self, prefix: bytes, behind: bytes, limit: int) -> list[bytes]:
        """Return the first keys that begin with `prefix` and are greater than `behind`, sorted."""

    def items(self, prefix: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Yield the rows whose keys begin with `prefix`, as they are now, sorted on disk.

        Raise `Closed` if they are closed before the end.
        """

    def write(self, rows: Mapping[bytes, bytes | None], checkpoint: Checkpoint | None, *, bulk: bool = False) -> None:
        """Set or delete rows, whole or not at all; without a new checkpoint, the old one stays.

        With `bulk`, they are durable only after `flush`.
        """

    def flush(self) -> None:
        """Make what was written in bulk durable."""

    def clear(self) -> None:
        """Delete all rows and the checkpoint."""


class MemoryRows:
    """Rows in memory."""

    checkpoint: Checkpoint | None = None

    def __init__(self, rows: Mapping[bytes, bytes] | None = None) -> None:
        self._rows: dict[bytes, bytes] = dict(rows or {})

    def get(self, key: bytes) -> bytes | None:
        """Return the row of `key`."""
        return self._rows.get(key)

    def __contains__(self, key: object) -> bool:
        return key in self._rows

    def __len__(self) -> int:
        return len(self._rows)

    def keys(self, prefix: bytes) -> list[bytes]:
        """Return the keys that begin with `prefix`, sorted."""
        return sorted(key for key in self._rows if key.startswith(prefix))

    def first(self, prefix: bytes, behind: bytes, limit: int) -> list[bytes]:
        """Return the first keys that begin with `prefix` and are greater than `behind`, sorted."""
        return nsmallest(limit, (key for key in self._rows if key > behind and key.startswith(prefix)))

    def items(self, prefix: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Yield the rows whose keys begin with `prefix`, as they are now."""
        return iter([row for row in self._rows.items() if row[0].startswith(prefix)])

    def write(self, rows: Mapping[bytes, bytes | None], _: Checkpoint | None = None, *, bulk: bool = False) -> None:
        """Set or delete rows."""
        for key, row in rows.items():
            if row is None:
                self._rows.pop(key, None)
            else:
                self._rows[key] = row

    def flush(self) -> None:
        """Do nothing: rows in memory are never durable."""

    def clear(self) -> None:
        """Delete all rows."""
        self._rows.clear()
