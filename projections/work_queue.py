"""The `work_queue` read model: what the warehouse can pick of an order now, and since when.

What cannot be picked any more stays with `open: false`: a removed document could not guard against older events.
"""

from projections.document import Document
from projections.orders import OrderView


def document_of(view: OrderView) -> Document:
    """Return the queue's entry of an order, without lines while nothing can be picked."""
    is_open = view.pickable_since is not None
    lines = [
        {"lineId": line.line_id, "productId": line.product_id, "quantity": line.allocated}
        for line in view.order.lines
        if is_open and line.allocated
    ]
    return {
        "_id": view.id,
        "sequence": view.version,
        "orderId": view.id,
        "customerId": view.order.customer_id,
        "open": is_open,
        "since": view.pickable_since,
        "policy": view.order.policy.value,
        "lines": lines,
        "version": view.version,
        "createdAt": view.created_at,
        "updatedAt": view.updated_at,
    }
