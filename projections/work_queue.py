"""The `work_queue` read model: the units of an order that the warehouse can pick now, and since when."""

from projections.document import Document
from projections.projection import Derived

PICKABLE = {"_pickableSince": {"$gt": ""}}  # as in its partial index

SHOWN = ("_id", "customerId", "policy", "version", "createdAt", "updatedAt")


def document_of(order: Document) -> Document:
    """Return the queue's entry of an order; it has no lines if nothing can be picked."""
    since = order["_pickableSince"]
    return {
        **{name: order[name] for name in SHOWN},
        "orderId": order["id"],
        "open": since is not None,
        "since": since,
        "lines": [
            {"lineId": item["lineId"], "productId": item["productId"], "quantity": item["allocated"]}
            for item in order["items"]
            if since is not None and item["allocated"]
        ],
    }


DERIVED = Derived(document_of, where=PICKABLE, sorts=("since", "-since"), made_of={"since": "_pickableSince"})
