"""Counts of orders and products by state, from tallies, and the products that are short."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import Any

from domain.orders.archiving import CLOSED
from projections.document import Document, public
from projections.mongo.client import Collection
from projections.mongo.indexes import LATE, SHORT
from projections.mongo.queries import Queries
from projections.work_queue import PICKABLE

STATUSES = ("REGISTERED", "PARTIALLY_SHIPPED", "SHIPPED", "PARTIALLY_DELIVERED", "DELIVERED", "CANCELLED")
WAITING = ("PENDING", "BACKORDERED", "PARTIALLY_ALLOCATED")  # allocation statuses of orders that are not complete
PRODUCTS = ("AVAILABLE", "OUT_OF_STOCK", "DISCONTINUED")
SHOWN = 10  # products with waiting units
OF_ORDERS: dict[str, Document] = {
    **{f"status/{name}": {"status": name} for name in STATUSES},
    **{f"allocationStatus/{name}": {"allocationStatus": name} for name in WAITING},
    "pickable": PICKABLE,
    "onHold": {"hold.reason": {"$gte": ""}},  # matches any value; asked this way, the index alone answers
    "late": LATE,
}
OF_ARCHIVED = {kind: OF_ORDERS[kind] for kind in (f"status/{name}" for name in sorted(CLOSED))}
OF_PRODUCTS: dict[str, Document] = {**{f"status/{name}": {"status": name} for name in PRODUCTS}, "short": SHORT}


async def counts(queries: Queries) -> dict[str, Any]:
    """Return counts of orders and products by state, and the products for which most units wait."""
    orders, products, short = await asyncio.gather(queries.tally("orders"), queries.tally("inventory"), _short(queries))
    orders = orders if orders is not None else await _orders(queries)
    products = products if products is not None else await _counted(queries.collection("inventory"), OF_PRODUCTS)
    by_status = {name: orders[f"status/{name}"] for name in STATUSES}
    return {
        "orders": {
            "total": sum(by_status.values()),
            "pickable": orders["pickable"],
            "onHold": orders["onHold"],
            "late": orders["late"],
            "archived": orders["archived"],
            "byStatus": by_status,
            "byAllocation": {name: orders[f"allocationStatus/{name}"] for name in WAITING},
        },
        "products": {
            "byStatus": {name: products[f"status/{name}"] for name in PRODUCTS},
            "shortTotal": products["short"],
            "short": short,
        },
    }


async def _orders(queries: Queries) -> Counter[str]:
    """Count all orders by indexes, with the archived ones."""
    live, aside = await asyncio.gather(
        _counted(queries.collection("orders"), OF_ORDERS), _counted(queries.collection("orders_archive"), OF_ARCHIVED)
    )
    return live + aside + Counter(archived=aside.total())


async def _counted(documents: Collection, kinds: Mapping[str, Document]) -> Counter[str]:
    """Count documents by indexes: of shapes without tallies, whose cost grows with the number of documents."""
    found = await asyncio.gather(*(documents.count_documents(where) for where in kinds.values()))
    return Counter(dict(zip(kinds, found, strict=True)))


async def _short(queries: Queries) -> list[Document]:
    found = queries.collection("inventory").find(SHORT).sort("backorderedQuantity", -1).limit(SHOWN)
    return [public(document) async for document in found]
