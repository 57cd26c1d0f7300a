"""Compare the entries of the event logs with the events: every event has one, and it never changes.

An entry that is as it must be is found by its hash: the collections are read once from beginning to end, and the hashes
that are missing name the events to look up. Looking up every entry would cost several times as much. Entries of older
shapes, which may be stored in older forms, are looked up.
"""

import asyncio
import struct
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

import bson

from ops.audit.buckets import SIZE, Buckets, digests, facts
from ops.audit.documents import CHUNK, Documents, Read
from ops.audit.patience import Patience
from ops.kafka import records
from ops.raw_documents import raw_batches
from projections.mongo.client import Collection
from projections.projection import Log, Projection
from streams.messages.codec import event_in
from streams.messages.envelope import EventMessage
from streams.runtime.settings import Settings

EXPECTED, STORED = "expected", "stored"  # kinds of facts
_OFFSET = struct.Struct(">Q")
MOST_MISSING = 10_000  # entries that are waited for; more are only counted


def is_hashed(log: Log) -> bool:
    """Return whether an entry is as it must be only if it has the same bytes."""
    return not log.namesakes


def hashed(raw: bytes) -> bytes:
    """Return the hash of an encoded entry."""
    return blake2b(raw, digest_size=SIZE).digest()


def add_entries(buckets: Buckets, projection: Projection, message: EventMessage, record: Any) -> None:
    """Write down which entries an event must have, and where the event is."""
    for name, log in projection.logs.items():
        offset = _OFFSET.pack(record.offset)
        found = hashed(_encoded(log, message, record) if is_hashed(log) else offset)
        buckets.add_fact(f"{EXPECTED}-{name}", found, found + offset)


def _encoded(log: Log, message: EventMessage, record: Any) -> bytes:
    return bson.encode(log.entry(message, record)) if log.encoded is None else log.encoded(message, record)


async def scan(collection: Collection, buckets: Buckets) -> None:
    """Write down the hashes of all entries of a log."""
    async for batch in raw_batches(collection, {}):
        for raw in batch:
            found = hashed(raw)
            buckets.add_fact(STORED, found, found)
    buckets.close()


def stored(scanned: Path, number: int) -> set[bytes]:
    """Return the hashes of all entries of a log in one bucket."""
    return set(digests([scanned], STORED, number))


def missing(partition: Path, log: str, there: Container[bytes], number: int) -> bytes:
    """Return the offsets, encoded, of a partition's events whose entries are not as they must be, in one bucket."""
    expected = facts(partition, f"{EXPECTED}-{log}", number, SIZE + _OFFSET.size)
    return b"".join(fact[SIZE:] for fact in expected if fact[:SIZE] not in there)


def offsets_in(folders: Iterable[Path], name: str) -> list[int]:
    """Return the offsets that buckets found for a partition, in order."""
    found = b"".join((folder / name).read_bytes() for folder in folders if (folder / name).exists())
    return sorted({offset for (offset,) in _OFFSET.iter_unpack(found)})


@dataclass
class EntriesAudit:
    """Looks up the entries of some events of one partition."""

    settings: Settings
    documents: Documents
    partition: int
    patience: Patience
    _missing: dict[int, Read] = field(default_factory=dict)  # offset → event without an entry

    async def check(self, offsets: Sequence[int]) -> None:
        """Report entries that differ or are missing; entries of events that are not projected yet are in flight."""
        topic, wanted = self.documents.projection.topic.name, set(offsets)
        starts, ends = {self.partition: min(offsets)}, {self.partition: max(offsets) + 1}
        with records.Log(self.settings, topic, starts) as log:
            left = log.upto(ends)
            while (batch := await asyncio.to_thread(next, left, None)) is not None:
                mine = (record for record in batch if record.offset in wanted)
                events = [(message, record) for record in mine if (message := event_in(record.value)) is not None]
                for some in chunks(events):
                    self._add(await self.documents.missing_entries(some))
                await self._judge()
        while self._missing and await self.patience.pause():
            await self._judge()
        self.documents.report.in_flight["log entries"] += len(self._missing)

    def _add(self, lost: Sequence[Read]) -> None:
        room = max(MOST_MISSING - len(self._missing), 0)
        self._missing |= {read[1].offset: read for read in lost[:room]}
        self.documents.report.in_flight["log entries"] += len(lost[room:])

    async def _judge(self) -> None:
        """Report entries that must have been written by now and are still missing."""
        handled = await self.documents.handled(
            self.settings.named(self.documents.projection.topic.name), self.partition
        )
        due = [offset for offset in self._missing if offset < handled]
        for some in chunks(due):
            await self.documents.lost_entries([self._missing.pop(offset) for offset in some])


def chunks(items: Iterable[Any]) -> Iterable[list[Any]]:
    """Return `items` in chunks."""
    all_items = list(items)
    return (all_items[first : first + CHUNK] for first in range(0, len(all_items), CHUNK))
