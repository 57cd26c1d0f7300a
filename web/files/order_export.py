"""`GET /exports/orders`: all orders of a list as one file, made and sent page by page."""

import asyncio
from collections.abc import AsyncIterator, Mapping

import orjson
from aiohttp import web

from projections.document import Document
from projections.mongo.listing import Range
from projections.mongo.past_lists import PastLists
from projections.mongo.queries import Queries
from web.answers import Answer
from web.errors import Problem, invalid
from web.queries.consistency import consistent
from web.queries.handling import QueryRoute
from web.queries.past import lists_at
from web.queries.routes import QUERY_ROUTES
from web.services import SERVICES

from .order_tables import TYPES_OF, ParquetNotInstalled, Table, rows_of, table_of
from .stream import streamed

ORDERS: QueryRoute = next(route for route in QUERY_ROUTES if route.path == "/orders")
PAGE = 500  # orders in memory
SORT = "createdAt"  # an order that is placed during the export comes last


async def export_orders(request: web.Request) -> Answer | web.StreamResponse:
    """Stream a file of orders; HEAD answers how many there are, if that can be counted: not of an earlier time."""
    services, query = request.app[SERVICES], request.query
    if (kind := query.get("format")) is None:
        raise invalid({"format": f"is required: {' or '.join(TYPES_OF)}"})
    where, within = ORDERS.conditions(query)
    lists, aside = lists_at(services, query), ORDERS.lists_archived(query)
    marks = await consistent(services, request)
    headers = {**marks, "Content-Type": f"{TYPES_OF[kind]}{'; charset=utf-8' if kind == 'csv' else ''}",
               "Content-Disposition": f'attachment; filename="orders.{kind}"'}  # fmt: skip
    if request.method == "HEAD":
        is_past = isinstance(lists, PastLists)
        count = None if is_past else await services.queries.count(ORDERS.model, where, within, aside=aside)
        return Answer(None, 200, headers | ({} if count is None else {"Order-Count": str(count)}))
    try:
        table = await asyncio.to_thread(table_of, kind)
    except ParquetNotInstalled as error:
        raise Problem("PARQUET_NOT_INSTALLED", str(error)) from None
    async with streamed(request, headers) as answer:
        first = table.begin()
        async for orders in _pages(lists, where, within, aside):
            rows = await asyncio.to_thread(_rows, table, orders)
            await answer.write(first + rows)  # an error before the first page is answered like any other
            first = b""
        await answer.write(await asyncio.to_thread(table.end))
    return answer.response


def _rows(table: Table, page: bytes) -> bytes:
    """Return what a page of orders adds to a file."""
    return table.add(rows_of(orjson.loads(page)))


async def _pages(
    lists: Queries | PastLists, where: Document, within: Mapping[str, Range], aside: bool
) -> AsyncIterator[bytes]:
    """Yield the orders of a list in pages, as JSON."""
    cursor = None
    while True:
        page = await lists.page(ORDERS.model, where, within=within, sort=SORT, limit=PAGE, cursor=cursor, aside=aside)
        yield orjson.dumps(page.documents)
        if (cursor := page.next_cursor) is None:
            return
