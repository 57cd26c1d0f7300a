"""Find documents that no event explains."""

import asyncio
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import orjson

from ops.audit.buckets import Buckets, digest, digests, lines
from ops.audit.documents import CHUNK, Documents
from ops.audit.report import Kind
from ops.kafka import records
from projections.document import Document
from projections.mongo.writes import load
from streams.messages.codec import event_in
from streams.runtime.settings import Settings

AT_MOST = 10_000  # documents that are reported: with the wrong Kafka, every document is one
FOUND, LATER = "found", "later"  # the ids in the database, and the hashes of those with events after the audit's end


@dataclass
class Strangers:
    """Finds documents in a collection whose aggregate has no event."""

    settings: Settings
    documents: Documents
    collection: str  # without version
    partitions: Collection[Path]  # the folders with the ids of the documents that have events
    folder: Path
    buckets: int
    broken: Collection[str]  # aggregates whose documents are not reported

    async def find(self, ends: Mapping[int, int]) -> None:
        """Report unknown documents, after reading the events since the audit's `ends`, which may explain some."""
        strange = await self._collect()
        if next(self._unknown(), None) is not None:
            await asyncio.to_thread(self._read_later, ends)
        await self._report(chain(strange, self._unknown()))

    async def _collect(self) -> list[Any]:
        """Write down the ids in the database; return those of another type, which no event can have."""
        found, strange = Buckets(self.folder, self.buckets), list[Any]()
        async for document in self.documents.of(self.collection).find({}, {"_id": 1}, batch_size=10_000):
            identifier = document["_id"]
            if isinstance(identifier, str):
                found.add(FOUND, identifier, orjson.dumps(identifier))  # as one line, whatever it contains
            elif len(strange) < AT_MOST:
                strange.append(identifier)
        found.close()
        return strange

    def _unknown(self) -> Iterator[str]:
        """Yield the ids in the database that no event has, as far as events were read.

        A hash stands for each id, which may hide one of a trillion.
        """
        for number in range(self.buckets):
            known = {*digests(self.partitions, self.collection, number), *digests([self.folder], LATER, number)}
            for raw in lines([self.folder], FOUND, number):
                if digest(identifier := orjson.loads(raw)) not in known:
                    yield identifier

    def _read_later(self, ends: Mapping[int, int]) -> None:
        """Write down the ids of the documents that later events change. Blocks."""
        topic, later = self.documents.projection.topic.name, Buckets(self.folder, self.buckets)
        models = [model for model in self.documents.projection.models if self.collection in model.places]
        for batch in records.read(self.settings, topic, ends, records.ends(self.settings, topic)):
            for message in filter(None, (event_in(record.value) for record in batch)):
                for model in models:
                    if (key := model.key(message)) is not None:
                        later.add_id(LATER, key)
        later.close()

    async def _report(self, ids: Iterator[Any]) -> None:
        left = AT_MOST
        while left > 0 and (some := list(islice(ids, CHUNK))):
            for document in await load(self.documents.of(self.collection), some):
                if left > 0 and not self._of_broken(document):
                    where = self.documents.projection.collection(self.collection)
                    self.documents.report.drift(Kind.DOCUMENT, where, str(document["_id"]), "no event explains it")
                    left -= 1

    def _of_broken(self, document: Document) -> bool:
        owners = (document["_id"], document.get("productId"))
        return any(isinstance(owner, str) and owner in self.broken for owner in owners)
