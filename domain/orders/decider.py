"""An order at a glance: the decision for each command, and the change for each event."""

from collections.abc import Callable, Sequence
from typing import Any

from domain.errors import CorruptHistory, OrderNotFound

from . import commands, events
from .allocating import allocation_recorded, record_allocation
from .archiving import archived
from .cancelling import cancel_lines, cancel_order, cancelled, decide_cancelled
from .changing import add_line, change_quantity, lines_added, lines_reduced, replace_product
from .commands import OrderCommand
from .deadlines import ReachDeadline, order_late, reach_deadline
from .events import OrderEvent
from .gathering import location_proposed
from .holding import held, hold, release, released
from .losing import close_shipment, shipment_closed
from .placing import place, placed
from .readdressing import change_policy, change_shipping_address, policy_changed, shipping_address_changed
from .returning import receive_return, request_return, return_received, return_requested
from .shipping import (
    cancel_shipment,
    create_shipment,
    deliver_shipment,
    shipment_cancelled,
    shipment_created,
    shipment_delivered,
)
from .state import Order, OrderState
from .updating import update_status

DECISIONS: dict[type[OrderCommand], Callable[[Any, Any], Sequence[OrderEvent]]] = {
    commands.PlaceOrder: place,  # decided with the OrderState; all others with its order
    commands.CancelOrder: cancel_order,
    commands.CancelLines: cancel_lines,
    commands.Hold: hold,
    commands.Release: release,
    commands.AddLine: add_line,
    commands.ChangeQuantity: change_quantity,
    commands.ReplaceProduct: replace_product,
    commands.ChangeShippingAddress: change_shipping_address,
    commands.ChangePolicy: change_policy,
    commands.CreateShipment: create_shipment,
    commands.DeliverShipment: deliver_shipment,
    commands.CloseShipment: close_shipment,
    commands.CancelShipment: cancel_shipment,
    commands.RequestReturn: request_return,
    commands.ReceiveReturn: receive_return,
    commands.UpdateStatus: update_status,
    commands.RecordAllocation: record_allocation,
}

BY_TIME = {ReachDeadline: reach_deadline}  # decided when a timer is due; clients cannot send these commands

CHANGES: dict[type[OrderEvent], Callable[[Any, Any], Order]] = {
    events.OrderPlaced: placed,  # applied to None; all others to the order
    events.AllocationRecorded: allocation_recorded,
    events.LocationProposed: location_proposed,
    events.LinesAdded: lines_added,
    events.LinesReduced: lines_reduced,
    events.LinesCancelled: cancelled,
    events.OrderCancelled: cancelled,
    events.OrderLate: order_late,
    events.OrderHeld: held,
    events.OrderReleased: released,
    events.ShippingAddressChanged: shipping_address_changed,
    events.PolicyChanged: policy_changed,
    events.OrderArchived: archived,
    events.ShipmentCreated: shipment_created,
    events.ShipmentDelivered: shipment_delivered,
    events.ShipmentClosed: shipment_closed,
    events.ShipmentCancelled: shipment_cancelled,
    events.ReturnRequested: return_requested,
    events.ReturnReceived: return_received,
}


def decide(command: OrderCommand | ReachDeadline, state: OrderState) -> Sequence[OrderEvent]:
    """Return the events `command` causes, none if they already happened; raise a Rejection if it is refused.

    Commands that create shipments or returns must have passed `identified`.
    """
    if isinstance(command, commands.PlaceOrder):
        return place(command, state)
    order = state.order
    if order is None:
        raise OrderNotFound(orderId=state.order_id)
    if isinstance(command, ReachDeadline):
        return reach_deadline(command, order)
    if order.cancelled and not isinstance(command, commands.RecordAllocation):
        return decide_cancelled(command, order)
    return DECISIONS[type(command)](command, order)


def evolve(state: OrderState, event: OrderEvent) -> OrderState:
    """Return `state` after `event`."""
    return OrderState(state.order_id, evolve_order(state.order, event))


def evolve_order(order: Order | None, event: OrderEvent) -> Order:
    """Return `order` after `event`; raise CorruptHistory if the event cannot have followed."""
    if order is None and not isinstance(event, events.OrderPlaced):
        raise CorruptHistory(f"{type(event).__name__} before the order was placed")
    if order is not None and isinstance(event, events.OrderPlaced):
        raise CorruptHistory("an order was placed twice")
    return CHANGES[type(event)](order, event)
