"""Invariants of an order, of a product, and of an order line and its reservation.

Every function yields one sentence for each violation.
"""

from collections.abc import Iterable, Iterator, Mapping

from msgspec.structs import asdict

from domain.inventory import InventoryEvent, Reservation
from domain.inventory.events import (
    Balance,
    ReservationRejected,
    StockAdjusted,
    StockBackordered,
    StockReceived,
    StockReleased,
    StockReserved,
    StockRestocked,
    StockShipped,
    StockUnshipped,
)
from domain.orders import Order
from domain.orders.state import Line, ShipmentStatus


def order_laws(order: Order) -> Iterator[str]:
    """Yield the quantities of an order that do not add up."""
    for line in order.lines:
        yield from _line_laws(line)
    for name, column in (("shipped", "quantity"), ("delivered", "delivered")):
        parcels = _in_shipments(order, column)
        for line in order.lines:
            if getattr(line, name) != parcels.get(line.line_id, 0):
                yield f"line {line.line_id}: {getattr(line, name)} {name}, its shipments say {parcels[line.line_id]}"
    if (total := sum(line.ordered * line.price.amount for line in order.lines)) != order.total_cost.amount:
        yield f"the total is {order.total_cost.amount}, the lines make {total}"


def _line_laws(line: Line) -> Iterator[str]:
    parts = line.cancelled + line.pending + line.backordered + line.allocated + line.shipped
    if line.ordered != parts:
        yield f"line {line.line_id}: {line.ordered} ordered, {parts} cancelled, pending, waiting, allocated or shipped"
    if not 0 <= line.returned <= line.delivered <= line.shipped:
        yield (
            f"line {line.line_id}: {line.returned} returned, {line.delivered} delivered and {line.shipped} shipped "
            "must not become less"
        )
    if min(line.cancelled, line.pending, line.backordered, line.allocated) < 0:
        yield f"line {line.line_id}: a quantity is below zero"
    if line.damaged > line.returned or line.rejected > line.cancelled:
        yield f"line {line.line_id}: more damaged than returned, or more rejected than cancelled"


def _in_shipments(order: Order, column: str) -> dict[str, int]:
    units = {line.line_id: 0 for line in order.lines}
    for shipment in order.shipments:
        if shipment.status is not ShipmentStatus.CANCELLED:
            for line in shipment.lines:
                units[line.line_id] += getattr(line, column)
    return units


def product_laws(balance: Balance, reservations: Iterable[Reservation]) -> Iterator[str]:
    """Yield the units of a product that do not add up with its reservations."""
    held = waiting = shipped = 0
    for line in reservations:
        held, waiting, shipped = held + line.held, waiting + line.waiting, shipped + line.shipped
    came, went = balance.received + balance.adjusted + balance.restocked, balance.on_hand + balance.shipped
    if came != went:
        yield f"{came} units came (received, adjusted, restocked), {went} are on hand or shipped"
    if balance.available < 0 or balance.available != balance.on_hand - balance.allocated:
        yield f"{balance.available} available of {balance.on_hand} on hand, {balance.allocated} of them allocated"
    sums = {"allocated": held, "backordered": waiting, "shipped": shipped}
    for name, units in sums.items():
        if getattr(balance, name) != units:
            yield f"{getattr(balance, name)} {name}, its reservations say {units}"


def moved(before: Balance, event: InventoryEvent) -> Balance:
    """Return the balance after `event`, calculated from the units it moved, not taken from the balance it states."""
    figures = asdict(before)
    for name, units in _movement(event).items():
        figures[name] += units
    figures["available"] = figures["on_hand"] - figures["allocated"]
    return Balance(**figures)


def _movement(event: InventoryEvent) -> Mapping[str, int]:
    match event:
        case StockReceived(quantity=units):
            return {"on_hand": units, "received": units}
        case StockAdjusted(delta=units):
            return {"on_hand": units, "adjusted": units}
        case StockReserved(quantity=units, place=place):
            return {"allocated": units, "backordered": 0 if place is None else -units}
        case StockBackordered(quantity=units):
            return {"backordered": units}
        case ReservationRejected(quantity=units, place=int()):
            return {"backordered": -units}
        case StockReleased(quantity=units, unqueued=unqueued):
            return {"allocated": -units, "backordered": -unqueued}
        case StockShipped(quantity=units):
            return {"on_hand": -units, "allocated": -units, "shipped": units}
        case StockUnshipped(quantity=units):
            return {"on_hand": units, "allocated": units, "shipped": -units}
        case StockRestocked(quantity=units, damaged=damaged):
            return {"on_hand": units, "restocked": units, "damaged": damaged}
    return {}


def line_laws(line: Line | None, reservation: Reservation | None) -> Iterator[str]:
    """Yield the differences between an order line and its reservation; either may be missing."""
    ours = _of_line(line)
    theirs = _of_reservation(reservation)
    for name, units in ours.items():
        if units != theirs[name]:
            yield f"{units} {name} on the order's line, {theirs[name]} in stock"
    if line is not None and line.pending:
        yield f"{line.pending} units are pending: stock has not answered"


def _of_line(line: Line | None) -> dict[str, int]:
    names = "allocated", "backordered", "shipped", "returned", "damaged"
    return {name: getattr(line, name) if line is not None else 0 for name in names}


def _of_reservation(found: Reservation | None) -> dict[str, int]:
    held = found or Reservation("", "")
    return {
        "allocated": held.held,
        "backordered": held.waiting,
        "shipped": held.shipped,
        "returned": held.received,
        "damaged": held.damaged,
    }
