"""Shipping: a shipment from allocated units to delivered ones.

SHIPPED → PARTIALLY_DELIVERED → DELIVERED
SHIPPED or PARTIALLY_DELIVERED → CLOSED, and the units that were not delivered are lost
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
    ShipmentIsClosed,
    ShipmentNotFound,
)
from domain.ids import refuse_confusable
from domain.message import differing
from domain.policy import DEFAULT_LOCATION, AllocationPolicy

from .commands import CancelShipment, CreateShipment, DeliverShipment, LineQuantity, Rest
from .events import DeliveredLine, ShipmentCancelled, ShipmentCreated, ShipmentDelivered, ShippedLine
from .gathering import refuse_moving
from .holding import refuse_held
from .lines import named_lines, summed, with_lines
from .locating import all_at, location_of, locations_of, shipment_ids
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
    refuse_moving(order)
    if command.lines is None or order.policy is AllocationPolicy.ALL_OR_NOTHING:
        refuse_pending(order)
    if command.lines is not None:
        lines = _asked(order, command.lines)
    elif command.location is None:
        lines = _all_allocated(order)
    else:
        lines = all_at(order, command.location) or _all_allocated(order)
    return [
        ShipmentCreated(
            shipment_id=command.shipment_id,
            lines=tuple(_shipped_line(line, quantity) for line, quantity in lines),
            carrier=command.carrier,
            tracking_number=command.tracking_number,
            all_allocated=command.lines is None,
            location=location_of(order, lines, command.location),
        )
    ]


def ship_allocated(order: Order, shipment_id: str) -> list[ShipmentCreated]:
    """Return shipments of all allocated units, one from each location."""
    events = []
    for location, identifier in zip(locations_of(order), shipment_ids(shipment_id), strict=False):
        refuse_more_shipments(order)
        lines = all_at(order, location)
        event = ShipmentCreated(
            shipment_id=identifier,
            lines=tuple(_shipped_line(line, units) for line, units in lines),
            all_allocated=True,
            location=None if location == DEFAULT_LOCATION else location,
        )
        events.append(event)
        order = shipment_created(order, event)  # totals of a line in two shipments build on each other
    return events


def refuse_another(shipment: Shipment, command: CreateShipment) -> None:
    """Raise ShipmentExists if `shipment` was cancelled or differs from the one that `command` creates."""
    same_place = command.location in (None, shipment.location or DEFAULT_LOCATION)
    differs = differing(command, shipment, {"lines": _same_lines(shipment, command.lines), "location": same_place})
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
        line_id=line.line_id,
        product_id=line.product_id,
        quantity=quantity,
        shipped=line.shipped + line.lost + quantity,
    )


def shipment_created(order: Order, event: ShipmentCreated) -> Order:
    """Return `order` with another shipment."""
    lines = tuple(ShipmentLine(line.line_id, line.quantity) for line in event.lines)
    status = ShipmentStatus.SHIPPED
    shipment = Shipment(
        event.shipment_id,
        status,
        lines,
        event.carrier,
        event.tracking_number,
        event.all_allocated,
        event.location,
    )
    shipments = (*order.shipments, shipment)
    return with_lines(order, event.lines, lambda line, item: _shipped(line, item.quantity), shipments=shipments)


def _shipped(line: Line, quantity: int) -> Line:
    return replace(line, allocated=line.allocated - quantity, shipped=line.shipped + quantity)


# --- deliver it, at once or in parts


def deliver_shipment(command: DeliverShipment, order: Order) -> list[ShipmentDelivered]:
    """Record the delivery of the lines the command names, or of all units under way."""
    shipment = existing(order, command.shipment_id)
    if shipment.status is ShipmentStatus.CANCELLED:
        raise ShipmentIsCancelled(shipmentId=shipment.shipment_id)
    if shipment.status is ShipmentStatus.CLOSED:
        raise ShipmentIsClosed(shipmentId=shipment.shipment_id)
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
    shipment = known(order, event.shipment_id)
    arrived = {line.line_id: line.quantity for line in event.lines}
    lines = tuple(
        [
            ShipmentLine(line.line_id, line.quantity, line.delivered + latest, latest)
            for line in shipment.lines
            for latest in [arrived.get(line.line_id, 0)]
        ]
    )
    status = _status(sum(line.quantity for line in lines), sum(line.delivered for line in lines))
    shipments = with_shipment(order, replace(shipment, lines=lines, status=status))
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
    shipment = existing(order, command.shipment_id)
    if shipment.status is ShipmentStatus.CANCELLED:
        return []
    if shipment.status is ShipmentStatus.CLOSED:
        raise ShipmentIsClosed(shipmentId=shipment.shipment_id)
    if shipment.status is not ShipmentStatus.SHIPPED:
        raise ShipmentAlreadyDelivered(shipmentId=shipment.shipment_id)
    quantities = {line.line_id: line.quantity for line in shipment.lines}
    lines = tuple(
        ShippedLine(
            line_id=line.line_id,
            product_id=line.product_id,
            quantity=quantities[line.line_id],
            shipped=line.shipped + line.lost - quantities[line.line_id],
        )
        for line in order.lines
        if line.line_id in quantities
    )
    return [ShipmentCancelled(shipment_id=shipment.shipment_id, lines=lines, location=shipment.location)]


def shipment_cancelled(order: Order, event: ShipmentCancelled) -> Order:
    """Return `order` with the units of a shipment allocated again."""
    shipment = replace(known(order, event.shipment_id), status=ShipmentStatus.CANCELLED)
    shipments = with_shipment(order, shipment)
    return with_lines(order, event.lines, lambda line, item: _shipped(line, -item.quantity), shipments=shipments)


def existing(order: Order, shipment_id: str) -> Shipment:
    """Return the shipment a command names."""
    shipment = order.shipment(shipment_id)
    if shipment is None:
        raise ShipmentNotFound(shipmentId=shipment_id)
    return shipment


def refuse_another_rest(shipment: Shipment, rest: Rest) -> None:
    """Raise ShipmentIsClosed if the rest of a closed shipment is treated differently; older code did not keep that."""
    if shipment.rest not in (None, rest):
        raise ShipmentIsClosed(shipmentId=shipment.shipment_id)


def known(order: Order, shipment_id: str) -> Shipment:
    """Return the shipment an event names."""
    shipment = order.shipment(shipment_id)
    if shipment is None:
        raise CorruptHistory(f"no shipment {shipment_id}")
    return shipment


def with_shipment(order: Order, shipment: Shipment) -> tuple[Shipment, ...]:
    """Return the shipments of `order` with one of them changed."""
    return tuple(shipment if old.shipment_id == shipment.shipment_id else old for old in order.shipments)
