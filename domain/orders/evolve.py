"""How events change an order: every event that `decide` returns applies, any other is a corrupt history."""

from collections.abc import Callable
from typing import Any

from domain.errors import CorruptHistory
from domain.frozen import replace

from .events import (
    AllocationRecorded,
    LinesCancelled,
    OrderCancelled,
    OrderEvent,
    OrderHeld,
    OrderPlaced,
    OrderReleased,
    ReturnReceived,
    ReturnRequested,
    ShipmentCancelled,
    ShipmentCreated,
    ShipmentDelivered,
)
from .lines import cancelled, recorded
from .parcels import delivered, return_received, return_requested, shipped, unshipped
from .state import Line, Order


def evolve(order: Order | None, event: OrderEvent) -> Order:
    """Return `order` after `event`; CorruptHistory when the event cannot have followed."""
    if isinstance(event, OrderPlaced):
        if order is not None:
            raise CorruptHistory("an order was placed twice")
        return _placed(event)
    if order is None:
        raise CorruptHistory(f"{type(event).__name__} before the order was placed")
    return _EVOLVE[type(event)](order, event)


def _placed(event: OrderPlaced) -> Order:
    return Order(
        customer_id=event.customer_id,
        lines=tuple([Line(new.line_id, new.product_id, new.price, new.quantity, new.quantity) for new in event.lines]),
        policy=event.policy,
        total_cost=event.total_cost,
        shipping_address=event.shipping_address,
        billing_address=event.billing_address,
        issued_at=event.issued_at,
    )


def _held(order: Order, event: OrderHeld) -> Order:
    return replace(order, hold=event.reason)


def _released(order: Order, event: OrderReleased) -> Order:
    return replace(order, hold=None)


_EVOLVE: dict[type[OrderEvent], Callable[[Order, Any], Order]] = {
    AllocationRecorded: recorded,
    LinesCancelled: cancelled,
    OrderCancelled: cancelled,
    OrderHeld: _held,
    OrderReleased: _released,
    ShipmentCreated: shipped,
    ShipmentDelivered: delivered,
    ShipmentCancelled: unshipped,
    ReturnRequested: return_requested,
    ReturnReceived: return_received,
}
