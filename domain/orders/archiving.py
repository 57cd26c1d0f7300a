"""Archiving closed orders: nothing about the order changes, but it is stored where it takes less space.

No command causes it. The worker that owns an order archives it when it has not changed for a long time.
"""

from .deadlines import next_deadline
from .events import OrderArchived
from .state import Order
from .status import OrderStatus

CLOSED = frozenset({OrderStatus.DELIVERED, OrderStatus.CANCELLED})


def archive(order: Order) -> list[OrderArchived]:
    """Archive an order that was delivered or cancelled, and that has no deadline left."""
    return [OrderArchived()] if order.status in CLOSED and next_deadline(order) is None else []


def archived(order: Order, _: OrderArchived) -> Order:
    """Return `order` as it is."""
    return order
