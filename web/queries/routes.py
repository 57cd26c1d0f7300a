"""Reading over HTTP: which path is which read model, filtered and sorted how."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from domain.inventory.state import ProductStatus
from domain.orders.status import AllocationStatus, OrderStatus
from projections.mongo.indexes import REFUSED
from projections.mongo.queries import SORTS, BadCursor, BadSort
from web.answers import answer, page
from web.commands.preconditions import check_version
from web.documents.parameters import MOMENT, any_of, in_query
from web.documents.schemas import Schema
from web.errors import invalid, missing
from web.requests import identifier, path_ids, time, whole_number
from web.services import SERVICES, Services

from .consistency import consistent
from .explain import explained
from .past import moment_of, past, with_commands

DEFAULT_LIMIT, MOST = 50, 500


@dataclass(frozen=True, slots=True)
class QueryRoute:
    """A path, the read model it shows, and what its documentation says."""

    path: str  # below the prefix
    model: str
    summary: str
    schema: str
    many: bool = True
    of: str | None = None  # the document's field that is the id in the path
    filters: tuple[Schema, ...] = ()  # query parameters that are fields of the documents; any of several values
    period: bool = False  # from and to, of createdAt
    fixed: Mapping[str, Any] = field(default_factory=dict)
    sort: str | None = None  # the only one there is; None: the read model's own
    past: bool = False  # version and asOf
    history: bool = False  # of events, whose commands are named
    ask: Callable[[Services, str], Awaitable[Any]] | None = None  # for the answer, when it is no document

    async def __call__(self, request: web.Request) -> web.Response:
        """Answer one document or a page of them, not before the request's Consistency-Token is reached."""
        services = request.app[SERVICES]
        ids = path_ids(request)
        marks = await consistent(services, request)
        if self.many:
            return await self._page(request, services, ids[0][1] if ids else None, marks)
        return await self._one(request, services, ids[0][1], marks)

    def _sort(self, asked: str | None) -> str | None:
        """Return the sort asked for; those of a part of a read model are for the paths of that part."""
        if asked is not None and asked not in SORTS[self.model]:
            raise BadSort(SORTS[self.model])
        return asked

    def parameters(self) -> list[Schema]:
        """Return the query parameters that are this path's own."""
        found = list(self.filters)
        if self.period:
            found.append(in_query("from", "placed at this time or later", MOMENT))
            found.append(in_query("to", "placed before this time", MOMENT))
        if self.many and self.model in SORTS and self.sort is None:
            sorts = SORTS[self.model]
            found.append(in_query("sort", " or ".join(sorts), {"enum": list(sorts), "default": sorts[0]}))
        if self.past:
            found.append(in_query("version", "as it was at this version", {"type": "integer", "minimum": 1}))
            found.append(in_query("asOf", "as it was at this time", MOMENT))
        return found

    async def _one(
        self, request: web.Request, services: Services, identifier: str, marks: Mapping[str, str]
    ) -> web.Response:
        if self.ask:
            return answer(await self.ask(services, identifier), headers=marks)
        moment = moment_of(request.query) if self.past else None
        if moment is None:
            found = await services.queries.show(self.model, identifier)
        else:
            found = await past(services, self.schema, self.model, identifier, moment)
        if found is None:
            raise missing(self.schema, identifier)
        document, version = found
        tag = f'"{version}"'
        if check_version(request, version):
            return web.Response(status=304, headers={"ETag": tag, **marks})
        return answer(document, headers={"ETag": tag, **marks})

    async def _page(
        self, request: web.Request, services: Services, identifier: str | None, marks: Mapping[str, str]
    ) -> web.Response:
        query = request.query
        names = [each["name"] for each in self.filters]
        where = {name: _any_of(query.getall(name), name) for name in names if name in query}
        if self.of is not None and identifier is not None:
            where[self.of] = identifier
        period = (time(query, "from"), time(query, "to")) if self.period else (None, None)
        try:
            found = await services.queries.page(
                self.model,
                {**where, **self.fixed},
                within={"createdAt": period},
                sort=self.sort or self._sort(query.get("sort")),
                limit=limit(query.get("limit")),
                cursor=query.get("cursor"),
            )
        except BadSort as error:
            raise invalid({"sort": str(error)}) from None
        except BadCursor:
            raise invalid({"cursor": "must be nextCursor of an earlier answer to the same question"}) from None
        documents = await with_commands(services, found.documents) if self.history else found.documents
        return page(documents, found.next_cursor, marks)


def _any_of(values: Sequence[str], name: str) -> Any:
    """Return what MongoDB is asked for: a value, or any of several; a 400 when no document can have one."""
    found = sorted({identifier(value, name) for value in values})
    return found[0] if len(found) == 1 else {"$in": found}


def limit(sent: str | None) -> int:
    """Return how many documents a page has."""
    if sent is None:
        return DEFAULT_LIMIT
    if (number := whole_number(sent, 1, MOST)) is not None:
        return number
    raise invalid({"limit": f"must be a whole number from 1 to {MOST}"})


_CUSTOMER = any_of("customerId", "whose")
_STATUSES = (
    any_of("status", "how far it is", OrderStatus),
    any_of("allocationStatus", "what it got", AllocationStatus),
)

QUERY_ROUTES: tuple[QueryRoute, ...] = (
    QueryRoute("/orders", "orders", "List orders", "Order", filters=(*_STATUSES, _CUSTOMER), period=True),
    QueryRoute("/orders/{orderId}", "orders", "One order; its ETag is its version", "Order", many=False,
               past=True),
    QueryRoute("/orders/{orderId}/events", "order_events", "What happened to an order, and why", "OrderEvent",
               of="orderId", history=True),
    QueryRoute("/orders/{orderId}/explain", "orders", "What an order waits for, and who has to act", "Explanation",
               many=False, ask=explained),
    QueryRoute("/customers/{customerId}/orders", "customer_orders", "A customer's history", "CustomerOrder",
               of="customerId", period=True),
    QueryRoute("/customers/{customerId}/summary", "customer_summary", "What a customer has ordered, as it was placed",
               "Customer", many=False),
    QueryRoute("/work-queue", "work_queue", "What the warehouse can pick now", "WorkItem", filters=(_CUSTOMER,)),
    QueryRoute("/inventory", "inventory", "List products", "Product",
               filters=(any_of("status", "whether it can be had", ProductStatus),)),
    QueryRoute("/inventory/{productId}", "inventory", "One product", "Product", many=False, past=True),
    QueryRoute("/inventory/{productId}/ledger", "stock_ledger", "Every movement of a product, and why", "Movement",
               of="productId", history=True),
    QueryRoute("/inventory/{productId}/reservations", "reservations", "What is held and waits", "Reservation",
               of="productId", fixed={"open": True}),
    QueryRoute("/inventory/{productId}/backorders", "reservations", "Who waits, first come first",
               "Reservation", of="productId", fixed={"waiting": {"$gt": 0}}, sort="place"),
    QueryRoute("/orders/{orderId}/refusals", "commands", "Commands the order refused, kept 7 days", "Outcome",
               of="aggregateId", fixed={**REFUSED, "aggregate": "order"}, sort="-time"),
)  # fmt: skip
