"""Compare the read models with the events, document by document."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import bson
from pymongo.errors import DuplicateKeyError

from ops.audit.differences import differences
from ops.audit.history import Aggregate
from ops.audit.report import Kind, Report
from ops.raw_documents import id_of, raw_batches
from projections.document import Document
from projections.mongo.client import Collection, Mongo
from projections.mongo.indexes import is_clustered
from projections.mongo.progress import progress_id, read_progress
from projections.mongo.writes import is_namesake, load, load_entries, namesake_id, remove
from projections.projection import Log, Projection, Record
from streams.messages.envelope import EventMessage

Read = tuple[EventMessage, Record]  # an event, and its record
CHUNK = 2_000  # documents or entries per request


class Rendered(NamedTuple):
    """A document that is calculated from the events."""

    collection: str  # without version: where it belongs
    id: str
    document: Document
    model: str  # the collection of its model, which has a document unless it is archived

    @property
    def sequence(self) -> int:
        """The sequence of the last event that it includes."""
        return int(self.document["sequence"])

    def is_encoded_as(self, found: "Encoded | None") -> bool:
        """Return whether a stored document has the same bytes; an equal one may have its fields in another order."""
        return found is not None and found.collection == self.collection and found.raw == bson.encode(self.document)


def rendered(projection: Projection, aggregate: Aggregate) -> Iterator[Rendered]:
    """Yield all documents of an aggregate; read models that are derived on request have none."""
    for model in projection.models:
        for key, view in aggregate.views.get(model.collection, {}).items():
            yield Rendered(model.place_of(view), key, model.document_of(view), model.collection)


def rendered_one(projection: Projection, aggregate: Aggregate, collection: str, key: str) -> Rendered:
    """Return one of the documents of an aggregate."""
    model = next(model for model in projection.models if model.collection == collection)
    view: Any = aggregate.view(collection, key)
    return Rendered(model.place_of(view), key, model.document_of(view), collection)


class Encoded(NamedTuple):
    """A document that was found, encoded, and the collection that has it, without version."""

    raw: bytes
    collection: str


class Stored(NamedTuple):
    """A document that was found, and the collection that has it, without version."""

    document: Document
    collection: str

    def is_as(self, one: Rendered) -> bool:
        """Return whether it is what it must be, where it must be."""
        return self.document == one.document and self.collection == one.collection


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

    async def load(self, wanted: Sequence[Rendered]) -> list[Encoded | None]:
        """Return the documents that exist, encoded, None for each of the others.

        A document may be moved now: it is looked for where it belongs, elsewhere, and where it belongs again.
        """
        found: dict[tuple[str, bytes], Encoded] = {}
        models = {place: model.collection for model in self.projection.models for place in model.places}
        for elsewhere in (False, True, False):
            left = defaultdict[str, list[str]](list)
            for one in wanted:
                if (one.model, one.id.encode()) not in found:
                    for place in self._places(one, elsewhere):
                        left[place].append(one.id)
            loaded = await asyncio.gather(*(self._found(name, ids) for name, ids in left.items()))
            for name, documents in zip(left, loaded, strict=True):
                found |= {(models[name], key): Encoded(raw, name) for key, raw in documents.items()}
            if not left:
                break
        return [found.get((one.model, one.id.encode())) for one in wanted]

    def _places(self, one: Rendered, elsewhere: bool) -> Iterable[str]:
        if not elsewhere:
            return [one.collection]
        model = next(model for model in self.projection.models if model.collection == one.model)
        return [place for place in model.places if place != one.collection]

    async def _found(self, name: str, ids: Sequence[str]) -> dict[bytes, bytes]:
        """Return the documents of one collection by their ids."""
        batches = raw_batches(self.of(name), {"_id": {"$in": ids}})
        return {id_of(raw): raw async for batch in batches for raw in batch}

    def decoded(self, found: Encoded) -> Stored:
        """Return a stored document."""
        return Stored(bson.decode(found.raw, self.mongo.database.codec_options), found.collection)

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
        look_up = load_entries if is_clustered(log) else load
        found = {each["_id"]: each for each in await look_up(self.of(name), [each["_id"] for each in expected])}
        if not log.namesakes:
            return [(each, found.get(each["_id"])) for each in expected]
        renamed = [
            {**each, "_id": namesake_id(each)} if is_namesake(each, found.get(each["_id"])) else each
            for each in expected
        ]
        if others := [each["_id"] for each in renamed if each["_id"] not in found]:
            found |= {each["_id"]: each for each in await look_up(self.of(name), others)}
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

    async def misplaced(self, one: Rendered, found: Stored) -> None:
        """Report that a document is in the wrong collection, and move it if `repair` is set."""
        repaired = self.repair and await self._write(one.collection, one.document, None)
        if repaired:
            await remove(self.of(found.collection), [(one.id, one.sequence + 1)])
        where = self.projection.collection(one.collection)
        what = f"is in {self.projection.collection(found.collection)}"
        self.report.drift(Kind.DOCUMENT, where, one.id, what, repaired)

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
