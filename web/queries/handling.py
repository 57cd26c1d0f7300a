"""Reading over HTTP: one document of a read model, or a page of them."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from aiohttp import web
from multidict import MultiMapping

from projections.mongo.listing import Range
from projections.mongo.past_lists import TooFar
from projections.mongo.queries import ARCHIVED, SORTS, BadCursor, BadSort
from projections.work_queue import with_missing
from web.answers import Answer, answer, page
from web.documents.parameters import MOMENT, in_query
from web.documents.schemas import Schema
from web.errors import Problem, invalid, missing
from web.preconditions import check_version
from web.requests import identifier, path_ids, time_in, whole_number
from web.sealed import has_sealed
from web.services import SERVICES, Services

from .consistency import consistent
from .past import lists_at, moment_of, past, with_commands

DEFAULT_LIMIT, MOST = 50, 500
PAST_LIST = "the list as it was at this time; a page may be short, or empty, although it has a nextCursor"
PERSONAL = frozenset({"orders", "order_events"})  # read models with addresses


class Shape(NamedTuple):
    """The name of a kind of document, in the OpenAPI document and in a 404, and its schema."""

    name: str
    schema: Schema


@dataclass(frozen=True, slots=True)
class QueryRoute:
    """A path, the read model it shows, and how the OpenAPI document describes it."""

    path: str  # below the prefix
    model: str
    summary: str
    shape: Shape
    many: bool = True
    of: str | None = None  # the documents' field that must equal the id in the path
    filters: tuple[Schema, ...] = ()  # query parameters that are fields of the documents
    flags: tuple[Schema, ...] = ()  # the same, of fields that are true or missing: `true` is their only value
    period: bool = False  # accepts from and to, which limit createdAt
    fixed: Mapping[str, Any] = field(default_factory=dict)
    sort: str | None = None  # the only order of this path; None: the orders of the read model
    past: bool = False  # accepts asOf, and for one document version
    history: bool = False  # the documents are events, and are answered with the types of their commands
    ask: Callable[[Services, str], Awaitable[Any]] | None = None  # computes the answer, which is not a document

    async def __call__(self, request: web.Request) -> Answer:
        """Answer with a document or a page, once the read model has reached the request's Consistency-Token."""
        services = request.app[SERVICES]
        ids = path_ids(request)
        marks = await consistent(services, request)
        if self.many:
            return await self._page(request, services, ids[0][1] if ids else None, marks)
        return await self._one(request, services, ids[0][1], marks)

    @property
    def is_personal(self) -> bool:
        """Whether the documents have personal data, which may be encrypted."""
        return self.model in PERSONAL

    @property
    def has_archive(self) -> bool:
        """Whether archived documents can be listed."""
        return self.many and self.period and self.model in ARCHIVED

    def lists_archived(self, query: Mapping[str, str]) -> bool:
        """Return whether a request asks for archived documents."""
        return self.has_archive and query.get("archived") == "true"

    def parameters(self, *, sorted_: bool = True) -> list[Schema]:
        """Return the query parameters that only this path has; without the sort if it is not chosen."""
        found = [*self.filters, *self.flags]
        if self.period:
            found.append(in_query("from", "placed at this time or later", MOMENT))
            found.append(in_query("to", "placed before this time", MOMENT))
        if self.has_archive:
            found.append(in_query("archived", "`true` lists archived orders instead", {"enum": ["false", "true"]}))
        if sorted_ and self.many and self.model in SORTS and self.sort is None:
            sorts = SORTS[self.model]
            short = "; of a period, a page sorted by updatedAt may be short although it has a nextCursor"
            sentence = " or ".join(sorts) + (short if self.period and "updatedAt" in sorts else "")
            found.append(in_query("sort", sentence, {"enum": list(sorts), "default": sorts[0]}))
        if self.past:
            if not self.many:
                found.append(in_query("version", "as it was at this version", {"type": "integer", "minimum": 1}))
            found.append(in_query("asOf", PAST_LIST if self.many else "as it was at this time", MOMENT))
        return found

    async def _one(self, request: web.Request, services: Services, identifier: str, marks: Mapping[str, str]) -> Answer:
        if self.ask:
            return answer(await self.ask(services, identifier), headers=marks)
        moment = moment_of(request.query) if self.past else None
        if moment is None:
            found = await services.queries.show(self.model, identifier)
        else:
            found = await past(services, self.shape.name, self.model, identifier, moment)
        if found is None:
            raise missing(self.shape.name, identifier)
        document, version = found
        headers = {"ETag": f'"{version}"', **marks}
        if check_version(request, version) and not (self.is_personal and has_sealed(document)):
            return Answer(None, 304, headers)  # never for what is sealed: erasing a key does not change the version
        if services.opening is not None and self.is_personal:
            (document,) = await services.opening.documents([document])
        return answer(document, headers=headers)

    async def _page(
        self, request: web.Request, services: Services, identifier: str | None, marks: Mapping[str, str]
    ) -> Answer:
        query = request.query
        where, within = self.conditions(query)
        if self.of is not None and identifier is not None:
            where[self.of] = identifier
        lists = lists_at(services, query) if self.past else services.queries
        try:
            found = await lists.page(
                self.model,
                {**where, **self.fixed},
                within=within,
                sort=self.sort or self._sort(query.get("sort")),
                limit=limit(query.get("limit")),
                cursor=query.get("cursor"),
                aside=self.lists_archived(query),
            )
        except BadSort as error:
            raise invalid({"sort": str(error)}) from None
        except BadCursor:
            raise invalid({"cursor": "must be the nextCursor of an earlier answer to the same request"}) from None
        except TooFar as error:
            raise Problem("AS_OF_TOO_FAR", str(error), {"asOf": query["asOf"]}) from None
        documents = await with_commands(services, found.documents) if self.history else found.documents
        if services.opening is not None and self.is_personal:
            documents = await services.opening.documents(documents)
        return page(documents, found.next_cursor, marks)

    def conditions(self, query: MultiMapping[str]) -> tuple[dict[str, Any], dict[str, Range]]:
        """Return the conditions on fields, and the ranges of fields, that a request asks for."""
        names = [each["name"] for each in self.filters]
        where = {name: _any_of(query.getall(name), name) for name in names if name in query}
        if "location" in where:
            where["location"] = with_missing(where["location"])
        where |= {name: _only_true(query[name], name) for each in self.flags if (name := each["name"]) in query}
        return where, {"createdAt": (time_in(query, "from"), time_in(query, "to")) if self.period else (None, None)}

    def _sort(self, asked: str | None) -> str | None:
        """Return the order that the client asks for; the partial sorts of a read model are reserved for routes."""
        if asked is not None and asked not in SORTS[self.model]:
            raise BadSort(SORTS[self.model])
        return asked


def _any_of(values: Sequence[str], name: str) -> Any:
    """Return MongoDB's condition for a field with one of `values`."""
    found = sorted({identifier(value, name) for value in values})
    return found[0] if len(found) == 1 else {"$in": found}


def _only_true(value: str, name: str) -> bool:
    """Return True; raise a 400 if the value of a flag is not `true`."""
    if value != "true":
        raise invalid({name: "must be true, or left out"})
    return True


def limit(sent: str | None) -> int:
    """Return the page size that a client asks for."""
    if sent is None:
        return DEFAULT_LIMIT
    if (number := whole_number(sent, 1, MOST)) is not None:
        return number
    raise invalid({"limit": f"must be a whole number from 1 to {MOST}"})
