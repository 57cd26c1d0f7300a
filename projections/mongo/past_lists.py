"""Lists at an earlier moment: what `orders`, `inventory` and `work_queue` would have answered then.

TooFar                      more has changed since the moment than one answer may reconstruct

The candidates come from the present read models, in an order that time does not change. A document that has not changed
since the moment is shown as it is; any other is reconstructed from its events. A page reads a limited number of
documents and events, and then ends early, with a cursor. Only the work queue is sorted by a field that changes, so it
needs every order that has changed since the moment, and raises `TooFar` if there are too many.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, cast

from projections import orders, work_queue
from projections.document import Document, public
from projections.mongo import cursors
from projections.mongo.listing import EXAMINED, Found, Position, Range
from projections.mongo.past import Moment, NotThen, Past, view_at
from projections.mongo.queries import BadSort, Page, Queries, sort_key
from projections.mongo.sources import Source
from streams.messages.envelope import instant_of

SORTS: Mapping[str, tuple[str, ...]] = {
    "orders": ("-createdAt", "createdAt"),
    "inventory": ("id", "-id"),
    "work_queue": ("since", "-since"),
}
BATCH = 100  # documents that are read at once
RECONSTRUCTED = 500  # orders that a page reconstructs at most, out of the `EXAMINED` documents that it reads
ORDERS_A_PRODUCT = 5  # that cost as much to reconstruct: a product's ledger is searched, not read
EVENTS = 10_000  # events after which a page reconstructs no further order
AT_ONCE = 8  # reconstructions at the same time
CHANGED = 1_000  # orders of a work queue that may have changed since
TOUCHED = 20_000  # orders that may have changed since, younger ones included


class TooFar(Exception):
    """Too many orders have changed since the moment."""

    def __init__(self, as_of: str) -> None:
        super().__init__(
            f"too many orders have changed since {as_of} to reconstruct the work queue: choose a later time, or one "
            "customer with customerId"
        )


class Budget:
    """The documents and events that a page may still read."""

    def __init__(self) -> None:
        self.documents, self.reconstructed, self.events = EXAMINED, RECONSTRUCTED, EVENTS

    @property
    def is_spent(self) -> bool:
        """Return whether the page must end."""
        return min(self.documents, self.reconstructed, self.events) <= 0


class PastLists:
    """The lists at a moment."""

    def __init__(self, queries: Queries, as_of: str) -> None:
        self._queries, self._moment, self._as_of = queries, Moment(as_of=as_of), as_of
        self._aside = False
        self._later = instant_of((datetime.fromisoformat(as_of) + timedelta(milliseconds=1)).timestamp())

    async def page(
        self,
        name: str,
        where: Mapping[str, Any],
        *,
        within: Mapping[str, Range],
        sort: str | None,
        limit: int,
        cursor: str | None,
        aside: bool = False,
    ) -> Page:
        """Return a page of a list; `BadSort` and `BadCursor` are the caller's mistakes, and so is `TooFar`.

        `aside`: of the orders that were archived then.
        """
        sort = sort or SORTS[name][0]
        if sort not in SORTS[name]:
            raise BadSort(SORTS[name])
        self._aside = aside
        question = [name, dict(where), dict(within), self._as_of, *(["archived"] if aside else [])]
        after = None if cursor is None else cursors.decode(sort, cursor, question)
        if name == "work_queue":
            found, last = await self._work_queue(where, sort, limit, after)
        else:
            found, last = await self._page(name, where, within, sort, limit, after)
        return Page(list(found), None if last is None else cursors.encode(sort, *last, question))

    # --- orders and products, sorted by what never changes

    async def _page(
        self, name: str, where: Mapping[str, Any], within: Mapping[str, Range], sort: str, limit: int, after: Any
    ) -> tuple[Sequence[Document], Position | None]:
        budget, found = Budget(), list[Document]()
        async for position, document, is_last in self._candidates(name, where, within, sort, after, budget):
            if document is not None and _matches(document, where):
                found.append(document)
            if is_last:
                return found, None
            if len(found) == limit or budget.is_spent:
                return found, position
        return found, None

    async def _candidates(
        self, name: str, where: Mapping[str, Any], within: Mapping[str, Range], sort: str, after: Any, budget: Budget
    ) -> AsyncIterator[tuple[Position, Document | None, bool]]:
        """Yield documents as they were, None if they did not exist, with their positions, and whether one is the last.

        The budget is spent for each document that is yielded, and for those reconstructed together with it.
        """
        source, then = self._queries.source(name), self._order if name == "orders" else self._product
        fixed = _fixed(where)
        range_ = {"createdAt": self._until(*within["createdAt"])} if name == "orders" else {}
        while True:
            key, batch = await self._listed(source, fixed, sort, after, range_, BATCH)
            for some in _chunks(batch.documents):
                known = await asyncio.gather(*(then(each, budget) for each in some))
                for each, document in zip(some, known, strict=True):
                    budget.documents -= 1
                    is_last = batch.after is None and each is batch.documents[-1]
                    after = each[key], each["_id"]
                    yield after, document, is_last
            if batch.after is None:
                return

    def _until(self, low: str | None, high: str | None) -> Range:
        return low, self._later if high is None else min(high, self._later)

    async def _listed(
        self, source: Source, where: Mapping[str, Any], sort: str, after: Any, within: Mapping[str, Range], limit: int
    ) -> tuple[str, Found]:
        """Return the sort key, and documents of a list with the archived ones, because they may not have been then."""
        places = [source] if source.archive is None else [source, replace(source, collection=source.archive)]
        listings = [self._queries.listing(each, where, sort, after) for each in places]
        pages = await asyncio.gather(*(each.page(within, limit) for each in listings))
        key, (_, descending) = listings[0].key, sort_key(sort)
        if len(pages) == 1:
            return key, pages[0]
        # a document that is being moved may be in both
        known = {(each[key], each["_id"]): each for page in pages for each in page.documents}
        ends = sorted((page.after for page in pages if page.after is not None), reverse=descending)
        order = sorted({*known, *ends[:1]}, reverse=descending)
        order = order[: order.index(ends[0]) + 1] if ends else order
        end = order[limit - 1] if len(order) > limit else (ends[0] if ends else None)
        return key, Found([known[each] for each in order[:limit] if each in known], end)

    async def _order(self, document: Document, budget: Budget) -> Document | None:
        """Return an order as it was; None if it did not exist, or was in the other one of both lists."""
        shown = orders.whole(document)
        if max(shown["updatedAt"], shown.get("archivedAt", "")) <= self._as_of:
            return public(shown) if ("archivedAt" in shown) == self._aside else None
        view = await self._view(document["_id"], budget)
        return None if view is None or orders.is_archived(view) != self._aside else orders.shown_of(view)

    async def _view(self, order_id: str, budget: Budget) -> orders.OrderView | None:
        history = await self._queries.history(order_id)
        budget.reconstructed -= 1
        budget.events -= len(history)
        return view_at(history, self._moment)

    async def _product(self, document: Document, budget: Budget) -> Document | None:
        if document["updatedAt"] <= self._as_of:
            return public(document)
        budget.reconstructed -= ORDERS_A_PRODUCT
        try:
            found = await Past(self._queries).show("inventory", document["_id"], self._moment)
        except NotThen:
            return None
        return None if found is None else found[0]

    # --- the work queue, sorted by since when orders can be picked

    async def _work_queue(
        self, where: Mapping[str, Any], sort: str, limit: int, after: Any
    ) -> tuple[Sequence[Document], Position | None]:
        # In this order: an order that changes meanwhile is found twice, and never missed.
        entries = await self._unchanged(where, sort, limit, after)
        entries |= await self._changed(where)
        _, descending = sort_key(sort)
        queue = sorted(entries.values(), key=_place, reverse=descending)
        if after is not None:
            queue = [each for each in queue if (_place(each) < after if descending else _place(each) > after)]
        return queue[:limit], _place(queue[limit - 1]) if len(queue) > limit else None

    async def _unchanged(self, where: Mapping[str, Any], sort: str, limit: int, after: Any) -> dict[str, Document]:
        """Return the first entries of orders that have not changed since, one more than `limit`, by id."""
        source, found = self._queries.source("work_queue"), dict[str, Document]()
        while True:
            batch = await self._queries.listing(source, where, sort, after).page({}, BATCH)
            shown = [cast(Document, source.shown(each)) for each in batch.documents]
            found |= {each["id"]: each for each in shown if each["updatedAt"] <= self._as_of}
            if (after := batch.after) is None or len(found) > limit:
                return found

    async def _changed(self, where: Mapping[str, Any]) -> dict[str, Document]:
        """Return the entries of the orders that have changed since, by id; raise `TooFar` if there are too many."""
        budget, found = Budget(), dict[str, Document]()
        budget.reconstructed, budget.events = CHANGED, 2 * EVENTS
        for some in _chunks([each async for each in self._changed_ids(where)]):
            for view in await asyncio.gather(*(self._view(each, budget) for each in some)):
                if view is not None and view.pickable_since is not None:
                    document = orders.document_of(view)
                    entry = work_queue.document_of(orders.whole(document))
                    if _matches({**entry, "location": document.get("location")}, where):
                        found[view.id] = public(entry)
            if budget.events < 0:
                raise TooFar(self._as_of)
        return found

    async def _changed_ids(self, where: Mapping[str, Any]) -> AsyncIterator[str]:
        source, after, count = self._queries.source("orders"), None, 0
        for _ in range(TOUCHED // EXAMINED):
            changed: Mapping[str, Range] = {"updatedAt": (self._later, None), "createdAt": (None, self._later)}
            _, page = await self._listed(source, _fixed(where), "updatedAt", after, changed, EXAMINED)
            for each in page.documents:
                count += 1
                yield each["_id"]
            if count > CHANGED:
                raise TooFar(self._as_of)
            if (after := page.after) is None:
                return
        raise TooFar(self._as_of)


def _place(entry: Document) -> Position:
    return entry["since"], entry["id"]


def _fixed(where: Mapping[str, Any]) -> dict[str, Any]:
    """Return the conditions on fields that never change."""
    return {field: value for field, value in where.items() if field == "customerId"}


def _matches(document: Document, where: Mapping[str, Any]) -> bool:
    """Return whether fields have the values of conditions in MongoDB's syntax: one, or any of several.

    Of a field with several values, one must be among them.
    """
    return all(
        any(value in (wanted["$in"] if isinstance(wanted, dict) else (wanted,)) for value in _values(document, field))
        for field, wanted in where.items()
    )


def _values(document: Document, field: str) -> Sequence[Any]:
    value = document.get(field)
    return value if isinstance(value, list) else [value]


def _chunks(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    return (items[first : first + AT_ONCE] for first in range(0, len(items), AT_ONCE))
