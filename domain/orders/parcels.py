"""How shipments and returns change an order."""

from domain.errors import CorruptHistory
from domain.frozen import replace

from .events import ReturnReceived, ReturnRequested, ShipmentCancelled, ShipmentCreated, ShipmentDelivered
from .lines import changed
from .state import Line, Order, Return, ReturnLineState, Shipment, ShipmentLine
from .status import ShipmentStatus, shipment_status


def shipped(order: Order, event: ShipmentCreated) -> Order:
    """Return `order` with one shipment more."""
    lines = tuple(ShipmentLine(line.line_id, line.quantity) for line in event.lines)
    status = ShipmentStatus.SHIPPED
    shipment = Shipment(event.shipment_id, status, lines, event.carrier, event.tracking_number, event.all_allocated)
    shipments = (*order.shipments, shipment)
    return changed(order, event.lines, lambda line, gone: _ship(line, gone.quantity), shipments=shipments)


def unshipped(order: Order, event: ShipmentCancelled) -> Order:
    """Return `order` with a shipment back on the shelf."""
    shipment = replace(_shipment(order, event.shipment_id), status=ShipmentStatus.CANCELLED)
    shipments = _with_shipment(order, shipment)
    return changed(order, event.lines, lambda line, back: _ship(line, -back.quantity), shipments=shipments)


def _ship(line: Line, quantity: int) -> Line:
    return replace(line, allocated=line.allocated - quantity, shipped=line.shipped + quantity)


def delivered(order: Order, event: ShipmentDelivered) -> Order:
    """Return `order` with more of a shipment delivered."""
    shipment = _shipment(order, event.shipment_id)
    arrived = {line.line_id: line.quantity for line in event.lines}
    lines = tuple(
        [
            ShipmentLine(line.line_id, line.quantity, line.delivered + latest, latest)
            for line in shipment.lines
            for latest in [arrived.get(line.line_id, 0)]
        ]
    )
    status = shipment_status(sum(line.quantity for line in lines), sum(line.delivered for line in lines))
    shipment = replace(shipment, lines=lines, status=status)
    shipments = _with_shipment(order, shipment)
    return changed(order, event.lines, lambda line, now: replace(line, delivered=now.delivered), shipments=shipments)


def return_requested(order: Order, event: ReturnRequested) -> Order:
    """Return `order` with one open return more."""
    lines = tuple(ReturnLineState(line.line_id, line.quantity) for line in event.lines)
    return replace(order, returns=(*order.returns, Return(event.return_id, True, lines, event.reason)))


def return_received(order: Order, event: ReturnReceived) -> Order:
    """Return `order` with a return counted in and closed."""
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
    return changed(
        order,
        event.lines,
        lambda line, now: replace(line, returned=now.total_received, damaged=now.total_damaged),
        returns=tuple(closed if old is back else old for old in order.returns),
    )


def _shipment(order: Order, shipment_id: str) -> Shipment:
    shipment = order.shipment(shipment_id)
    if shipment is None:
        raise CorruptHistory(f"no shipment {shipment_id}")
    return shipment


def _with_shipment(order: Order, shipment: Shipment) -> tuple[Shipment, ...]:
    return tuple(shipment if old.shipment_id == shipment.shipment_id else old for old in order.shipments)
