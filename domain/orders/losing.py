"""Losing: units of a shipment that will not arrive. They are sent again, or written off."""

from msgspec.structs import replace

from domain.errors import ShipmentAlreadyDelivered, ShipmentIsCancelled

from .changing import added
from .commands import CloseShipment, Rest, WhenOver
from .events import AddedLine, LinesAdded, LostLine, OrderHeld, ShipmentClosed
from .lines import part_id, with_lines
from .shipping import existing, known, refuse_another_rest, with_shipment
from .state import Order, Shipment
from .status import ShipmentStatus


def close_shipment(command: CloseShipment, order: Order) -> list[ShipmentClosed | LinesAdded | OrderHeld]:
    """Close a shipment with the units that were delivered; no event if it is closed like this already."""
    shipment = existing(order, command.shipment_id)
    if shipment.status is ShipmentStatus.CANCELLED:
        raise ShipmentIsCancelled(shipmentId=shipment.shipment_id)
    if shipment.status is ShipmentStatus.DELIVERED:
        raise ShipmentAlreadyDelivered(shipmentId=shipment.shipment_id)
    if shipment.status is ShipmentStatus.CLOSED:
        refuse_another_rest(shipment, command.rest)
        return []
    lines = _lost(order, shipment)
    closed = ShipmentClosed(shipment_id=shipment.shipment_id, lines=lines, rest=command.rest, reason=command.reason)
    if command.rest is Rest.WRITE_OFF:
        return [closed]
    # in this order: the order is not cancelled in between
    return [added(order, _sent_again(order, lines)), *_only_released(order), closed]


def _only_released(order: Order) -> list[OrderHeld]:
    """Return the holds that would cancel units as holds that just end, if the order has no units left to cancel.

    Their deadline may have passed without effect. It must not cancel the units that are sent again now.
    """
    if order.total("unshipped"):
        return []
    release = WhenOver.RELEASE
    return [
        OrderHeld(reason=hold.reason, hold_id=hold.hold_id, until=hold.until, when_over=release)
        for hold in order.held
        if hold.when_over is WhenOver.CANCEL
    ]


def _sent_again(order: Order, lost: tuple[LostLine, ...]) -> tuple[AddedLine, ...]:
    """Return the lines for lost units: one for each line and all of its parts."""
    found: dict[str, AddedLine] = {}
    for item in lost:
        line = order.line(item.line_id)
        assert line is not None, "a shipment has lines of its order"
        base = line.part_of or line.line_id
        before = found[base].quantity if base in found else 0
        found[base] = AddedLine(
            line_id=part_id(order, base),
            product_id=item.product_id,
            quantity=before + item.quantity,
            price=replace(line.price, amount=0),  # the customer pays for the lost units
            part_of=base,
        )
    return tuple(found.values())


def _lost(order: Order, shipment: Shipment) -> tuple[LostLine, ...]:
    quantities = {line.line_id: line.undelivered for line in shipment.lines}
    return tuple(
        LostLine(line_id=line.line_id, product_id=line.product_id, quantity=quantity, lost=line.lost + quantity)
        for line in order.lines
        if (quantity := quantities.get(line.line_id, 0))
    )


def shipment_closed(order: Order, event: ShipmentClosed) -> Order:
    """Return `order` with the units of a shipment lost that were not delivered."""
    shipment = known(order, event.shipment_id)
    lost = {line.line_id: line.quantity for line in event.lines}
    lines = tuple(replace(line, lost=lost.get(line.line_id, 0)) for line in shipment.lines)
    shipments = with_shipment(order, replace(shipment, lines=lines, status=ShipmentStatus.CLOSED, rest=event.rest))
    return with_lines(
        order,
        event.lines,
        lambda line, item: replace(line, shipped=line.shipped - item.quantity, lost=item.lost),
        shipments=shipments,
    )
