"""The queries of the API: documents by id, pages of lists, the sequence of a document, and an order's history."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

from projections import commands
from projections.document import Document, public
from projections.mongo import cursors
from projections.mongo.asking import Asking
from projections.mongo.client import Collection, Mongo, aggregate
from projections.mongo.cursors import BadCursor as BadCursor
from projections.mongo.progress import TopicPartition, progress_id, read_progress
from projections.mongo.sources import SORTS as SORTS
from projections.mongo.sources import Shown, Source, sources
from projections.projection import History, Projection, Summed
from projections.table import PROJECTIONS
from streams.messages.envelope import EventMessage

Scalar = str | int | bool
Range = tuple[str | None, str | None]  # from (inclusive) and before (exclusive); None: unbounded


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
        self._askings: dict[tuple[str, bool], Asking] = {}
        self.read_from(projections)

    def read_from(self, projections: Sequence[Projection]) -> None:
        """Read these versions from now on; running queries finish with the previous ones."""
        self._projections, self._sources = projections, sources(projections)

    def _source(self, name: str) -> Source:
        if (source := self._sources.get(name)) is None:
            raise NotDeployed(name)
        return source

    def _asking(self, source: Source) -> Asking:
        at = source.collection, source.rendered
        if at not in self._askings:
            self._askings[at] = Asking(self._mongo.collection(source.collection), source.fields())
        return self._askings[at]

    async def show(self, name: str, identifier: str) -> tuple[Shown, int] | None:
        """Return a document as the API shows it, and its version; None if it does not exist or is hidden."""
        source = self._source(name)
        if source.summed is not None:
            return await self._sum(source.collection, source.summed, identifier)
        found = await self._asking(source).find(identifier)
        if found is None or any(found[field] != value for field, value in source.where.items()):
            return None
        return source.shown(found), found.get("sequence", 0)

    async def _sum(self, collection: str, summed: Summed, identifier: str) -> tuple[Shown, int] | None:
        found = self._mongo.collection(collection).find({summed.by: identifier}, batch_size=1_000)
        documents = await found.to_list(None)
        total = summed.total(documents)
        return None if total is None else (total, sum(document["sequence"] for document in documents))

    async def find_many(self, name: str, identifiers: Sequence[str]) -> list[Document]:
        """Return the existing documents of `identifiers`, in any order."""
        found = self.collection(name).find({"_id": {"$in": list(identifiers)}}, batch_size=len(identifiers) + 1)
        return [public(document) async for document in found]

    async def outcomes(self, command_ids: Sequence[str]) -> list[Document]:
        """Return the outcomes of all commands with some ids, newest first."""
        found, wanted = self.collection("commands").find(commands.with_ids(command_ids)), set(command_ids)
        documents = [public(document) async for document in found if document["id"] in wanted]
        return sorted(documents, key=lambda document: str(document["time"]), reverse=True)

    async def version(self, name: str, identifier: str) -> int:
        """Return the sequence up to which a document includes events, 0 if it does not exist yet."""
        found = await self._asking(self._source(name)).find(identifier)
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
    ) -> Page:
        """Return up to `limit` documents of a list; `BadSort` and `BadCursor` are the caller's mistakes.

        `where`: conditions on fields in MongoDB's syntax; `within`: ranges of fields.
        """
        source = self._source(name)
        sort = sort or source.sorts[0]
        if sort not in (*source.sorts, *source.partial_sorts):
            raise BadSort(source.sorts)
        field, descending = _sort_key(sort)
        key, question = source.key(field), [name, dict(where or {}), dict(within or {})]
        if source.history is not None:
            return await self._page_of_history(source, (where or {})[source.history.of], sort, limit, cursor, question)
        conditions: list[Document] = [dict(source.where), dict(where or {}), *_ranges(within or {})]
        if cursor is not None:
            conditions.append(_behind(key, descending, *cursors.decode(sort, cursor, question)))
        found = await self._sorted(source, conditions, key, -1 if descending else 1, limit + 1)
        more = len(found) > limit
        documents = [source.shown(document) for document in found[:limit]]
        last = found[limit - 1] if more else {}
        return Page(documents, cursors.encode(sort, last[key], last["_id"], question) if more else None)

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
        return self.collection(name), cast(History, self._source(name).history)

    async def ahead(self, product_id: str, place: int, most: int) -> tuple[int, int]:
        """Return how many reservations of a product, up to `most`, wait at places before `place`, and their units."""
        before = {"productId": product_id, "waiting": {"$gt": 0}, "place": {"$lt": place}}
        total = {"_id": None, "lines": {"$sum": 1}, "units": {"$sum": "$waiting"}}
        stages: list[Document] = [{"$match": before}, {"$limit": most}, {"$group": total}]
        found = await (await aggregate(self.collection("reservations"), stages)).to_list(None)
        return (found[0]["lines"], found[0]["units"]) if found else (0, 0)

    async def reached(self, name: str, at: TopicPartition) -> int:
        """Return the next offset of a read model in a partition of its topic (full name)."""
        projection = next(each for each in self._projections if name in each.collections)
        return (await read_progress(self._mongo, [projection], [at])).get(progress_id(projection, at), 0)

    async def _sorted(
        self, source: Source, conditions: Sequence[Document], key: str, direction: int, limit: int
    ) -> list[Document]:
        order = [(key, direction)] if key == "_id" else [(key, direction), ("_id", direction)]
        query = {"$and": [one for one in conditions if one] or [{}]}
        found = self._mongo.collection(source.collection).find(query, source.fields(key), batch_size=limit + 1)
        return await found.sort(order).limit(limit).to_list(None)

    def collection(self, name: str) -> Collection:
        """Return the collection from which a read model is read."""
        return self._mongo.collection(self._source(name).collection)


def _sort_key(sort: str) -> tuple[str, bool]:
    name = sort.removeprefix("-")
    return ("_id" if name == "id" else name), sort.startswith("-")


def _ranges(within: Mapping[str, Range]) -> list[dict[str, Any]]:
    bounds = [(field, "$gte", low) for field, (low, _) in within.items()]
    bounds += [(field, "$lt", high) for field, (_, high) in within.items()]
    return [{field: {operator: value}} for field, operator, value in bounds if value is not None]


def _behind(key: str, descending: bool, value: Scalar, identifier: str) -> Document:
    """Return the query for documents after a position; its first half bounds the index scan."""
    beyond = "$lt" if descending else "$gt"
    if key == "_id":
        return {"_id": {beyond: identifier}}
    return {key: {f"{beyond}e": value}, "$or": [{key: {beyond: value}}, {"_id": {beyond: identifier}}]}
