"""The `customer_orders` read model: an order as an entry of its customer's history."""

from projections.document import Document
from projections.projection import Derived

SHOWN = (
    "_id", "id", "customerId", "status", "allocationStatus", "returnStatus", "totalCost", "version",
    "createdAt", "updatedAt",
)  # fmt: skip


def document_of(order: Document) -> Document:
    """Return the history entry of an order; `itemCount` counts lines and `unitCount` ordered units."""
    items = order["items"]
    return {
        **{name: order[name] for name in SHOWN},
        **({"archivedAt": order["archivedAt"]} if "archivedAt" in order else {}),
        "itemCount": len(items),
        "unitCount": sum([item["quantity"] for item in items]),
    }


DERIVED = Derived(document_of, sorts=("-createdAt", "createdAt"))
