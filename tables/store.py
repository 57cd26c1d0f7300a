"""Entries by partition: restored from a changelog partition in bulk, changed only by committed transactions.

A transaction decides on `Changes` on top of the `Entries` of a partition. They are merged after the commit, and only
into the entries they were decided on: when partitions are assigned again, the entries of the table are detached, and
what was committed since is part of the changelog that is restored.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Generic, Protocol, TypeVar

from faust.stores.base import Store
from faust.tables import Table

from .rows import Checkpoint, MemoryRows, Rows
from .timers import PREFIX, Timers

V = TypeVar("V")
CACHED_VALUES = 2_000  # decoded values per generation; a partition keeps two generations
UNKNOWN: Any = object()  # in place of a value that is not remembered
UNCHANGED: Any = object()  # in place of a value that a transaction has not changed
CACHED_BYTES = 1 << 20  # a larger value is decoded each time: it is a letter, which is rarely read


class Codec(Protocol[V]):
    """Encodes and decodes a table's values."""

    def encode(self, value: V) -> bytes:
        """Return the changelog value."""

    def decode(self, key: bytes, raw: bytes) -> V:
        """Return the value in a changelog value; its type follows from `key`."""

    def due(self, value: V) -> str | None:
        """Return the earliest deadline of a value; None if it has none."""


class Entries(Generic[V]):
    """One partition's entries: all rows, and the decoded values of recently used ones.

    When the partition is assigned again, they are detached: nothing is merged into them any more, and nothing that was
    decided on them is committed.
    """

    __slots__ = ("_codec", "_older", "_recent", "attached", "rows", "timers")

    def __init__(self, codec: Codec[V], rows: Rows | None = None) -> None:
        self._codec, self.rows, self.attached = codec, MemoryRows() if rows is None else rows, True
        self.timers = Timers(self.rows)
        self._recent: dict[bytes, V | None] = {}  # None: there is no such entry
        self._older: dict[bytes, V | None] = {}  # not read since `_recent` began, or superseded there

    def __contains__(self, key: bytes) -> bool:
        value = self._recent.get(key, UNKNOWN)
        if value is UNKNOWN and key not in self.rows:
            self._remember(key, None)
            return False
        return value is not None

    def get(self, key: bytes) -> V | None:
        """Return the value of `key`."""
        value = self._recent.get(key, UNKNOWN)
        if value is not UNKNOWN:
            return value
        value = self._older.get(key, UNKNOWN)
        if value is UNKNOWN:
            raw = self.rows.get(key)
            value = None if raw is None else self._codec.decode(key, raw)
            if raw is not None and len(raw) > CACHED_BYTES:
                return value
        self._remember(key, value)
        return value

    def merge(
        self, values: Mapping[bytes, V | None], raw: Mapping[bytes, bytes | None], checkpoint: Checkpoint | None
    ) -> None:
        """Set or delete entries that are in the changelog already, before `checkpoint`."""
        if not self.attached:
            return
        self.rows.write(raw, checkpoint)
        for key, row in raw.items():
            if key.startswith(PREFIX):
                self.timers.changed(key, row is not None)
                continue  # its value is never read
            if row is None or len(row) <= CACHED_BYTES:
                self._remember(key, values[key])
            else:
                self._recent.pop(key, None)
                self._older.pop(key, None)

    def detach(self) -> None:
        """Forget the rows, which are restored into other entries."""
        self.attached, self.rows = False, MemoryRows()
        self.timers = Timers(self.rows)
        self._recent, self._older = {}, {}

    def _remember(self, key: bytes, value: V | None) -> None:
        """Remember a value, and forget whole generations: a dict gets slower with each single item deleted from it."""
        if len(self._recent) >= CACHED_VALUES:
            self._recent, self._older = {}, self._recent
        self._recent[key] = value


