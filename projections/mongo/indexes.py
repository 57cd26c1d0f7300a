"""The indexes, as a table: one for every way the API filters, sorts and pages.

Lists are paged by (sort key, `_id`), so each index ends in both. Every index is paid for by every write of a projector.
"""

import asyncio
from collections.abc import Iterable
from typing import Any

from pymongo import ASCENDING, IndexModel

from projections.mongo.client import Mongo
from projections.projection import Projection
from projections.work_queue import PICKABLE

TURNED: dict[str, Any] = {"type": {"$gte": "ProductDiscontinued", "$lte": "ProductReactivated"}}  # those two, by name
HELD: dict[str, Any] = {"hold.reason": {"$exists": True}}
SHORT: dict[str, Any] = {"backorderedQuantity": {"$gt": 0}}
REFUSED: dict[str, Any] = {"status": "rejected"}
PROGRESS, IDEMPOTENCY = "projections", "idempotency"


def _on(*fields: str, **options: Any) -> IndexModel:
    return IndexModel([(field, ASCENDING) for field in fields], **options)


READ_MODELS: dict[str, list[IndexModel]] = {
    "orders": [
        _on("createdAt", "_id"),
        _on("updatedAt", "_id"),
        _on("status", "createdAt", "_id"),
        _on("allocationStatus", "createdAt", "_id"),
        _on("customerId", "createdAt", "_id"),
        _on("_pickableSince", "_id", partialFilterExpression=PICKABLE),
        _on("hold.reason", "_id", partialFilterExpression=HELD),
    ],
    "order_events": [_on("orderId", "sequence", "_id")],
    "inventory": [
        _on("status", "_id"),
        _on("backorderedQuantity", "_id", partialFilterExpression=SHORT),
    ],
    "reservations": [
        _on("productId", "open", "_id"),
        _on("productId", "place", partialFilterExpression={"waiting": {"$gt": 0}}),
    ],
    "stock_ledger": [
        _on("productId", "sequence", "_id"),
        _on("productId", "sequence", partialFilterExpression=TURNED),
    ],
    "customer_summary": [_on("customerId")],
    "commands": [
        _on("_expiresAt", expireAfterSeconds=0),
        _on("aggregateId", "time", "_id", partialFilterExpression=REFUSED),
    ],
}


async def create_indexes(mongo: Mongo, projections: Iterable[Projection]) -> None:
    """Create what is missing of the indexes of `projections`, and of the collections that have no version."""
    wanted = {p.collection(name): READ_MODELS[name] for p in projections for name in p.collections}
    wanted[IDEMPOTENCY] = [_on("expiresAt", expireAfterSeconds=0)]
    await asyncio.gather(*(mongo.collection(name).create_indexes(indexes) for name, indexes in wanted.items()))
