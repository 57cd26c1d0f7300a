"""A page of a list: what MongoDB is asked, and how several answers become one page."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from pymongo.errors import OperationFailure

from projections.document import Document
from projections.mongo.client import Collection
from projections.mongo.plans import Plan
from projections.mongo.sources import Source

Range = tuple[str | None, str | None]  # from (inclusive) and before (exclusive); None: unbounded
Position = tuple[Any, str]  # sort key and `_id`
EXAMINED = 1_000  # documents that a page reads at most
BAD_VALUE = 2  # MongoDB's code for an index that does not exist


class Found(NamedTuple):
    """Documents in the order of the list, and the position after which it continues; None if it has ended."""

    documents: Sequence[Document]
    after: Position | None


@dataclass(frozen=True, slots=True)
class Listing:
    """The documents of a read model whose fields have the values `where`, sorted by `key`, `behind` a position."""

    collection: Collection
    source: Source
    where: Document
    key: str
    descending: bool
    behind: Document

    async def page(self, within: Mapping[str, Range], limit: int) -> Found:
        """Return up to `limit` documents with fields in ranges.

        No index has a range of another field in the order of `key`. A page with such a range reads a limited number of
        documents, and may have fewer than `limit` although the list continues.
        """
        on_key = {name: range_ for name, range_ in within.items() if name == self.key}
        others = {name: range_ for name, range_ in within.items() if name != self.key and any(range_)}
        plan = self.source.plan(self.where, self.key)
        if others and plan is not None:
            return await self._selected(plan, on_key, others, limit)
        found = await self._find(plan, {**on_key, **others}, self.source.fields(self.key), limit + 1)
        return Found(found[:limit], self._position(found[limit - 1]) if len(found) > limit else None)

    async def _selected(
        self, plan: Plan, on_key: Mapping[str, Range], others: Mapping[str, Range], limit: int
    ) -> Found:
        """Select the documents with `others` in ranges among the first ones, then read those of the page."""
        examined = await self._find(plan, on_key, dict.fromkeys((self.key, *others), 1), EXAMINED + 1)
        chosen = [each for each in examined[:EXAMINED] if all(_is_in(each[name], others[name]) for name in others)]
        end = examined[EXAMINED - 1] if len(examined) > EXAMINED else None
        if len(chosen) > limit:
            end = chosen[limit - 1]
        shown = [each["_id"] for each in chosen[:limit]]
        fields = self.source.fields(self.key)
        read = await self.collection.find({"_id": {"$in": shown}}, fields, batch_size=limit + 1).to_list(None)
        by_id = {each["_id"]: each for each in read}
        return Found([by_id[each] for each in shown if each in by_id], None if end is None else self._position(end))

    async def _find(
        self, plan: Plan | None, within: Mapping[str, Range], fields: Document, limit: int
    ) -> list[Document]:
        """Return the first documents by the index of a plan, if there is one."""
        conditions = [dict(self.source.where), self.where, *conditions_of(within), self.behind]
        if plan is None:
            return await self._ask(conditions, None, fields, limit)
        parts = [self._ask([*conditions, each], plan, fields, limit) for each in plan.equalities]
        found = await asyncio.gather(*parts)
        if len(found) == 1:
            return found[0]
        merged = sorted((each for some in found for each in some), key=self._position, reverse=self.descending)
        return merged[:limit]

    async def _ask(
        self, conditions: Sequence[Document], plan: Plan | None, fields: Document, limit: int
    ) -> list[Document]:
        direction = -1 if self.descending else 1
        order = [(self.key, direction)] if self.key == "_id" else [(self.key, direction), ("_id", direction)]
        query = {"$and": [one for one in conditions if one] or [{}]}
        found = self.collection.find(query, fields, batch_size=limit + 1).sort(order).limit(limit)
        if plan is None:
            return await found.to_list(None)
        try:
            return await found.clone().hint(plan.hint).to_list(None)
        except OperationFailure as error:
            if error.code != BAD_VALUE:
                raise
        return await found.to_list(None)  # a projector has not created the index yet

    def _position(self, document: Document) -> Position:
        return document[self.key], document["_id"]


def conditions_of(within: Mapping[str, Range]) -> list[Document]:
    """Return the conditions of MongoDB for ranges of fields."""
    bounds = [(field, "$gte", low) for field, (low, _) in within.items()]
    bounds += [(field, "$lt", high) for field, (_, high) in within.items()]
    return [{field: {operator: value}} for field, operator, value in bounds if value is not None]


def _is_in(value: str, range_: Range) -> bool:
    low, high = range_
    return (low is None or low <= value) and (high is None or value < high)
