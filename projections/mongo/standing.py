"""The facts from which an order's explanation is made, as far as the read models know them."""

import asyncio
from collections.abc import Sequence

from projections.document import Document
from projections.explanation import Facts, Queued
from projections.mongo.queries import Queries
from projections.orders import whole
from projections.reservations import reservation_id

COUNTED = 200  # the number of waiting lines up to which they are counted; beyond it, places give an upper bound
LEAST = 10


async def standing(queries: Queries, order_id: str) -> Facts:
    """Return the order and where its lines wait; without lines if no read model has it."""
    found = await queries.stored("orders", [order_id])
    if not found:
        return Facts(order_id, None)
    order = whole(found[0])
    short = [item for item in order["items"] if item["backordered"]]
    queued, held, cancelled = await asyncio.gather(
        _queued(queries, order_id, short),
        _held(queries, order_id, order["hold"] is not None),
        _newest(queries, order_id, "OrderCancelled", order["status"] == "CANCELLED"),
    )
    return Facts(order_id, order, queued=queued, held=held, cancelled=cancelled)


async def _newest(queries: Queries, order_id: str, name: str, wanted: bool) -> Document | None:
    if not wanted:
        return None
    events, history = queries.log("order_events")
    found = await events.find_one({**history.between(order_id), "type": name}, sort=[(history.order, -1)])
    return found and history.shown(found)


async def _held(queries: Queries, order_id: str, wanted: bool) -> dict[str | None, str]:
    """Return since when each hold exists, or has its reason; without holds that are older than very many others.

    The key None stands for the hold of older events, which have no ids: the newest of them replaced all others.
    """
    if not wanted:
        return {}
    events, history = queries.log("order_events")
    query, newest_first = {**history.between(order_id), "type": "OrderHeld"}, [(history.order, -1)]
    found = [history.shown(each) async for each in events.find(query, sort=newest_first, limit=COUNTED)]
    return {entry["data"].get("holdId"): entry["time"] for entry in reversed(found)}


async def _queued(queries: Queries, order_id: str, short: Sequence[Document]) -> dict[str, Queued]:
    """Return where lines wait; lines that do not wait (any more) are left out."""
    if not short:
        return {}
    ids = {reservation_id(item["productId"], order_id, item["lineId"]): item for item in short}
    products = sorted({item["productId"] for item in short})
    reservations, stocks = await asyncio.gather(
        queries.find_many("reservations", list(ids)),
        queries.collection("inventory").find({"_id": {"$in": products}}).to_list(None),
    )
    by_product, most = {stock["_id"]: stock for stock in stocks}, max(COUNTED // len(short), LEAST)
    waiting = [line for line in reservations if line["waiting"] and line["productId"] in by_product]
    places = await asyncio.gather(*(_queue(queries, line, by_product[line["productId"]], most) for line in waiting))
    return {ids[line["id"]]["lineId"]: queued for line, queued in zip(waiting, places, strict=True)}


async def _queue(queries: Queries, line: Document, stock: Document, most: int) -> Queued:
    lines, units = await queries.ahead(line["productId"], line["place"], most + 1)
    counted = lines <= most
    return Queued(
        waiting=line["waiting"],
        lines_ahead=lines if counted else line["place"] - stock["_queue"][0],
        units_ahead=units if counted else None,
        available=stock["availableQuantity"],
    )
