"""What an order answers to a command: the events it causes, or a rejection."""

from collections.abc import Callable
from typing import Any

from domain.errors import CancelledOrderModification, OrderNotFound

from .cancel import cancel_lines, cancel_order
from .commands import (
    CancelLines,
    CancelOrder,
    CancelShipment,
    CreateShipment,
    DeliverShipment,
    Hold,
    OrderCommand,
    PlaceOrder,
    ReceiveReturn,
    RecordAllocation,
    Release,
    RequestReturn,
    UpdateStatus,
)
from .events import OrderEvent, OrderHeld, OrderReleased
from .give_back import receive_return, request_return
from .place import place
from .record import record_allocation
from .ship import cancel_shipment, create_shipment, deliver_shipment
from .state import Order
from .status import OrderStatus
from .update import update_status


def decide(command: OrderCommand, order: Order | None, order_id: str) -> list[OrderEvent]:
    """Return the events `command` causes, none if they already happened; raise a Rejection where it is refused.

    Commands that create shipments or returns must have been `identified`.
    """
    if isinstance(command, PlaceOrder):
        return place(command, order, order_id)
    if order is None:
        raise OrderNotFound(orderId=order_id)
    if order.cancelled:
        return _decide_cancelled(command, order)
    return _DECIDE[type(command)](command, order, order_id)


def _decide_cancelled(command: OrderCommand, order: Order) -> list[OrderEvent]:
    """A cancelled order stays as it is: only what changes nothing is accepted."""
    match command:
        case CancelOrder() | UpdateStatus(status=OrderStatus.CANCELLED) | RecordAllocation():
            return []
        case Release() if order.hold is None:
            return []
    raise CancelledOrderModification()


def _hold(command: Hold, order: Order, order_id: str) -> list[OrderEvent]:
    return [] if order.hold == command.reason else [OrderHeld(reason=command.reason)]


def _release(command: Release, order: Order, order_id: str) -> list[OrderEvent]:
    return [] if order.hold is None else [OrderReleased()]


_DECIDE: dict[type[OrderCommand], Callable[[Any, Order, str], list[OrderEvent]]] = {
    CancelOrder: cancel_order,
    CancelLines: cancel_lines,
    Hold: _hold,
    Release: _release,
    CreateShipment: create_shipment,
    DeliverShipment: deliver_shipment,
    CancelShipment: cancel_shipment,
    RequestReturn: request_return,
    ReceiveReturn: receive_return,
    UpdateStatus: update_status,
    RecordAllocation: record_allocation,
}
