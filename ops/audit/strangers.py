"""Find documents that no event explains."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from ops.audit.documents import CHUNK, Documents
from ops.audit.history import Aggregate
from ops.audit.report import Kind
from ops.kafka import records
from projections.document import Document
from projections.mongo.writes import load
from streams.messages.codec import event_in
from streams.runtime.settings import Settings

AT_MOST = 10_000  # documents; they are only reported, because with the wrong Kafka every document is one


@dataclass
class Strangers:
    """Finds documents in a projection's collections whose aggregate has no event."""

    settings: Settings
    documents: Documents
    _known: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))  # collection → keys
    _broken: set[str] = field(default_factory=set)

    def know(self, aggregates: Iterable[Aggregate]) -> None:
        """Remember the documents of `aggregates`; documents of broken aggregates are not reported."""
        for aggregate in aggregates:
            if aggregate.broken:
                self._broken.add(aggregate.key)
            for collection, views in aggregate.views.items():
                self._known[collection].update(views)

    async def find(self, positions: records.Offsets) -> None:
        """Report unknown documents, after reading the events since `positions`, which may explain some of them."""
        names = [model.collection for model in self.documents.projection.models]
        unknown = {name: found for name in names if (found := await self._unknown(name, self._known[name]))}
        if unknown:
            await asyncio.to_thread(self._read_on, positions)
        for name, found in unknown.items():
            await self._report(name, found - self._known[name])

    async def _unknown(self, name: str, known: set[str]) -> set[str]:
        found: set[str] = set()
        async for document in self.documents.of(name).find({}, {"_id": 1}, batch_size=10_000):
            if document["_id"] not in known and len(found) < AT_MOST:
                found.add(document["_id"])
        return found

    def _read_on(self, positions: records.Offsets) -> None:
        topic = self.documents.projection.topic.name
        for batch in records.read(self.settings, topic, positions, records.ends(self.settings, topic)):
            for message in filter(None, (event_in(record.value) for record in batch)):
                for model in self.documents.projection.models:
                    if (key := model.key(message)) is not None:
                        self._known[model.collection].add(key)

    async def _report(self, name: str, strangers: set[str]) -> None:
        ids = sorted(strangers)
        for first in range(0, len(ids), CHUNK):
            for document in await load(self.documents.of(name), ids[first : first + CHUNK]):
                if not self._of_broken(document):
                    where = self.documents.projection.collection(name)
                    self.documents.report.drift(Kind.DOCUMENT, where, str(document["_id"]), "no event explains it")

    def _of_broken(self, document: Document) -> bool:
        return document["_id"] in self._broken or document.get("productId") in self._broken
