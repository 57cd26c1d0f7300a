"""Shipping: a shipment from allocated units to delivered ones.

SHIPPED → PARTIALLY_DELIVERED → DELIVERED
SHIPPED → CANCELLED, and its units are allocated again
"""

from msgspec.structs import replace

from domain.errors import (
    AllocationPending,
    CorruptHistory,
    LineNotFound,
    MoreThanShipped,
    NotAllocated,
    ShipmentAlreadyDelivered,
    ShipmentExists,
    ShipmentIsCancelled,
    ShipmentNotFound,
)
from domain.ids import refuse_confusable
from domain.message import differing
from domain.policy import AllocationPolicy

from .commands import CancelShipment, CreateShipment, DeliverShipment, LineQuantity
from .events import DeliveredLine, ShipmentCancelled, ShipmentCreated, ShipmentDelivered, ShippedLine
from .holding import refuse_held
from .lines import named_lines, summed, with_lines
from .room import refuse_more_shipments
from .state import Line, Order, Shipment, ShipmentLine
from .status import ShipmentStatus

# --- create a shipment


def create_shipment(command: CreateShipment, order: Order) -> list[ShipmentCreated]:
    """Ship the lines the command names, or all allocated units once no line is pending."""
    assert command.shipment_id is not None, "identified() comes first"
    if (shipment := order.shipment(command.shipment_id)) is not None:
        refuse_another(shipment, command)
        return []
    refuse_confusable("shipmentId", command.shipment_id)
    refuse_more_shipments(order)
    refuse_held(order)
    if command.lines is None or order.policy is AllocationPolicy.ALL_OR_NOTHING:
        refuse_pending(order)
    lines = _all_allocated(order) if command.lines is None else _asked(order, command.lines)
    return [
        ShipmentCreated(
            shipment_id=command.shipment_id,
            lines=tuple(_shipped_line(line, quantity) for line, quantity in lines),
            carrier=command.carrier,
            tracking_number=command.tracking_number,
            all_allocated=command.lines is None,
        )
    ]


def ship_allocated(order: Order, shipment_id: str) -> ShipmentCreated:
    """Return the shipment of all allocated units."""
    refuse_more_shipments(order)
    lines = tuple(_shipped_line(line, line.allocated) for line in order.lines if line.allocated)
    return ShipmentCreated(shipment_id=shipment_id, lines=lines, all_allocated=True)


def refuse_another(shipment: Shipment, command: CreateShipment) -> None:
    """Raise ShipmentExists if `shipment` was cancelled or differs from the one that `command` creates."""
    differs = differing(command, shipment, {"lines": _same_lines(shipment, command.lines)})
    if differs or shipment.status is ShipmentStatus.CANCELLED:
        raise ShipmentExists(
            shipmentId=shipment.shipment_id,
            status=shipment.status,
            lines=[{"lineId": line.line_id, "quantity": line.quantity} for line in shipment.lines],
            carrier=shipment.carrier,
            trackingNumber=shipment.tracking_number,
        )


def _same_lines(shipment: Shipment, asked: tuple[LineQuantity, ...] | None) -> bool:
    if asked is None:
        return shipment.all_allocated is not False
    return summed(asked) == {line.line_id: line.quantity for line in shipment.lines}


def refuse_pending(order: Order) -> None:
    """Raise AllocationPending while stock has not answered for every line."""
    if pending := [line.line_id for line in order.lines if line.pending]:
        raise AllocationPending(lines=pending)


def _all_allocated(order: Order) -> list[tuple[Line, int]]:
    if allocated := [(line, line.allocated) for line in order.lines if line.allocated]:
        return allocated
    first = next((line for line in order.lines if line.unshipped), order.lines[0])
    raise NotAllocated(lineId=first.line_id, asked=first.unshipped, allocated=0)


def _asked(order: Order, asked: tuple[LineQuantity, ...]) -> list[tuple[Line, int]]:
    lines = named_lines(order, asked)
    for line, quantity in lines:
        if quantity > line.allocated and line.pending:
            raise AllocationPending(lines=[line.line_id])
        if quantity > line.allocated:
            raise NotAllocated(lineId=line.line_id, asked=quantity, allocated=line.allocated)
    return lines


def _shipped_line(line: Line, quantity: int) -> ShippedLine:
    return ShippedLine(
        line_id=line.line_id, product_id=line.product_id, quantity=quantity, shipped=line.shipped + quantity
    )


def shipment_created(order: Order, event: ShipmentCreated) -> Order:
    """Return `order` with another shipment."""
    lines = tuple(ShipmentLine(line.line_id, line.quantity) for line in event.lines)
    status = ShipmentStatus.SHIPPED
    shipment = Shipment(event.shipment_id, status, lines, event.carrier, event.tracking_number, event.all_allocated)
    shipments = (*order.shipments, shipment)
    return with_lines(order, event.lines, lambda line, item: _shipped(line, item.quantity), shipments=shipments)


def _shipped(line: Line, quantity: int) -> Line:
    return replace(line, allocated=line.allocated - quantity, shipped=line.shipped + quantity)


# --- deliver it, at once or in parts


