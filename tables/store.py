"""Entries by partition: restored from a changelog partition in bulk, changed only by committed transactions.

A transaction decides on `Changes` on top of the `Entries` of a partition. They are merged after the commit, and only
into the entries they were decided on, because a rebalance may have replaced the entries of the table.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Generic, Protocol, TypeVar

from faust.stores.base import Store
from faust.tables import Table

V = TypeVar("V")
CACHED_VALUES = 2_000  # decoded values per generation; a partition keeps two generations
UNCHANGED: Any = object()  # in place of a value that a transaction has not changed
CACHED_BYTES = 1 << 20  # a larger value is decoded each time: it is a letter, which is rarely read


class Codec(Protocol[V]):
    """Encodes and decodes a table's values."""

    def encode(self, value: V) -> bytes:
        """Return the changelog value."""

    def decode(self, key: bytes, raw: bytes) -> V:
        """Return the value in a changelog value; its type follows from `key`."""


class Entries(Generic[V]):
    """One partition's entries: the bytes of all, and the decoded values of recently used ones."""

    __slots__ = ("_codec", "_older", "_recent", "raw")

    def __init__(self, codec: Codec[V], raw: dict[bytes, bytes]) -> None:
        self._codec = codec
        self._recent: dict[bytes, V] = {}
        self._older: dict[bytes, V] = {}  # not read since `_recent` began, or superseded there
        self.raw = raw

    def __contains__(self, key: bytes) -> bool:
        return key in self.raw

    def get(self, key: bytes) -> V | None:
        """Return the value of `key`."""
        value = self._recent.get(key)
        if value is None and (raw := self.raw.get(key)) is not None:
            value = self._older.get(key)
            if value is None:
                value = self._codec.decode(key, raw)
            if len(raw) <= CACHED_BYTES:
                self._remember(key, value)
        return value

    def put(self, key: bytes, value: V | None, raw: bytes | None) -> None:
        """Set or delete an entry that is in the changelog already."""
        if raw is None or value is None:
            self.raw.pop(key, None)
            self._forget(key)
        else:
            self.raw[key] = raw
            if len(raw) <= CACHED_BYTES:
                self._remember(key, value)
            else:
                self._forget(key)

    def _forget(self, key: bytes) -> None:
        self._recent.pop(key, None)
        self._older.pop(key, None)

    def _remember(self, key: bytes, value: V) -> None:
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
        self._encoded: list[tuple[bytes, bytes | None]] = []

    def __contains__(self, key: bytes) -> bool:
        return self._changed[key] is not None if key in self._changed else key in self.entries

    def get(self, key: bytes) -> V | None:
        """Return the value of `key` in this transaction."""
        value = self._changed.get(key, UNCHANGED)
        return self.entries.get(key) if value is UNCHANGED else value

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
        self._encoded = [(key, None if value is None else encode(value)) for key, value in self._changed.items()]
        return self._encoded

    def merge(self) -> None:
        """Make the changes part of the entries, after the commit."""
        for key, raw in self._encoded:
            self.entries.put(key, self._changed[key], raw)


class PartitionedStore(Store):
    """The data of a Faust table by partition, written only by `replace` and by merged changes."""

    def __post_init__(self) -> None:
        self.partitions: dict[int, Entries[Any]] = {}

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
            yield from entries.raw

    def __len__(self) -> int:
        return sum(len(entries.raw) for entries in self.partitions.values())

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
