"""The `work_queue` read model: the units of an order that the warehouse can pick now, and since when."""

from typing import Any

from domain.policy import DEFAULT_LOCATION
from projections.document import Document
from projections.projection import Derived

PICKABLE = {"_pickableSince": {"$gt": ""}}  # as in its partial index


def with_missing(asked: Any) -> Any:
    """Return the condition for orders to pick at locations, which finds orders without the field at `default`."""
    names = asked["$in"] if isinstance(asked, dict) else [asked]
    return {"$in": [None, *names]} if DEFAULT_LOCATION in names else asked


SHOWN = ("_id", "customerId", "policy", "version", "createdAt", "updatedAt")


def document_of(order: Document) -> Document:
    """Return the queue's entry of an order; it has no lines if nothing can be picked."""
    since = order["_pickableSince"]
    return {
        **{name: order[name] for name in SHOWN},
        "orderId": order["id"],
        "open": since is not None,
        "since": since,
        **{name: order[name] for name in ("shipBy", "late") if name in order},
        "lines": [line for item in order["items"] if since is not None and item["allocated"] for line in _lines(item)],
    }


def _lines(item: Document) -> list[Document]:
    """Return the allocated units of a line: as a whole, or by location if not all are at `default`."""
    line = {"lineId": item["lineId"], "productId": item["productId"]}
    if "locations" not in item:
        return [{**line, "quantity": item["allocated"]}]
    return [
        {**line, "quantity": each["allocated"], "location": each["location"]}
        for each in item["locations"]
        if each["allocated"]
    ]


DERIVED = Derived(document_of, where=PICKABLE, sorts=("since", "-since"), made_of={"since": "_pickableSince"})
