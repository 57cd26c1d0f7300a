"""Updating: shipping, delivering and cancelling as in the previous system, by naming the desired status."""

from collections.abc import Callable, Sequence

from domain.errors import InvalidStatusTransition
from domain.ids import refuse_confusable
from domain.policy import AllocationPolicy

from .cancelling import cancel_all
from .commands import CreateShipment, UpdateStatus
from .events import OrderCancelled, ShipmentCreated, ShipmentDelivered
from .gathering import refuse_moving
from .holding import refuse_held
from .shipping import deliver, refuse_another, refuse_pending, ship_allocated, shipment_delivered
from .state import Order
from .status import OrderStatus, ShipmentStatus

Updated = ShipmentCreated | ShipmentDelivered | OrderCancelled


def update_status(command: UpdateStatus, order: Order) -> Sequence[Updated]:
    """Ship, deliver or cancel until the order has the requested status, as far as its units allow it."""
    return _UPDATES[command.status](command, order)


def _register(command: UpdateStatus, order: Order) -> Sequence[Updated]:
    if order.status is not OrderStatus.REGISTERED:
        raise _impossible(command, order)
    return []


def _ship_all(command: UpdateStatus, order: Order) -> Sequence[Updated]:
    if order.status is OrderStatus.SHIPPED or _known(command, order):
        return []
    if not order.total("unshipped"):
        raise _impossible(command, order)
    refuse_held(order)
    refuse_pending(order)
    if order.total("backordered"):
        raise _impossible(command, order)
    return _ship(command, order)


def _ship_some(command: UpdateStatus, order: Order) -> Sequence[Updated]:
    if _known(command, order):
        return []
    if order.total("allocated"):
        refuse_held(order)
        if order.policy is AllocationPolicy.ALL_OR_NOTHING:
            refuse_pending(order)
        return _ship(command, order)
    refuse_pending(order)
    if order.total("shipped") and not order.total("delivered"):
        return []
    raise _impossible(command, order)


def _known(command: UpdateStatus, order: Order) -> bool:
    """Return whether the shipment was created before; raise ShipmentExists if another shipment has its id."""
    shipment = None if command.shipment_id is None else order.shipment(command.shipment_id)
    if shipment is not None:
        refuse_another(shipment, CreateShipment(shipment_id=command.shipment_id))
    return shipment is not None


def _ship(command: UpdateStatus, order: Order) -> Sequence[Updated]:
    refuse_moving(order)
    assert command.shipment_id is not None, "identified() comes first"
    refuse_confusable("shipmentId", command.shipment_id)
    return ship_allocated(order, command.shipment_id)


def _deliver_all(command: UpdateStatus, order: Order) -> Sequence[Updated]:
    if order.total("unshipped"):
        raise _impossible(command, order)
    return _deliver(order)


def _deliver_some(command: UpdateStatus, order: Order) -> Sequence[Updated]:
    if not order.total("shipped"):
        raise _impossible(command, order)
    return _deliver(order)


def _deliver(order: Order) -> Sequence[Updated]:
    """Return one delivery per shipment in transit."""
    events: list[Updated] = []
    for shipment in order.shipments:
        if shipment.status in (ShipmentStatus.SHIPPED, ShipmentStatus.PARTIALLY_DELIVERED):
            events.append(delivered := deliver(order, shipment))
            order = shipment_delivered(order, delivered)  # totals of a line in two shipments build on each other
    return events


def _cancel(command: UpdateStatus, order: Order) -> Sequence[Updated]:
    return cancel_all(order, reason="")


def _impossible(command: UpdateStatus, order: Order) -> InvalidStatusTransition:
    return InvalidStatusTransition(status=order.status, asked=command.status)


_UPDATES: dict[OrderStatus, Callable[[UpdateStatus, Order], Sequence[Updated]]] = {
    OrderStatus.REGISTERED: _register,
    OrderStatus.PARTIALLY_SHIPPED: _ship_some,
    OrderStatus.SHIPPED: _ship_all,
    OrderStatus.PARTIALLY_DELIVERED: _deliver_some,
    OrderStatus.DELIVERED: _deliver_all,
    OrderStatus.CANCELLED: _cancel,
}
