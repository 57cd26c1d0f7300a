"""Backorders: lines that lack units wait in a queue and are served first come, first served.

A decision serves or rejects at most FILL_LIMIT lines. If more lines could be served, the last event has `more` set, and
the process manager sends FillBackorders.
"""

from collections.abc import Iterable
from itertools import islice

from domain.errors import ProductDiscontinued

from .commands import (
    AdjustStock,
    DiscontinueProduct,
    FillBackorders,
    InventoryCommand,
    ReactivateProduct,
    ReceiveStock,
    ReleaseStock,
    RestockReturn,
    SetStock,
)
from .events import Balance, ReservationRejected, StockReserved
from .figures import moved
from .state import Reservation, Stock, StockState

FILL_LIMIT = 500  # in lines


def fill_backorders(command: FillBackorders, state: StockState) -> list[StockReserved] | list[ReservationRejected]:
    """Continue serving the queue where the last decision stopped."""
    if state.stock.discontinued:
        return reject_waiting(state.stock.balance, state.waiting)
    return fill(state.stock.balance, state.waiting)


def fill(balance: Balance, waiting: Iterable[Reservation]) -> list[StockReserved]:
    """Give available units to waiting lines until units or lines run out, or the limit is reached."""
    events: list[StockReserved] = []
    if not (balance.available and balance.backordered):
        return events
    for reservation in waiting:
        units = min(balance.available, reservation.waiting)
        balance = moved(balance, allocated=units, backordered=-units)
        more = len(events) + 1 == FILL_LIMIT and balance.available > 0 and balance.backordered > 0
        events.append(
            StockReserved(
                balance=balance,
                more=more,
                order_id=reservation.order_id,
                line_id=reservation.line_id,
                quantity=units,
                reserved=reservation.reserved + units,
                backordered=reservation.waiting - units,
                rejected=reservation.rejected,
                order_version=reservation.order_version,
                place=reservation.place,
            )
        )
        if more or not (balance.available and balance.backordered):
            break
    return events


def reject_waiting(balance: Balance, waiting: Iterable[Reservation]) -> list[ReservationRejected]:
    """Reject waiting lines until none are left or the limit is reached."""
    events: list[ReservationRejected] = []
    for reservation in waiting:
        units = reservation.waiting
        balance = moved(balance, backordered=-units)
        more = len(events) + 1 == FILL_LIMIT and balance.backordered > 0
        events.append(
            ReservationRejected(
                balance=balance,
                more=more,
                order_id=reservation.order_id,
                line_id=reservation.line_id,
                quantity=units,
                reserved=reservation.reserved,
                backordered=0,
                rejected=reservation.rejected + units,
                order_version=reservation.order_version,
                reason=ProductDiscontinued.code,
                place=reservation.place,
            )
        )
        if more or not balance.backordered:
            break
    return events


def head_after(stock: Stock, event: StockReserved | ReservationRejected, place: int) -> int:
    """Return where the queue begins after its first line, at `place`, was served or rejected."""
    if not stock.balance.backordered:
        return stock.queue_tail
    return place if event.backordered else place + 1


def units_to_serve(command: InventoryCommand, stock: Stock, reservation: Reservation | None) -> int:
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
        case ReceiveStock(quantity=units) | SetStock(quantity=units) | RestockReturn(received=units):
            return stock.balance.available + units
        case AdjustStock(delta=units) if units > 0:
            return stock.balance.available + units
        case ReleaseStock() if reservation is not None:  # it may be waiting in the queue itself, and leave it
            return stock.balance.available + reservation.held + reservation.waiting
    return 0


def first_waiting(queue: Iterable[Reservation], units: int) -> tuple[Reservation, ...]:
    """Return the shortest prefix of `queue` that waits for at least `units` units.

    It has at most one line more than a decision serves, because the command's own line may leave the queue.
    """
    found = []
    for reservation in islice(queue, FILL_LIMIT + 1 if units > 0 else 0):
        found.append(reservation)
        units -= reservation.waiting
        if units <= 0:
            break
    return tuple(found)
