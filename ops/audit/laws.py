"""Invariants of an order, of a product, and of an order line and its reservation.

Every function yields one sentence for each violation.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from msgspec.structs import asdict

from domain.inventory import InventoryEvent, Reservation, Stock
from domain.inventory.events import (
    Balance,
    ReservationRejected,
    StockAdjusted,
    StockBackordered,
    StockReceived,
    StockReleased,
    StockRequeued,
    StockReserved,
    StockRestocked,
    StockShipped,
    StockTransferred,
    StockUnshipped,
    TransferReceived,
)
from domain.inventory.locations import held_at
from domain.orders import Order
from domain.orders.state import Line, ShipmentStatus


def order_laws(order: Order) -> Iterator[str]:
    """Yield the quantities of an order that do not add up."""
    left, back = _left(order), _back(order)
    for line in order.lines:
        yield from _line_laws(line)
        ours = line.shipped + line.lost, line.delivered, line.lost
        if ours != (theirs := left.get(line.line_id, NOTHING)):
            yield from _shipment_laws(line, ours, theirs)
        if line.returned != (received := back.get(line.line_id, 0)):
            yield f"line {line.line_id}: {line.returned} returned, its returns say {received}"
    if len({hold.hold_id for hold in order.holds}) < len(order.holds):
        yield "two holds have the same id"
    if (total := sum([line.ordered * line.price.amount for line in order.lines])) != order.total_cost.amount:
        yield f"the total is {order.total_cost.amount}, the lines make {total}"


Left = tuple[int, int, int]  # units: left, delivered and lost
NOTHING: Left = (0, 0, 0)


def _left(order: Order) -> dict[str, Left]:
    """Return what the shipments say about each line: all units that left are shipped, delivered or lost."""
    found: dict[str, Left] = {}
    for shipment in order.shipments:
        if shipment.status is not ShipmentStatus.CANCELLED:
            for part in shipment.lines:
                units, delivered, lost = found.get(part.line_id, NOTHING)
                found[part.line_id] = units + part.quantity, delivered + part.delivered, lost + part.lost
    return found


def _back(order: Order) -> dict[str, int]:
    """Return how many units of each line its returns have received."""
    found: dict[str, int] = {}
    for each in order.returns:
        for part in each.lines:
            found[part.line_id] = found.get(part.line_id, 0) + part.received
    return found


def _shipment_laws(line: Line, ours: Left, theirs: Left) -> Iterator[str]:
    for name, mine, said in zip(("shipped or lost", "delivered", "lost"), ours, theirs, strict=True):
        if mine != said:
            yield f"line {line.line_id}: {mine} {name}, its shipments say {said}"


def _line_laws(line: Line) -> Iterator[str]:
    parts = line.cancelled + line.lost + line.pending + line.backordered + line.allocated + line.shipped
    if line.ordered != parts:
        yield (
            f"line {line.line_id}: {line.ordered} ordered, "
            f"{parts} cancelled, lost, pending, waiting, allocated or shipped"
        )
    if not 0 <= line.returned <= line.delivered <= line.shipped:
        yield (
            f"line {line.line_id}: {line.returned} returned, {line.delivered} delivered and {line.shipped} shipped "
            "must not become less"
        )
    if min(line.cancelled, line.pending, line.backordered, line.allocated) < 0:
        yield f"line {line.line_id}: a quantity is below zero"
    if line.damaged > line.returned or line.rejected > line.cancelled:
        yield f"line {line.line_id}: more damaged than returned, or more rejected than cancelled"


def product_laws(balance: Balance, reservations: Iterable[Reservation]) -> Iterator[str]:
    """Yield the units of a product that do not add up with its reservations."""
    held = waiting = shipped = 0
    for line in reservations:
        held, waiting, shipped = held + line.held, waiting + line.waiting, shipped + line.shipped
    came, went = (
        balance.received + balance.adjusted + balance.restocked,
        balance.on_hand + balance.in_transit + balance.shipped,
    )
    if came != went:
        yield f"{came} units came (received, adjusted, restocked), {went} are on hand, in transit or shipped"
    if balance.available < 0 or balance.available != balance.on_hand - balance.allocated:
        yield f"{balance.available} available of {balance.on_hand} on hand, {balance.allocated} of them allocated"
    sums = {"allocated": held, "backordered": waiting, "shipped": shipped}
    for name, units in sums.items():
        if getattr(balance, name) != units:
            yield f"{getattr(balance, name)} {name}, its reservations say {units}"


def location_laws(stock: Stock, reservations: Iterable[Reservation]) -> Iterator[str]:
    """Yield the units at locations that do not add up with the product's and with its reservations."""
    under_way = sum(each.quantity for each in stock.transfers)
    if stock.balance.in_transit != under_way:
        yield f"{stock.balance.in_transit} units in transit, its transfers say {under_way}"
    if not stock.locations:
        return
    for name in ("on_hand", "allocated", "damaged"):
        units, total = sum(getattr(each, name) for each in stock.locations), getattr(stock.balance, name)
        if units != total:
            yield f"{total} {name}, its locations say {units}"
    held: Counter[str] = Counter()
    for line in reservations:
        for part in held_at(line):
            held[part.location] += part.held
        if line.at and (sum(part.held for part in line.at), sum(part.shipped for part in line.at)) != (
            line.held,
            line.shipped,
        ):
            yield f"line {line.order_id}/{line.line_id} holds and shipped other units than its locations"
    for each in stock.locations:
        if each.available < 0 or each.available != each.on_hand - each.allocated:
            yield f"{each.location}: {each.available} available of {each.on_hand} on hand, {each.allocated} allocated"
        if each.allocated != held[each.location]:
            yield f"{each.location}: {each.allocated} allocated, its reservations say {held[each.location]}"


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
        case StockTransferred(quantity=units):
            return {"on_hand": -units, "in_transit": units}
        case TransferReceived(quantity=units, lost=lost):
            return {"on_hand": units, "in_transit": -units - lost, "adjusted": -lost}
        case StockReserved(quantity=units, place=place):
            return {"allocated": units, "backordered": 0 if place is None else -units}
        case StockBackordered(quantity=units):
            return {"backordered": units}
        case StockRequeued(quantity=units):
            return {"allocated": -units, "backordered": units}
        case ReservationRejected(quantity=units, place=int()):
            return {"backordered": -units}
        case StockReleased(quantity=units, unqueued=unqueued):
            return {"allocated": -units, "backordered": -unqueued}
        case StockShipped(quantity=units, set_back=back, unqueued=unqueued, uncounted=uncounted):
            return {
                "on_hand": uncounted - units,
                "allocated": back - units,
                "backordered": -unqueued,
                "adjusted": uncounted,
                "shipped": units,
            }
        case StockUnshipped(quantity=units):
            return {"on_hand": units, "allocated": units, "shipped": -units}
        case StockRestocked(quantity=units, damaged=damaged):
            return {"on_hand": units, "restocked": units, "damaged": damaged}
    return {}


def line_laws(line: Line | None, reservation: Reservation | None, moving: bool = False) -> Iterator[str]:
    """Yield the differences between an order line and its reservation; either may be missing.

    `moving`: the line has not answered the order's proposal of one location.
    """
    ours = NO_UNITS if line is None else units_of_line(line)
    theirs = NO_UNITS if reservation is None else units_of_reservation(reservation)
    for name, mine, said in zip(UNITS, ours, theirs, strict=True):
        if mine != said:
            yield f"{mine} {name} on the order's line, {said} in stock"
    if line is not None and line.pending:
        yield f"{line.pending} units are pending: stock has not answered"
    if moving:
        yield "another location is proposed: stock has not answered"


UNITS = "allocated", "backordered", "shipped", "returned", "damaged"  # that a line and its reservation must share
NO_UNITS = [0] * len(UNITS)


def units_of_line(line: Line) -> list[int]:
    """Return the units of an order line that its reservation must have; lost ones have left the warehouse, too."""
    return [line.allocated, line.backordered, line.shipped + line.lost, line.returned, line.damaged]


def units_of_reservation(found: Reservation) -> list[int]:
    """Return the units of a reservation that its order line must have."""
    return [found.held, found.waiting, found.shipped, found.received, found.damaged]
