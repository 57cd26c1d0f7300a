"""The queries of the API: documents by id, pages of lists, the sequence of a document, and an order's history."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, cast

from pymongo.errors import ExecutionTimeout

from domain.message import MAX_VERSION
from projections import commands
from projections.document import Document, public
from projections.mongo import cursors
from projections.mongo.asking import Asking
from projections.mongo.client import Collection, Mongo, aggregate
from projections.mongo.cursors import BadCursor as BadCursor
from projections.mongo.listing import Listing, Range, conditions_of
from projections.mongo.progress import TopicPartition, progress_id, read_progress
from projections.mongo.sources import ARCHIVED as ARCHIVED
from projections.mongo.sources import SORTS as SORTS
from projections.mongo.sources import Shown, Source, archived, sources
from projections.projection import History, Projection, Summed
from projections.table import PROJECTIONS
from projections.tallies import total
from streams.messages.envelope import EventMessage

Scalar = str | int | bool
COUNT_MS = 2_000  # counting is for progress bars, which can do without


class Page(NamedTuple):
    """A page of a list, and the cursor of the next page; without a cursor it is the last."""

    documents: list[Shown]
    next_cursor: str | None


class BadSort(ValueError):
    """A sort that the list does not have; `allowed` are those it has."""

    def __init__(self, allowed: Sequence[str]) -> None:
        super().__init__(f"sort must be one of {', '.join(allowed)}")
        self.allowed = allowed


class NotDeployed(Exception):
    """A read model without a live version."""

    def __init__(self, name: str) -> None:
        owner = next((each.name for each in PROJECTIONS if name in each.read_models), name)
        command = "`fulfillment projections"
        super().__init__(f"{name} is not live: run {command} deploy {owner}`, then {command} promote {owner}`")


class Queries:
    """Read access to the read models by name (`orders`, `work_queue` …), whichever version is live."""

    def __init__(self, mongo: Mongo, projections: Sequence[Projection] = PROJECTIONS) -> None:
        self._mongo = mongo
        self._askings: dict[tuple[str, bool, str | None], Asking] = {}
        self.read_from(projections)

    def read_from(self, projections: Sequence[Projection]) -> None:
        """Read these versions from now on; running queries finish with the previous ones."""
        self._projections, self._sources = projections, sources(projections)

    def source(self, name: str) -> Source:
        """Return where a read model is stored; raise `NotDeployed` if it has no live version."""
        if (source := self._sources.get(name)) is None:
            raise NotDeployed(name)
        return source

    def _asking(self, source: Source, then: str | None = None) -> Asking:
        at = source.collection, source.rendered, then
        if at not in self._askings:
            self._askings[at] = Asking(self._mongo.collection(source.collection), source.fields(), then)
        return self._askings[at]

    async def show(self, name: str, identifier: str) -> tuple[Shown, int] | None:
        """Return a document as the API shows it, and its version; None if it does not exist or is hidden."""
        source = self.source(name)
        if source.summed is not None:
            return await self._sum(source.collection, source.summed, identifier)
        found = await self._find(source, identifier)
        if found is None or any(found[field] != value for field, value in source.where.items()):
            return None
        return source.shown(found), found.get("sequence", 0)

    async def _find(self, source: Source, identifier: str) -> Document | None:
        """Return a document, archived or not.

        A document that is being moved is in its new collection before it leaves the old one, so the first collection is
        searched again at the end, in the same request as the archive.
        """
        found = await self._asking(source).find(identifier)
        if found is None and source.archive is not None:
            aside = replace(source, collection=source.archive)
            found = await self._asking(aside, then=source.collection).find(identifier)
        return found

    async def _sum(self, collection: str, summed: Summed, identifier: str) -> tuple[Shown, int] | None:
        found = self._mongo.collection(collection).find({summed.by: identifier}, batch_size=1_000)
        documents = await found.to_list(None)
        total = summed.total(documents)
        return None if total is None else (total, sum(document["sequence"] for document in documents))

    async def find_many(self, name: str, identifiers: Sequence[str]) -> list[Document]:
        """Return the existing documents of `identifiers`, archived or not, in any order."""
        return [public(document) for document in await self.stored(name, identifiers)]

    async def stored(self, name: str, identifiers: Sequence[str]) -> list[Document]:
        """Return these documents as they are stored."""
        source, found = self.source(name), dict[str, Document]()
        for place in (source.collection, source.archive, source.archive and source.collection):  # as in `_find`
            if place is not None and (left := [each for each in identifiers if each not in found]):
                documents = self._mongo.collection(place).find({"_id": {"$in": left}}, batch_size=len(left) + 1)
                found |= {document["_id"]: document async for document in documents}
        return list(found.values())

    async def outcomes(self, command_ids: Sequence[str]) -> list[Document]:
        """Return the outcomes of all commands with some ids, newest first."""
        found, wanted = self.collection("commands").find(commands.with_ids(command_ids)), set(command_ids)
        documents = [public(document) async for document in found if document["id"] in wanted]
        return sorted(documents, key=lambda document: str(document["time"]), reverse=True)

    async def version(self, name: str, identifier: str, wanted: int = MAX_VERSION) -> int:
        """Return the sequence up to which a document includes events, 0 if it does not exist yet.

        A document is not archived by its first event: if only that is `wanted`, the archive is not asked.
        """
        source = self.source(name)
        found = await (self._asking(source).find(identifier) if wanted <= 1 else self._find(source, identifier))
        return int(found["sequence"]) if found else 0

    async def page(
        self,
        name: str,
        where: Mapping[str, Any] | None = None,
        *,
        within: Mapping[str, Range] | None = None,
        sort: str | None = None,
        limit: int = 100,
        cursor: str | None = None,
        aside: bool = False,
    ) -> Page:
        """Return up to `limit` documents of a list; `BadSort` and `BadCursor` are the caller's mistakes.

        `where`: conditions on fields in MongoDB's syntax; `within`: ranges of fields; `aside`: of archived documents
        instead. With a range of another field
        than the sort key, a page may be short although there is a next one.
        """
        source = self.source(name)
        if aside:
            name = archived(name)
            source = self.source(name)
        sort = sort or source.sorts[0]
        if sort not in (*source.sorts, *source.partial_sorts):
            raise BadSort(source.sorts)
        question = [name, dict(where or {}), dict(within or {})]
        if source.history is not None:
            return await self._page_of_history(source, (where or {})[source.history.of], sort, limit, cursor, question)
        beyond = None if cursor is None else cursors.decode(sort, cursor, question)
        listing = self.listing(source, where or {}, sort, beyond)
        found = await listing.page(within or {}, limit)
        documents = [source.shown(document) for document in found.documents]
        after = found.after and cursors.encode(sort, *found.after, question)
        return Page(documents, after)

    def listing(self, source: Source, where: Mapping[str, Any], sort: str, after: tuple[Scalar, str] | None) -> Listing:
        """Return the documents of a list in the order `sort`, after a position."""
        field, descending = sort_key(sort)
        key = source.key(field)
        beyond = {} if after is None else behind(key, descending, *after)
        return Listing(self._mongo.collection(source.collection), source, dict(where), key, descending, beyond)

    async def count(
        self, name: str, where: Mapping[str, Any], within: Mapping[str, Range], *, aside: bool = False
    ) -> int | None:
        """Return how many documents a list has; None if counting takes too long."""
        source = self.source(archived(name) if aside else name)
        conditions = [each for each in (dict(source.where), dict(where), *conditions_of(within)) if each]
        collection = self._mongo.collection(source.collection)
        if not conditions:
            return await collection.estimated_document_count()
        try:
            return await collection.count_documents({"$and": conditions}, maxTimeMS=COUNT_MS)
        except ExecutionTimeout:
            return None

    async def _page_of_history(
        self, source: Source, aggregate_id: str, sort: str, limit: int, cursor: str | None, question: Any
    ) -> Page:
        """Return a page of an aggregate's events; its cursor is a sequence, whatever the entries are called."""
        history, descending = cast(History, source.history), sort.startswith("-")
        first, last = 1, None
        if cursor is not None:
            sequence, _ = cursors.decode(sort, cursor, question)
            if not isinstance(sequence, int):
                raise BadCursor
            first, last = (1, sequence - 1) if descending else (sequence + 1, None)
        entries = self._mongo.collection(source.collection).find(history.between(aggregate_id, first, last))
        found = await entries.sort(history.order, -1 if descending else 1).limit(limit + 1).to_list(None)
        shown = [history.shown(entry) for entry in found[:limit]]
        more = len(found) > limit
        return Page(
            list(shown), cursors.encode(sort, shown[-1]["sequence"], shown[-1]["id"], question) if more else None
        )

    async def history(self, order_id: str, version: int | None = None) -> list[EventMessage]:
        """Return the events of an order, oldest first, up to `version`."""
        entries, history = self.log("order_events")
        found = entries.find(history.between(order_id, last=version)).sort(history.order, 1)
        return [history.message_of(entry) for entry in await found.to_list(None)]

    def log(self, name: str) -> tuple[Collection, History]:
        """Return the collection of a log of events, and its way to find and read the entries of an aggregate."""
        return self.collection(name), cast(History, self.source(name).history)

    async def ahead(self, product_id: str, place: int, most: int) -> tuple[int, int]:
        """Return how many reservations of a product, up to `most`, wait at places before `place`, and their units."""
        before = {"productId": product_id, "waiting": {"$gt": 0}, "place": {"$lt": place}}
        sums = {"_id": None, "lines": {"$sum": 1}, "units": {"$sum": "$waiting"}}
        # sorted, so that the index of places is the best one by any measure
        stages: list[Document] = [{"$match": before}, {"$sort": {"place": 1}}, {"$limit": most}, {"$group": sums}]
        found = await (await aggregate(self.collection("reservations"), stages)).to_list(None)
        return (found[0]["lines"], found[0]["units"]) if found else (0, 0)

    async def reached(self, name: str, at: TopicPartition) -> int:
        """Return the next offset of a read model in a partition of its topic (full name)."""
        projection = next(each for each in self._projections if name in each.collections)
        return (await read_progress(self._mongo, [projection], [at])).get(progress_id(projection, at), 0)

    async def tally(self, name: str) -> Counter[str] | None:
        """Return how many documents of a read model are of each kind; None if its live version is not counted."""
        if (collection := self.source(name).tally) is None:
            return None
        return total(await self._mongo.collection(collection).find({}, batch_size=10_000).to_list(None))

    def collection(self, name: str) -> Collection:
        """Return the collection from which a read model is read."""
        return self._mongo.collection(self.source(name).collection)


def sort_key(sort: str) -> tuple[str, bool]:
    """Return the field of a sort, and whether it is descending."""
    name = sort.removeprefix("-")
    return ("_id" if name == "id" else name), sort.startswith("-")


def behind(key: str, descending: bool, value: Scalar, identifier: str) -> Document:
    """Return the query for documents after a position; its first half bounds the index scan."""
    beyond = "$lt" if descending else "$gt"
    if key == "_id":
        return {"_id": {beyond: identifier}}
    return {key: {f"{beyond}e": value}, "$or": [{key: {beyond: value}}, {"_id": {beyond: identifier}}]}
