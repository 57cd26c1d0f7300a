"""The `customer_orders` read model: what a customer's history shows of an order."""

from projections.document import Document, money_document
from projections.orders import OrderView


def document_of(view: OrderView) -> Document:
    """Return the history entry of an order; `itemCount` counts lines, `unitCount` what was ordered of them."""
    order = view.order
    status = order.allocation_status
    return {
        "_id": view.id,
        "sequence": view.version,
        "id": view.id,
        "customerId": order.customer_id,
        "status": order.status.value,
        "allocationStatus": status and status.value,
        "returnStatus": order.return_status.value,
        "totalCost": money_document(order.total_cost.amount, order.total_cost.currency),
        "itemCount": len(order.lines),
        "unitCount": order.total("ordered"),
        "version": view.version,
        "createdAt": view.created_at,
        "updatedAt": view.updated_at,
    }
