"""Compare the read models with the events, document by document."""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pymongo.errors import DuplicateKeyError

from ops.audit.differences import differences
from ops.audit.history import Aggregate
from ops.audit.report import Kind, Report
from projections.document import Document
from projections.mongo.client import Collection, Mongo
from projections.mongo.progress import progress_id, read_progress
from projections.mongo.writes import is_namesake, load, namesake_id
from projections.projection import Log, Projection, Record
from streams.messages.envelope import EventMessage

Read = tuple[EventMessage, Record]  # an event, and its record
CHUNK, AT_ONCE = 500, 4  # aggregates or entries per request; concurrent requests


@dataclass(frozen=True, slots=True)
class Rendered:
    """A document that is calculated from the events."""

    collection: str  # without version
    id: str
    document: Document

    @property
    def sequence(self) -> int:
        """The sequence of the last event that it includes."""
        return int(self.document["sequence"])


def rendered(projection: Projection, aggregate: Aggregate) -> Iterator[Rendered]:
    """Yield all documents of an aggregate; read models that are derived on request have none."""
    for model in projection.models:
        for key, view in aggregate.views.get(model.collection, {}).items():
            yield Rendered(model.collection, key, model.document_of(view))


@dataclass(frozen=True)
class Documents:
    """The documents of one projection; with `repair`, documents that drifted are overwritten."""

    mongo: Mongo
    projection: Projection
    report: Report
    repair: bool = False

    async def handled(self, topic: str, partition: int) -> int:
        """Return the offset up to which events are projected."""
        reached = await read_progress(self.mongo, [self.projection], [(topic, partition)])
        return reached.get(progress_id(self.projection, (topic, partition)), 0)

    def of(self, name: str) -> Collection:
        """Return the collection of a read model."""
        return self.mongo.collection(self.projection.collection(name))

    async def load(self, aggregates: Sequence[Aggregate]) -> list[tuple[Aggregate, Rendered, Document | None]]:
        """Return all documents of aggregates: the expected ones, and the ones that exist."""
        wanted = [(aggregate, one) for aggregate in aggregates for one in rendered(self.projection, aggregate)]
        names = sorted({one.collection for _, one in wanted})
        found = await asyncio.gather(*(self._found(name, wanted) for name in names))
        there = {
            name: {document["_id"]: document for document in documents}
            for name, documents in zip(names, found, strict=True)
        }
        return [(aggregate, one, there[one.collection].get(one.id)) for aggregate, one in wanted]

    async def _found(self, name: str, wanted: Iterable[tuple[Aggregate, Rendered]]) -> list[Document]:
        return await load(self.of(name), [one.id for _, one in wanted if one.collection == name])

    async def missing_entries(self, events: Iterable[Read]) -> list[Read]:
        """Return the events whose entries are not in the logs; entries that differ are drift at once."""
        batch, missing = list(events), dict[int, Read]()
        for name, log in self.projection.logs.items():
            pairs = await self._entries(name, log, batch)
            for read, (expected, found) in zip(batch, pairs, strict=True):
                if found is None:
                    missing[read[1].offset] = read
                elif log.today(found) != expected:
                    await self.drifted(name, expected, found)
        return list(missing.values())

    async def _entries(self, name: str, log: Log, events: Sequence[Read]) -> list[tuple[Document, Document | None]]:
        """Return the expected log entries, each with the one that exists."""
        expected = [log.entry(*read) for read in events]
        found = {each["_id"]: each for each in await load(self.of(name), [each["_id"] for each in expected])}
        if not log.namesakes:
            return [(each, found.get(each["_id"])) for each in expected]
        renamed = [
            {**each, "_id": namesake_id(each)} if is_namesake(each, found.get(each["_id"])) else each
            for each in expected
        ]
        if others := [each["_id"] for each in renamed if each["_id"] not in found]:
            found |= {each["_id"]: each for each in await load(self.of(name), others)}
        return [(each, found.get(each["_id"])) for each in renamed]

    async def lost_entries(self, events: Iterable[Read]) -> None:
        """Report that the entries of `events` are missing."""
        for read in events:
            for name, log in self.projection.logs.items():
                [(expected, found)] = await self._entries(name, log, [read])
                if found is None:
                    await self.drifted(name, expected, None)

    async def drifted(self, name: str, expected: Document, found: Document | None) -> None:
        """Report that a document differs from the events, and repair it if `repair` is set."""
        what = "is missing" if found is None else differences(found, expected)
        repaired = self.repair and await self._write(name, expected, found)
        self.report.drift(Kind.DOCUMENT, self.projection.collection(name), expected["_id"], what, repaired)

    async def _write(self, name: str, expected: Document, found: Document | None) -> bool:
        """Overwrite the document that was found; return False if it has changed meanwhile."""
        if found is None:
            try:
                await self.of(name).insert_one(expected)
            except DuplicateKeyError:
                return False
            return True
        same: dict[str, Any] = {"_id": expected["_id"], "sequence": found.get("sequence")}
        return bool((await self.of(name).replace_one(same, expected)).matched_count)
