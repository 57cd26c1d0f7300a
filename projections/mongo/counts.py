"""Counts of orders and products by state, answered from indexes alone, and the products that are short."""

import asyncio
from typing import Any

from projections.document import Document, public
from projections.mongo.indexes import SHORT
from projections.mongo.queries import Queries
from projections.work_queue import PICKABLE

STATUSES = ("REGISTERED", "PARTIALLY_SHIPPED", "SHIPPED", "PARTIALLY_DELIVERED", "DELIVERED", "CANCELLED")
WAITING = ("PENDING", "BACKORDERED", "PARTIALLY_ALLOCATED")  # allocation statuses of orders that are not complete
PRODUCTS = ("AVAILABLE", "OUT_OF_STOCK", "DISCONTINUED")
ON_HOLD = {"hold.reason": {"$gte": ""}}  # matches any value; asked this way, the index alone answers
SHOWN = 10  # products with waiting units


async def counts(queries: Queries) -> dict[str, Any]:
    """Return counts of orders and products by state, and the products for which most units wait."""
    orders, products = queries.collection("orders"), queries.collection("inventory")
    questions: dict[str, list[tuple[str, Document]]] = {
        "byStatus": [(name, {"status": name}) for name in STATUSES],
        "byAllocation": [(name, {"allocationStatus": name}) for name in WAITING],
        "other": [("pickable", PICKABLE), ("onHold", ON_HOLD)],
    }
    asked = [where for group in questions.values() for _, where in group]
    found = await asyncio.gather(*(orders.count_documents(where) for where in asked))
    numbers = iter(found)
    answered = {group: {name: next(numbers) for name, _ in pairs} for group, pairs in questions.items()}
    total = sum(answered["byStatus"].values())  # MongoDB's own estimate may be wrong after a crash
    *by_status, short_total, short = await asyncio.gather(
        *(products.count_documents({"status": name}) for name in PRODUCTS),
        products.count_documents(SHORT),
        _short(queries),
    )
    return {
        "orders": {"total": total, **answered.pop("other"), **answered},
        "products": {
            "byStatus": dict(zip(PRODUCTS, by_status, strict=True)),
            "shortTotal": short_total,
            "short": short,
        },
    }


async def _short(queries: Queries) -> list[Document]:
    found = queries.collection("inventory").find(SHORT).sort("backorderedQuantity", -1).limit(SHOWN)
    return [public(document) async for document in found]