class Changes(Generic[V]):
    """The changes of one transaction in one partition; reads see them.

    Changes that code made before it failed are undone: `mark` before the code runs, `undo` after it has failed.
    """

    __slots__ = ("_changed", "_encoded", "_replaced", "entries")

    def __init__(self, entries: Entries[V]) -> None:
        self.entries = entries
        self._changed: dict[bytes, V | None] = {}
        self._replaced: list[tuple[bytes, V | None]] = []  # by each `put`, the value before it or UNCHANGED
        self._encoded: dict[bytes, bytes | None] = {}

    def __contains__(self, key: bytes) -> bool:
        return self._changed[key] is not None if key in self._changed else key in self.entries

    def get(self, key: bytes) -> V | None:
        """Return the value of `key` in this transaction."""
        value = self._changed.get(key, UNCHANGED)
        return self.entries.get(key) if value is UNCHANGED else value

    def values(self, prefix: bytes, *, but: bytes, containing: bytes) -> Iterator[V]:
        """Yield the values under keys that begin with `prefix` and not with `but`, whose encoding has `containing`.

        It reads all of these rows: for rare commands only.
        """
        changed = {key: value for key, value in self._changed.items() if key.startswith(prefix)}
        for key, raw in self.entries.rows.items(prefix):
            if key not in changed and containing in raw and not key.startswith(but):
                yield self.entries._codec.decode(key, raw)
        for key, value in changed.items():
            if value is not None and not key.startswith(but):
                yield value

    def keys(self, prefix: bytes) -> Iterator[bytes]:
        """Yield the keys that begin with `prefix`, in no order."""
        for key in self.entries.rows.keys(prefix):
            if key not in self._changed:
                yield key
        for key, value in self._changed.items():
            if value is not None and key.startswith(prefix):
                yield key

    def due(self, key: bytes) -> str | None:
        """Return the earliest deadline of the value of `key` in this transaction; None if it has none."""
        value = self.get(key)
        return None if value is None else self.entries._codec.due(value)

    def put(self, key: bytes, value: V | None) -> None:
        """Set the value of `key`; None deletes it."""
        self._replaced.append((key, self._changed.get(key, UNCHANGED)))
        self._changed[key] = value

    def mark(self) -> int:
        """Return the present state, for `undo`."""
        return len(self._replaced)

    def undo(self, mark: int) -> None:
        """Undo all changes that were made after `mark`, the last one first."""
        while len(self._replaced) > mark:
            key, value = self._replaced.pop()
            if value is UNCHANGED:
                del self._changed[key]
            else:
                self._changed[key] = value

    def encode(self) -> list[tuple[bytes, bytes | None]]:
        """Return the changelog records: one per changed key."""
        encode = self.entries._codec.encode
        self._encoded = {key: None if value is None else encode(value) for key, value in self._changed.items()}
        return list(self._encoded.items())

    def merge(self, checkpoint: Checkpoint | None = None) -> None:
        """Make the changes part of the entries, after the commit; `checkpoint`: where they end in the changelog."""
        self.entries.merge(self._changed, self._encoded, checkpoint)


class PartitionedStore(Store):
    """The data of a Faust table by partition, written only by `replace` and by merged changes."""

    def __post_init__(self) -> None:
        self.partitions: dict[int, Entries[Any]] = {}

    def detach(self) -> None:
        """Let the entries of all partitions go, because they are about to be restored."""
        for entries in self.partitions.values():
            entries.detach()

    def replace(self, restored: Mapping[int, Entries[Any]]) -> None:
        """Own exactly these restored partitions from now on."""
        self.partitions = dict(restored)

    def changes(self, partition: int) -> Changes[Any]:
        """Return empty changes for one transaction on an owned partition."""
        return Changes(self.partitions[partition])

    # --- the methods that Faust's Table needs

    def __getitem__(self, key: bytes) -> Any:
        for entries in self.partitions.values():
            if (value := entries.get(key)) is not None:
                return value
        raise KeyError(key)

    def __setitem__(self, key: bytes, value: Any) -> None:
        raise TypeError("entries change only in transactions: this would write a second changelog record")

    def __delitem__(self, key: bytes) -> None:
        raise TypeError("entries change only in transactions: this would write a second changelog record")

    def __iter__(self) -> Iterator[bytes]:
        for entries in self.partitions.values():
            yield from entries.rows.keys(b"")

    def __len__(self) -> int:
        return sum(len(entries.rows) for entries in self.partitions.values())

    def persisted_offset(self, tp: Any) -> None:
        """Return None: whole partitions are restored when they are assigned."""

    async def on_rebalance(self, *_: Any, **__: Any) -> None:
        """Do nothing: partitions are prepared later, without delaying heartbeats."""

    async def on_recovery_completed(self, *_: Any) -> None:
        """Do nothing: `replace` has recovered the table."""

    def apply_changelog_batch(self, *_: Any, **__: Any) -> None:
        """Refuse Faust's own recovery, which would apply restored records a second time."""
        raise TypeError("tables are restored in bulk, not by Faust's recovery")

    async def backup_partition(self, *_: Any, **__: Any) -> None:
        """Refuse: the changelog is the backup."""
        raise TypeError("entries are in memory and in the changelog, which is the backup")

    def restore_backup(self, *_: Any, **__: Any) -> None:
        """Refuse: the changelog is the backup."""
        raise TypeError("entries are restored from their changelog")

    def reset_state(self) -> None:
        """Forget all entries."""
        self.partitions.clear()


class PartitionedTable(Table):
    """A Faust table with a `PartitionedStore`; we create the topic of its changelog."""

    data: PartitionedStore

    def _new_store(self) -> PartitionedStore:
        return PartitionedStore(
            "memory://",
            self.app,
            self,
            table_name=self.name,
            key_type=bytes,
            key_serializer="raw",
            value_type=bytes,
            value_serializer="raw",
            options={},
        )


def declare(app: Any, topic: str, codec: Codec[Any], about: str) -> PartitionedTable:
    """Return the table of `app` with the changelog `topic` (without prefix)."""
    name = app.settings.named(topic)
    table = PartitionedTable(
        app,
        name=name.removesuffix("-changelog"),
        key_type=bytes,
        value_type=bytes,
        partitions=app.settings.partitions,
        changelog_topic=app.topic(name, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw"),
        help=about,
    )
    table.codec = codec
    return app.tables.add(table)  # type: ignore[no-any-return]
