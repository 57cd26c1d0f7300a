"""The `work_queue` read model: what the warehouse can pick of an order now, and since when.

What cannot be picked any more stays with `open: false`: a removed document could not guard against older events.
"""

from projections.document import Document

SHOWN = ("_id", "sequence", "customerId", "policy", "version", "createdAt", "updatedAt")


def document_of(order: Document) -> Document:
    """Return the queue's entry of an `orders` document, without lines while nothing can be picked."""
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