def deliver_shipment(command: DeliverShipment, order: Order) -> list[ShipmentDelivered]:
    """Record the delivery of the lines the command names, or of all units under way."""
    shipment = _existing(order, command.shipment_id)
    if shipment.status is ShipmentStatus.CANCELLED:
        raise ShipmentIsCancelled(shipmentId=shipment.shipment_id)
    if shipment.status is ShipmentStatus.DELIVERED and _as_delivered(shipment, command.lines):
        return []
    return [deliver(order, shipment, command.lines)]


def _as_delivered(shipment: Shipment, asked: tuple[LineQuantity, ...] | None) -> bool:
    """Return whether `asked` repeats how a delivered shipment arrived: as a whole, or its latest delivery."""
    if asked is None:
        return True
    quantities = summed(asked)
    whole = {line.line_id: line.quantity for line in shipment.lines}
    latest = {line.line_id: line.latest for line in shipment.lines if line.latest}
    if not latest:  # recorded before deliveries were remembered: any part of it may have been the latest
        return all(quantity <= whole.get(line_id, 0) for line_id, quantity in quantities.items())
    return quantities in (whole, latest)


def deliver(order: Order, shipment: Shipment, asked: tuple[LineQuantity, ...] | None = None) -> ShipmentDelivered:
    """Return the delivery of the given lines, or of all units of `shipment` in transit."""
    under_way = {line.line_id: line.undelivered for line in shipment.lines if asked is not None or line.undelivered}
    quantities = under_way if asked is None else summed(asked)
    for line_id, quantity in quantities.items():
        if line_id not in under_way:
            raise LineNotFound(lineId=line_id)
        if quantity > under_way[line_id]:
            raise MoreThanShipped(lineId=line_id, asked=quantity, undelivered=under_way[line_id])
    lines = tuple(
        DeliveredLine(
            line_id=line.line_id,
            quantity=quantities[line.line_id],
            delivered=line.delivered + quantities[line.line_id],
        )
        for line in order.lines
        if line.line_id in quantities
    )
    return ShipmentDelivered(shipment_id=shipment.shipment_id, lines=lines)


def shipment_delivered(order: Order, event: ShipmentDelivered) -> Order:
    """Return `order` with more units of a shipment delivered."""
    shipment = _known(order, event.shipment_id)
    arrived = {line.line_id: line.quantity for line in event.lines}
    lines = tuple(
        [
            ShipmentLine(line.line_id, line.quantity, line.delivered + latest, latest)
            for line in shipment.lines
            for latest in [arrived.get(line.line_id, 0)]
        ]
    )
    status = _status(sum(line.quantity for line in lines), sum(line.delivered for line in lines))
    shipments = _with_shipment(order, replace(shipment, lines=lines, status=status))
    return with_lines(
        order, event.lines, lambda line, item: replace(line, delivered=item.delivered), shipments=shipments
    )


def _status(shipped: int, delivered: int) -> ShipmentStatus:
    if delivered == 0:
        return ShipmentStatus.SHIPPED
    return ShipmentStatus.DELIVERED if delivered == shipped else ShipmentStatus.PARTIALLY_DELIVERED


# --- cancel it


def cancel_shipment(command: CancelShipment, order: Order) -> list[ShipmentCancelled]:
    """Cancel a shipment of which no unit is delivered; its units are allocated again."""
    shipment = _existing(order, command.shipment_id)
    if shipment.status is ShipmentStatus.CANCELLED:
        return []
    if shipment.status is not ShipmentStatus.SHIPPED:
        raise ShipmentAlreadyDelivered(shipmentId=shipment.shipment_id)
    quantities = {line.line_id: line.quantity for line in shipment.lines}
    lines = tuple(
        ShippedLine(
            line_id=line.line_id,
            product_id=line.product_id,
            quantity=quantities[line.line_id],
            shipped=line.shipped - quantities[line.line_id],
        )
        for line in order.lines
        if line.line_id in quantities
    )
    return [ShipmentCancelled(shipment_id=shipment.shipment_id, lines=lines)]


def shipment_cancelled(order: Order, event: ShipmentCancelled) -> Order:
    """Return `order` with the units of a shipment allocated again."""
    shipment = replace(_known(order, event.shipment_id), status=ShipmentStatus.CANCELLED)
    shipments = _with_shipment(order, shipment)
    return with_lines(order, event.lines, lambda line, item: _shipped(line, -item.quantity), shipments=shipments)


def _existing(order: Order, shipment_id: str) -> Shipment:
    """Return the shipment a command names."""
    shipment = order.shipment(shipment_id)
    if shipment is None:
        raise ShipmentNotFound(shipmentId=shipment_id)
    return shipment


def _known(order: Order, shipment_id: str) -> Shipment:
    """Return the shipment an event names."""
    shipment = order.shipment(shipment_id)
    if shipment is None:
        raise CorruptHistory(f"no shipment {shipment_id}")
    return shipment


def _with_shipment(order: Order, shipment: Shipment) -> tuple[Shipment, ...]:
    return tuple(shipment if old.shipment_id == shipment.shipment_id else old for old in order.shipments)
