"""Entries by partition: what a changelog partition holds, restored in bulk, changed only by committed transactions.

A transaction decides on `Changes` laid over the `Entries` of a partition; they are merged when it is committed, and
only into the entries they were decided on: after a rebalance those may have been replaced.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Generic, Protocol, TypeVar

from faust.stores.base import Store
from faust.tables import Table

V = TypeVar("V")
CACHED_VALUES = 2_000  # decoded values of a generation, of which a partition keeps two
CACHED_BYTES = 1 << 20  # a larger value is decoded each time: it is a letter, and rarely looked at


class Codec(Protocol[V]):
    """How a table's values become bytes and back."""

    def encode(self, value: V) -> bytes:
        """Return the changelog value."""

    def decode(self, key: bytes, raw: bytes) -> V:
        """Return the value in a changelog value; what it is, its key says."""


class Entries(Generic[V]):
    """One partition's entries: the bytes of all, and the decoded values of those used lately."""

    __slots__ = ("_codec", "_older", "_recent", "raw")

    def __init__(self, codec: Codec[V], raw: dict[bytes, bytes]) -> None:
        self._codec = codec
        self._recent: dict[bytes, V] = {}
        self._older: dict[bytes, V] = {}  # not looked at since `_recent` began, or superseded there
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
        """Set an entry that is in the changelog already, or drop it."""
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
        """Remember a value, and forget whole generations: one by one, a dict gets slower with each that has gone."""
        if len(self._recent) >= CACHED_VALUES:
            self._recent, self._older = {}, self._recent
        self._recent[key] = value


class Changes(Generic[V]):
    """What one transaction changes in one partition; reads see its own changes first.

    What may fail is changed on an `attempt`: dropped, it has changed nothing.
    """

    __slots__ = ("_changed", "_encoded", "entries")

    def __init__(self, entries: "Entries[V] | Changes[V]") -> None:
        self.entries: Any = entries
        self._changed: dict[bytes, V | None] = {}
        self._encoded: list[tuple[bytes, bytes | None]] = []

    def __contains__(self, key: bytes) -> bool:
        return self._changed[key] is not None if key in self._changed else key in self.entries

    def get(self, key: bytes) -> V | None:
        """Return the value of `key` as the transaction sees it."""
        return self._changed[key] if key in self._changed else self.entries.get(key)

    def put(self, key: bytes, value: V | None) -> None:
        """Set the value of `key`; None deletes it."""
        self._changed[key] = value

    def attempt(self) -> "Changes[V]":
        """Return changes on top of these."""
        return Changes(self)

    def keep(self) -> None:
        """Make this attempt part of the changes it was made on."""
        self.entries._changed.update(self._changed)

    def encode(self) -> list[tuple[bytes, bytes | None]]:
        """Return the changelog records: one a touched key."""
        encode = self.entries._codec.encode
        self._encoded = [(key, None if value is None else encode(value)) for key, value in self._changed.items()]
        return self._encoded

    def merge(self) -> None:
        """Make the changes part of the entries, after the commit."""
        for key, raw in self._encoded:
            self.entries.put(key, self._changed[key], raw)


class PartitionedStore(Store):
    """A Faust table's data, kept by partition. Written by `replace` and merged changes only."""

    def __post_init__(self) -> None:
        self.partitions: dict[int, Entries[Any]] = {}

    def replace(self, restored: Mapping[int, Entries[Any]]) -> None:
        """Own exactly these partitions from now on, as they were restored."""
        self.partitions = dict(restored)

    def changes(self, partition: int) -> Changes[Any]:
        """Return an empty overlay for one transaction on an owned partition."""
        return Changes(self.partitions[partition])

    # what Faust's Table asks of a store

    def __getitem__(self, key: bytes) -> Any:
        for entries in self.partitions.values():
            if (value := entries.get(key)) is not None:
                return value
        raise KeyError(key)

    def __setitem__(self, key: bytes, value: Any) -> None:
        raise TypeError("entries change in a transaction only: it would write a second changelog record")

    def __delitem__(self, key: bytes) -> None:
        raise TypeError("entries change in a transaction only: it would write a second changelog record")

    def __iter__(self) -> Iterator[bytes]:
        for entries in self.partitions.values():
            yield from entries.raw

    def __len__(self) -> int:
        return sum(len(entries.raw) for entries in self.partitions.values())

    def persisted_offset(self, tp: Any) -> None:
        """Know none: partitions are restored whole when they are assigned."""

    async def on_rebalance(self, *_: Any, **__: Any) -> None:
        """Leave it to the preparation, which runs off the heartbeat's path."""

    async def on_recovery_completed(self, *_: Any) -> None:
        """Nothing is left to do: `replace` has done it."""

    def apply_changelog_batch(self, *_: Any, **__: Any) -> None:
        """Refuse Faust's own recovery: it would apply what `replace` restored a second time."""
        raise TypeError("tables are restored in bulk, not by Faust's recovery")

    async def backup_partition(self, *_: Any, **__: Any) -> None:
        """Refuse: the changelog is the backup."""
        raise TypeError("entries live in memory and in their changelog, which is the backup")

    def restore_backup(self, *_: Any, **__: Any) -> None:
        """Refuse: the changelog is the backup."""
        raise TypeError("entries are restored from their changelog")

    def reset_state(self) -> None:
        """Forget everything."""
        self.partitions.clear()


class PartitionedTable(Table):
    """A Faust table on a `PartitionedStore`, whose changelog is a topic of ours."""

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
    """Return the table of `app` that is kept in the changelog `topic` (without prefix)."""
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
