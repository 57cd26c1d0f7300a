"""The collections and their indexes, as a table: one index for every way in which the API filters, sorts and pages.

Lists are paged by (sort key, `_id`), so each index ends in both. The fields before them are filters; of a filter with
few values, an index answers questions without it, too (`projections/mongo/plans.py`). Every write of a projector
maintains every index. Logs of events are sorted by `_id` themselves (clustered) and need no index for their lists.
"""

import asyncio
from collections.abc import Iterable
from typing import Any

from pymongo import ASCENDING, IndexModel
from pymongo.errors import OperationFailure

from projections.mongo.client import Mongo
from projections.projection import Log, Projection
from projections.work_queue import PICKABLE

# Both types, as a range of names.
TURNED: dict[str, Any] = {"type": {"$gte": "ProductDiscontinued", "$lte": "ProductReactivated"}}
HELD: dict[str, Any] = {"hold.reason": {"$exists": True}}
SHORT: dict[str, Any] = {"backorderedQuantity": {"$gt": 0}}
WAITING: dict[str, Any] = {"waiting": {"$gt": 0}}
REFUSED: dict[str, Any] = {"status": "rejected"}
NAMESPACE_EXISTS = 48
LATE: dict[str, Any] = {"late": True}
ELSEWHERE: dict[str, Any] = {"location": {"$gt": ""}}  # orders with units at other locations than `default`
PROGRESS, IDEMPOTENCY = "projections", "idempotency"


def _on(*fields: str, **options: Any) -> IndexModel:
    return IndexModel([(field, ASCENDING) for field in fields], **options)


LISTED: list[IndexModel] = [
    _on("createdAt", "_id"),
    _on("status", "allocationStatus", "createdAt", "_id"),
    _on("status", "allocationStatus", "updatedAt", "_id"),
    _on("customerId", "status", "allocationStatus", "createdAt", "_id"),
    _on("customerId", "status", "allocationStatus", "updatedAt", "_id"),
]
READ_MODELS: dict[str, list[IndexModel]] = {
    "orders": [
        *LISTED,
        _on("_pickableSince", "_id", partialFilterExpression=PICKABLE),
        _on("customerId", "_pickableSince", "_id", partialFilterExpression=PICKABLE),
        _on("late", "_pickableSince", "_id", partialFilterExpression=PICKABLE | LATE),
        _on("location", "_pickableSince", "_id", partialFilterExpression=PICKABLE | ELSEWHERE),
        _on("customerId", "location", "_pickableSince", "_id", partialFilterExpression=PICKABLE | ELSEWHERE),
        _on("customerId", "late", "_pickableSince", "_id", partialFilterExpression=PICKABLE | LATE),
    ],
    "orders_archive": LISTED,
    "order_events": [],
    "order_counts": [],
    "inventory": [
        _on("exists", "status", "_id"),
        _on("backorderedQuantity", "_id", partialFilterExpression=SHORT),
    ],
    "product_counts": [],
    "reservations": [
        _on("productId", "open", "_id"),
        _on("productId", "place", "_id", partialFilterExpression=WAITING),
    ],
    "stock_ledger": [_on("type", "_id", partialFilterExpression=TURNED)],
    "customer_summary": [_on("customerId")],
    "commands": [
        _on("_expiresAt", expireAfterSeconds=0),
        _on("aggregate", "aggregateId", "time", "_id", partialFilterExpression=REFUSED),
    ],
}


UNCOUNTED: dict[str, list[IndexModel]] = {  # for shapes 1 and 2: they count documents, and read more than they show
    "orders": [
        _on("createdAt", "_id"),
        _on("updatedAt", "_id"),
        _on("status", "createdAt", "_id"),
        _on("allocationStatus", "createdAt", "_id"),
        _on("customerId", "createdAt", "_id"),
        _on("_pickableSince", "_id", partialFilterExpression=PICKABLE),
        _on("hold.reason", "_id", partialFilterExpression=HELD),
        _on("late", "_id", partialFilterExpression=LATE),
    ],
    "inventory": [
        _on("status", "_id"),
        _on("backorderedQuantity", "_id", partialFilterExpression=SHORT),
    ],
    "reservations": [
        _on("productId", "open", "_id"),
        _on("productId", "place", partialFilterExpression=WAITING),
    ],
}
OLDER: dict[str, list[IndexModel]] = {  # for logs whose entries have the ids of their events
    "order_events": [_on("orderId", "sequence", "_id")],
    "stock_ledger": [
        _on("productId", "sequence", "_id"),
        _on("productId", "sequence", partialFilterExpression=TURNED),
    ],
}


def indexes_of(projection: Projection, name: str) -> list[IndexModel]:
    """Return the indexes of a collection (its name without version)."""
    if name in projection.logs and projection.logs[name].namesakes:
        return OLDER[name]
    return READ_MODELS[name] if projection.tallies else UNCOUNTED.get(name, READ_MODELS[name])


async def create_collections(mongo: Mongo, projections: Iterable[Projection]) -> None:
    """Create the collections of `projections` for which MongoDB's defaults do not fit."""
    clustered = {p.collection(name) for p in projections for name, log in p.logs.items() if is_clustered(log)}
    if not clustered:
        return
    there = set(await mongo.database.list_collection_names(filter={"name": {"$in": sorted(clustered)}}))
    await asyncio.gather(*(_create(mongo, name) for name in clustered - there))


def is_clustered(log: Log) -> bool:
    """Return whether the entries of a log are sorted by their `_id`."""
    return log.history is not None and log.history.order == "_id"


async def _create(mongo: Mongo, name: str) -> None:
    by_id = {"key": {"_id": 1}, "unique": True}
    try:
        await mongo.database.create_collection(name, check_exists=False, clusteredIndex=by_id)
    except OperationFailure as error:
        if error.code != NAMESPACE_EXISTS:  # another process created it first
            raise


async def create_indexes(mongo: Mongo, projections: Iterable[Projection]) -> None:
    """Create the missing collections of `projections`, and those without a version, with their indexes."""
    projections = list(projections)
    await create_collections(mongo, projections)
    wanted = {
        p.collection(name): indexes for p in projections for name in p.collections if (indexes := indexes_of(p, name))
    }
    wanted[IDEMPOTENCY] = [_on("expiresAt", expireAfterSeconds=0)]
    await asyncio.gather(*(mongo.collection(name).create_indexes(indexes) for name, indexes in wanted.items()))
