"""Backorders: lines that lack units wait in a queue and are served first come, first served.

A decision serves or rejects at most FILL_LIMIT lines. If more lines could be served, the last event has `more` set, and
the process manager sends FillBackorders.
"""

from collections.abc import Iterable

from domain.errors import ProductDiscontinued

from .commands import (
    AdjustStock,
    CountStock,
    DiscontinueProduct,
    FillBackorders,
    InventoryCommand,
    OpenLocation,
    ReactivateProduct,
    ReceiveStock,
    ReceiveTransfer,
    ReleaseStock,
    RestockReturn,
    SetStock,
    ShipStock,
)
from .events import ReservationRejected, StockReserved
from .expiring import ExpireReservation
from .figures import moved
from .locations import allocated, at, chosen, free, held_at, is_bound, is_kept_together, reported, shifted, with_units
from .state import Reservation, Stock, StockState

FILL_LIMIT = 500  # in lines


def fill_backorders(command: FillBackorders, state: StockState) -> list[StockReserved] | list[ReservationRejected]:
    """Continue serving the queue where the last decision stopped."""
    if state.stock.discontinued:
        return reject_waiting(state.stock, state.waiting)
    return fill(state.stock, state.waiting)


def fill(stock: Stock, waiting: Iterable[Reservation]) -> list[StockReserved]:
    """Give available units to waiting lines until units or lines run out, or the limit is reached.

    With locations, a line may be unable to use the units that are available. It waits on, and others are served.
    """
    events: list[StockReserved] = []
    balance, locations, left = stock.balance, stock.locations, free(stock)
    passed: int | None = None  # the place of the first line that waits on
    for reservation in waiting:
        if not (left and balance.backordered) or len(events) == FILL_LIMIT:
            break
        units, parts = min(left, reservation.waiting), dict[str, int]()
        if locations:
            parts = chosen(locations, reservation.plan, reservation.waiting, held_at(reservation))
            units = sum(parts.values())
        if not units:
            passed = reservation.place if passed is None else passed
            continue
        balance, locations = moved(balance, allocated=units, backordered=-units), shifted(locations, allocated(parts))
        left -= units
        events.append(
            StockReserved(
                balance=balance,
                locations=locations,
                more=len(events) + 1 == FILL_LIMIT and left > 0 and balance.backordered > 0,
                order_id=reservation.order_id,
                line_id=reservation.line_id,
                quantity=units,
                reserved=reservation.reserved + units,
                backordered=reservation.waiting - units,
                rejected=reservation.rejected,
                order_version=reservation.order_version,
                at=with_units(reservation, parts),
                plan=reported(reservation),
                place=reservation.place,
                head=_head(reservation, reservation.waiting - units, passed) if locations else None,
            )
        )
        if passed is None and units < reservation.waiting:
            passed = reservation.place
    return events


def _head(reservation: Reservation, waiting: int, passed: int | None) -> int | None:
    """Return where the queue begins after `waiting` units of a line are left; `passed` is an earlier line's place."""
    if passed is not None or reservation.place is None:
        return passed
    return reservation.place if waiting else reservation.place + 1


def reject_waiting(stock: Stock, waiting: Iterable[Reservation]) -> list[ReservationRejected]:
    """Reject waiting lines until none are left or the limit is reached."""
    balance = stock.balance
    events: list[ReservationRejected] = []
    for reservation in waiting:
        units = reservation.waiting
        balance = moved(balance, backordered=-units)
        more = len(events) + 1 == FILL_LIMIT and balance.backordered > 0
        events.append(
            ReservationRejected(
                balance=balance,
                locations=stock.locations,
                more=more,
                order_id=reservation.order_id,
                line_id=reservation.line_id,
                quantity=units,
                reserved=reservation.reserved,
                backordered=0,
                rejected=reservation.rejected + units,
                order_version=reservation.order_version,
                at=reservation.at,
                reason=ProductDiscontinued.code,
                place=reservation.place,
                head=_head(reservation, 0, None) if stock.locations else None,
            )
        )
        if more or not balance.backordered:
            break
    return events


def head_after(stock: Stock, event: StockReserved | ReservationRejected, place: int) -> int:
    """Return where the queue begins after a line, at `place`, was served or rejected."""
    if not stock.balance.backordered:
        return stock.queue_tail
    if event.head is not None:
        return event.head
    if stock.locations and place != stock.queue_head:
        return stock.queue_head  # older code did not say whether lines before it wait for units at other locations
    return place if event.backordered else place + 1


def units_to_serve(command: InventoryCommand | ExpireReservation, stock: Stock, reservation: Reservation | None) -> int:
    """Return the maximum number of units that `command` can give to, or refuse, waiting lines.

    A decision needs exactly the lines that wait for these units in its state.
    """
    if not stock.balance.backordered:
        return 0
    match command:
        case DiscontinueProduct():
            return stock.balance.backordered
        case FillBackorders():
            return stock.balance.backordered if stock.discontinued else stock.balance.available
        case ReactivateProduct():
            return stock.balance.available
        case OpenLocation():
            return stock.balance.available
        case ReceiveTransfer():
            return stock.balance.available + stock.balance.in_transit
        case ReceiveStock(quantity=units) | SetStock(quantity=units) | RestockReturn(received=units):
            return stock.balance.available + units
        case AdjustStock(delta=units) if units > 0:
            return stock.balance.available + units
        case CountStock(quantity=units, location=location) if units > at(stock, location).on_hand:
            return stock.balance.available + units - at(stock, location).on_hand
        case ShipStock() if stock.locations and reservation is not None:  # it may hold units at other locations
            return stock.balance.available + reservation.held + reservation.waiting
        case ReleaseStock() | ExpireReservation() if (
            reservation is not None
        ):  # it may be waiting in the queue itself, and leave it
            return stock.balance.available + reservation.held + reservation.waiting
    return 0


def first_waiting(queue: Iterable[Reservation], units: int) -> tuple[Reservation, ...]:
    """Return the shortest prefix of `queue` that takes `units` units.

    Apart from lines that may be unable to use them, which are not counted, it has at most one line more than a decision
    serves, because the command's own line may leave the queue.
    """
    found: list[Reservation] = []
    lines = FILL_LIMIT + 1
    for reservation in queue if units > 0 else ():
        found.append(reservation)
        if is_bound(reservation):
            continue
        units -= 1 if is_kept_together(reservation) else reservation.waiting  # it may get fewer than it waits for
        lines -= 1
        if units <= 0 or not lines:
            break
    return tuple(found)
