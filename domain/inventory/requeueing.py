"""Requeueing: reserved units that are missing from stock wait again, those of the newest reservations first.

Lines that lose units wait before all others, in the order in which they held them, because they were served earlier.
A line waits even if the policy of its order does not allow it: the policy is about shortages when orders are placed.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from msgspec.structs import replace

from domain.errors import InvalidQuantity
from domain.message import Command
from domain.policy import DEFAULT_LOCATION

from .commands import AdjustStock, CloseLocation, CountStock
from .events import At, Balance, InventoryEvent, StockRequeued
from .figures import moved, with_balance, with_totals
from .locations import Moved, at, held_at, shifted, with_units
from .state import Reservation, Stock, StockState

REQUEUE_LIMIT = 1_000  # reservations per decision: their events are written in one transaction


def requeue(
    state: StockState, units: int, location: str | None, *, as_far_as_possible: bool = False
) -> list[StockRequeued]:
    """Return the events by which the newest reservations give up `units` units at a location, which they hold there.

    With the last one, `more` lets the queue be processed: other locations may have units for it, and lines of a
    discontinued product are refused.
    """
    name = location or DEFAULT_LOCATION
    events: list[StockRequeued] = []
    stock = state.stock
    balance, locations, place = stock.balance, stock.locations, stock.queue_head
    for reservation in state.newest:
        lost = min(units, _held(reservation, name))
        place, units = place - 1, units - lost
        balance = moved(balance, allocated=-lost, backordered=lost)
        locations = shifted(locations, {name: Moved(allocated=-lost)})
        more = (not units or reservation is state.newest[-1]) and (stock.discontinued or bool(locations))
        events.append(_requeued(reservation, balance, locations, place, {name: -lost}, more))
        if not units:
            return events
    if as_far_as_possible:
        return events
    raise InvalidQuantity(
        reason=f"more than {REQUEUE_LIMIT} reservations would wait again: correct the units on hand in several steps, "
        f"first to {at(with_balance(stock, events[-1]), location).allocated}"
    )


def _held(reservation: Reservation, location: str) -> int:
    return next((each.held for each in held_at(reservation) if each.location == location), 0)


def _requeued(
    reservation: Reservation,
    balance: Balance,
    locations: tuple[At, ...],
    place: int,
    parts: dict[str, int],
    more: bool,
) -> StockRequeued:
    units = -sum(parts.values())
    return StockRequeued(
        balance=balance,
        locations=locations,
        more=more,
        order_id=reservation.order_id,
        line_id=reservation.line_id,
        quantity=units,
        reserved=reservation.reserved - units,
        backordered=reservation.waiting + units,
        rejected=reservation.rejected,
        order_version=reservation.order_version,
        at=with_units(reservation, parts),
        place=place,
    )


def stock_requeued(stock: Stock, event: StockRequeued) -> Stock:
    """Return `stock` with another line at the beginning of its queue."""
    return replace(with_balance(stock, event), queue_head=event.place)


def reservation_requeued(reservation: Reservation, event: StockRequeued) -> Reservation:
    """Return `reservation` with units that wait again."""
    return with_totals(reservation, event, place=event.place)


def units_missing(command: Command, stock: Stock) -> int:
    """Return how many reserved units `command` finds missing; its decision needs the reservations that hold them."""
    match command:
        case AdjustStock(delta=delta, location=location):
            return max(-delta - at(stock, location).available, 0)
        case CountStock(quantity=counted, location=location):
            return max(at(stock, location).allocated - counted, 0)
        case CloseLocation(location=location):
            return at(stock, location).allocated
    return 0


def newest_holding(held: Iterable[Reservation], units: int, location: str | None) -> tuple[Reservation, ...]:
    """Return the newest reservations that hold units at a location, newest first, until they hold `units` units."""
    name = location or DEFAULT_LOCATION
    found: list[Reservation] = []
    for reservation in sorted(held, key=_age, reverse=True):
        if units <= 0 or len(found) == REQUEUE_LIMIT:
            break
        if here := _held(reservation, name):
            found.append(reservation)
            units -= here
    return tuple(found)


def _age(reservation: Reservation) -> tuple[int, str, str]:
    return reservation.since, reservation.order_id, reservation.line_id


def told(events: Sequence[InventoryEvent]) -> dict[str, Any] | None:
    """Return what the answer to a command says about its events: the lines that wait again."""
    lost = [each for each in events if isinstance(each, StockRequeued)]
    if not lost:
        return None
    return {
        "returnedToWaiting": [
            {"orderId": each.order_id, "lineId": each.line_id, "quantity": each.quantity} for each in lost
        ]
    }
