"""How events change an order: every event that `decide` returns applies, any other is a corrupt history."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Protocol

from domain.errors import CorruptHistory

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
from .state import Line, Order, Return, ReturnLineState, Shipment, ShipmentLine
from .status import ShipmentStatus, shipment_status


class _OfLine(Protocol):
    @property
    def line_id(self) -> str: ...


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
        lines=tuple(Line(new.line_id, new.product_id, new.price, new.quantity, new.quantity) for new in event.lines),
        policy=event.policy,
        total_cost=event.total_cost,
        shipping_address=event.shipping_address,
        billing_address=event.billing_address,
        issued_at=event.issued_at,
    )


def _recorded(order: Order, event: AllocationRecorded) -> Order:
    def change(line: Line, event: AllocationRecorded) -> Line:
        return replace(
            line,
            pending=event.pending,
            backordered=event.backordered,
            allocated=event.allocated,
            cancelled=event.cancelled,
            rejected=event.rejected,
            stock_version=event.stock_version,
        )

    return _changed(order, [event], change)


def _cancelled(order: Order, event: LinesCancelled | OrderCancelled) -> Order:
    return _changed(order, event.lines, lambda line, gone: cancel(line, gone.quantity))


def cancel(line: Line, quantity: int) -> Line:
    """Return `line` with `quantity` fewer units: pending ones go first, then backordered, then allocated ones."""
    pending = min(quantity, line.pending)
    backordered = min(quantity - pending, line.backordered)
    return replace(
        line,
        pending=line.pending - pending,
        backordered=line.backordered - backordered,
        allocated=line.allocated - (quantity - pending - backordered),
        cancelled=line.cancelled + quantity,
    )


def _held(order: Order, event: OrderHeld) -> Order:
    return replace(order, hold=event.reason)


def _released(order: Order, event: OrderReleased) -> Order:
    return replace(order, hold=None)


def _shipped(order: Order, event: ShipmentCreated) -> Order:
    lines = tuple(ShipmentLine(line.line_id, line.quantity) for line in event.lines)
    shipment = Shipment(event.shipment_id, ShipmentStatus.SHIPPED, lines, event.carrier, event.tracking_number)
    order = _changed(order, event.lines, lambda line, gone: _ship(line, gone.quantity))
    return replace(order, shipments=(*order.shipments, shipment))


def _unshipped(order: Order, event: ShipmentCancelled) -> Order:
    shipment = replace(_shipment(order, event.shipment_id), status=ShipmentStatus.CANCELLED)
    order = _changed(order, event.lines, lambda line, back: _ship(line, -back.quantity))
    return replace(order, shipments=_with_shipment(order, shipment))


def _ship(line: Line, quantity: int) -> Line:
    return replace(line, allocated=line.allocated - quantity, shipped=line.shipped + quantity)


def _delivered(order: Order, event: ShipmentDelivered) -> Order:
    shipment = _shipment(order, event.shipment_id)
    arrived = {line.line_id: line.quantity for line in event.lines}
    lines = tuple(replace(line, delivered=line.delivered + arrived.get(line.line_id, 0)) for line in shipment.lines)
    status = shipment_status(sum(line.quantity for line in lines), sum(line.delivered for line in lines))
    shipment = replace(shipment, lines=lines, status=status)
    order = _changed(order, event.lines, lambda line, now: replace(line, delivered=now.delivered))
    return replace(order, shipments=_with_shipment(order, shipment))


def _return_requested(order: Order, event: ReturnRequested) -> Order:
    lines = tuple(ReturnLineState(line.line_id, line.quantity) for line in event.lines)
    return replace(order, returns=(*order.returns, Return(event.return_id, True, lines, event.reason)))


def _return_received(order: Order, event: ReturnReceived) -> Order:
    back = order.return_(event.return_id)
    if back is None:
        raise CorruptHistory(f"no return {event.return_id}")
    counted = {line.line_id: line for line in event.lines}
    lines = tuple(
        replace(line, received=counted[line.line_id].received, damaged=counted[line.line_id].damaged)
        if line.line_id in counted
        else line
        for line in back.lines
    )
    closed = replace(back, open=False, lines=lines)
    order = _changed(
        order, event.lines, lambda line, now: replace(line, returned=now.total_received, damaged=now.total_damaged)
    )
    return replace(order, returns=tuple(closed if old is back else old for old in order.returns))


def _changed(order: Order, about: Iterable[Any], change: Callable[[Line, Any], Line]) -> Order:
    """Return `order` with `change` made to each line that an item of `about` names."""
    items = {item.line_id: item for item in about}
    lines = tuple(change(line, items.pop(line.line_id)) if line.line_id in items else line for line in order.lines)
    if items:
        raise CorruptHistory(f"no lines {', '.join(items)}")
    return replace(order, lines=lines)


def _shipment(order: Order, shipment_id: str) -> Shipment:
    shipment = order.shipment(shipment_id)
    if shipment is None:
        raise CorruptHistory(f"no shipment {shipment_id}")
    return shipment


def _with_shipment(order: Order, shipment: Shipment) -> tuple[Shipment, ...]:
    return tuple(shipment if old.shipment_id == shipment.shipment_id else old for old in order.shipments)


_EVOLVE: dict[type[OrderEvent], Callable[[Order, Any], Order]] = {
    AllocationRecorded: _recorded,
    LinesCancelled: _cancelled,
    OrderCancelled: _cancelled,
    OrderHeld: _held,
    OrderReleased: _released,
    ShipmentCreated: _shipped,
    ShipmentDelivered: _delivered,
    ShipmentCancelled: _unshipped,
    ReturnRequested: _return_requested,
    ReturnReceived: _return_received,
}
