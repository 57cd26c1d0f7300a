"""The backorder queue: filled or turned away first come, first served, a limited number of lines at a time."""

from collections.abc import Iterable

from .book import moved, totals
from .commands import FILL_LIMIT, DiscontinueProduct, FillBackorders, ReactivateProduct
from .events import (
    Balance,
    InventoryEvent,
    ProductDiscontinued,
    ProductReactivated,
    ReservationRejected,
    StockReserved,
)
from .state import Reservation, Reservations, Stock

DISCONTINUED = "PRODUCT_DISCONTINUED"


def fill(balance: Balance, waiting: Iterable[Reservation]) -> list[InventoryEvent]:
    """Give what is available to those who wait, until one or the other is used up or the limit is reached."""
    events: list[InventoryEvent] = []
    if not (balance.available and balance.backordered):
        return events
    for line in waiting:
        units = min(balance.available, line.waiting)
        balance = moved(balance, allocated=units, backordered=-units)
        more = len(events) + 1 == FILL_LIMIT and balance.available > 0 and balance.backordered > 0
        after = totals(line, held=units, waiting=-units)
        events.append(StockReserved(balance=balance, more=more, quantity=units, place=line.place, **after))
        if more or not (balance.available and balance.backordered):
            break
    return events


def turn_away(balance: Balance, waiting: Iterable[Reservation]) -> list[InventoryEvent]:
    """Reject those who wait, until nobody does or the limit is reached."""
    events: list[InventoryEvent] = []
    for line in waiting:
        balance = moved(balance, backordered=-line.waiting)
        more = len(events) + 1 == FILL_LIMIT and balance.backordered > 0
        after = totals(line, waiting=-line.waiting, rejected=line.waiting)
        events.append(
            ReservationRejected(
                balance=balance, more=more, quantity=line.waiting, place=line.place, reason=DISCONTINUED, **after
            )
        )
        if more or not balance.backordered:
            break
    return events


def fill_backorders(
    command: FillBackorders, stock: Stock, reservations: Reservations, product_id: str
) -> list[InventoryEvent]:
    """Go on where the last decision stopped."""
    waiting = reservations.waiting(stock.queue_head, stock.queue_tail)
    return turn_away(stock.balance, waiting) if stock.discontinued else fill(stock.balance, waiting)


def discontinue(
    command: DiscontinueProduct, stock: Stock, reservations: Reservations, product_id: str
) -> list[InventoryEvent]:
    """Take no new reservations and turn away those who wait; what is held stays held."""
    if stock.discontinued:
        return []
    waiting = reservations.waiting(stock.queue_head, stock.queue_tail)
    end = ProductDiscontinued(balance=stock.balance, reason=command.reason)
    return [end, *turn_away(stock.balance, waiting)]


def reactivate(
    command: ReactivateProduct, stock: Stock, reservations: Reservations, product_id: str
) -> list[InventoryEvent]:
    """Take reservations again; who was not turned away yet goes on waiting, or is served."""
    if not stock.discontinued:
        return []
    waiting = reservations.waiting(stock.queue_head, stock.queue_tail)
    return [ProductReactivated(balance=stock.balance), *fill(stock.balance, waiting)]
