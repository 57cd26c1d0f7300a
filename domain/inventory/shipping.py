"""Shipping: reserved units leave the warehouse, and return from cancelled shipments and returns.

All commands carry totals, so that a repeat has no effect.
"""

from collections.abc import Mapping

from msgspec.structs import replace

from domain.errors import InvalidId, InvalidQuantity
from domain.policy import DEFAULT_LOCATION

from .commands import RestockReturn, ShipStock, UnshipStock
from .events import StockRestocked, StockShipped, StockUnshipped
from .figures import is_stale, moved, refuse_overflow, with_balance, with_totals
from .locations import (
    Moved,
    after,
    allocated,
    at,
    given_up,
    held_at,
    is_kept_together,
    negated,
    refuse_new,
    refuse_unknown,
    shifted,
    with_units,
)
from .state import Reservation, Stock, StockState


def ship(command: ShipStock, state: StockState) -> list[StockShipped]:
    """Ship units until `shipped` units of the line have left in total, limited to the units it has requested.

    An order ships only units that stock granted. If the line holds fewer, a count set units back while the order
    shipped them: they were missing from the shelf because they had left. The count is corrected by the units that are
    not available. A manual command ships only units that the line holds.

    `more`: units that the line held elsewhere are available again, or it may wait at another location from now on.
    """
    reservation = state.reservation
    if reservation is None or is_stale(command.order_version, reservation):
        return []
    if command.order_version:
        most = reservation.held + reservation.waiting + reservation.rejected
    else:
        refuse_unknown(state.stock, command.location)
        most = reservation.held
    units = min(most, command.shipped - reservation.shipped)
    if units <= 0:
        return []
    location = _location(command, reservation)
    here = min(units, sum([each.held for each in held_at(reservation) if each.location == location]))
    elsewhere = min(units - here, reservation.held - here)
    set_back = units - here - elsewhere
    unqueued = min(set_back, reservation.waiting)
    uncounted = max(set_back + elsewhere - at(state.stock, location).available, 0)
    held = (
        {location: -here}
        if not elsewhere
        else {**negated(_given_up(reservation, location, elsewhere)), location: -here}
    )
    stock = state.stock
    return [
        StockShipped(
            balance=moved(
                stock.balance,
                on_hand=uncounted - units,
                allocated=-here - elsewhere,
                backordered=-unqueued,
                adjusted=uncounted,
                shipped=units,
            ),
            more=elsewhere > 0 or (reservation.waiting > unqueued and is_kept_together(reservation)),
            locations=shifted(stock.locations, _left(held, location, uncounted - units)) if stock.locations else (),
            order_id=reservation.order_id,
            line_id=reservation.line_id,
            quantity=units,
            reserved=reservation.reserved + set_back,
            backordered=reservation.waiting - unqueued,
            rejected=reservation.rejected,
            order_version=max(command.order_version, reservation.order_version),
            at=with_units(reservation, held, {location: units}) if stock.locations else reservation.at,
            shipped=reservation.shipped + units,
            location=command.location,
            set_back=set_back,
            unqueued=unqueued,
            elsewhere=elsewhere,
            uncounted=uncounted,
            place=reservation.place if unqueued else None,
        )
    ]


def _location(command: ShipStock, reservation: Reservation) -> str:
    """Return the location units ship from; a manual command without one ships from where the line has most units."""
    if command.location is not None or command.order_version or not reservation.at:
        return command.location or DEFAULT_LOCATION
    return max(reservation.at, key=lambda each: each.held).location


def _given_up(reservation: Reservation, location: str, units: int) -> dict[str, int]:
    """Return the locations at which a line gives up units because it ships others from `location`."""
    others = replace(reservation, at=tuple(each for each in held_at(reservation) if each.location != location))
    return given_up(others, units)


def _left(held: Mapping[str, int], location: str, on_hand: int) -> dict[str, Moved]:
    moves = allocated(held)
    return {**moves, location: Moved(on_hand=on_hand, allocated=held[location])}


def stock_shipped(stock: Stock, event: StockShipped) -> Stock:
    """Return `stock` with fewer units on hand; a line that leaves the middle of the queue leaves its place empty."""
    after = with_balance(stock, event)
    if event.unqueued and event.balance.backordered and not event.backordered and event.place == stock.queue_head:
        return replace(after, queue_head=stock.queue_head + 1)
    return after


def unship(command: UnshipStock, state: StockState) -> list[StockUnshipped]:
    """Return units to stock, reserved, until only `shipped` units of the line have left in total."""
    reservation = state.reservation
    if reservation is None or is_stale(command.order_version, reservation):
        return []
    units = reservation.shipped - command.shipped
    if units <= 0:
        return []
    stock, parts = state.stock, _sent(command.location or DEFAULT_LOCATION, reservation, units)
    return [
        StockUnshipped(
            balance=moved(stock.balance, on_hand=units, allocated=units, shipped=-units),
            locations=shifted(stock.locations, {each: Moved(back, back) for each, back in parts.items()}),
            order_id=reservation.order_id,
            line_id=reservation.line_id,
            quantity=units,
            reserved=reservation.reserved,
            backordered=reservation.waiting,
            rejected=reservation.rejected,
            order_version=max(command.order_version, reservation.order_version),
            at=with_units(reservation, parts, negated(parts)),
            shipped=command.shipped,
            location=command.location,
        )
    ]


def _sent(asked: str, reservation: Reservation, units: int) -> dict[str, int]:
    """Return where units of a cancelled shipment return to: `asked` gets as many as left it, others the rest."""
    sent = {each.location: each.shipped for each in held_at(reservation) if each.shipped}
    parts: dict[str, int] = {}
    for location in sorted(sent, key=lambda each: each != asked):
        if part := min(units, sent[location]):
            parts[location], units = part, units - part
    return parts


def reservation_shipped(reservation: Reservation, event: StockShipped | StockUnshipped) -> Reservation:
    """Return `reservation` with more or fewer units shipped."""
    return with_totals(reservation, event, shipped=event.shipped)


def restock(command: RestockReturn, state: StockState) -> list[StockRestocked]:
    """Restock returned units; undamaged ones become available again."""
    reservation = state.reservation or Reservation(command.order_id, command.line_id)
    if is_stale(command.order_version, reservation):
        return []
    damaged = command.damaged - reservation.damaged
    good = command.received - reservation.received - damaged
    if good < 0 or damaged < 0:
        raise InvalidQuantity(reason="the units received, good or damaged, cannot decrease")
    if good == damaged == 0:
        return []
    stock = state.stock
    refuse_overflow(stock.balance, restocked=good, damaged=damaged)
    location = _arrival(command, stock)
    return [
        StockRestocked(
            balance=moved(stock.balance, on_hand=good, restocked=good, damaged=damaged),
            locations=after(stock, location, Moved(on_hand=good, damaged=damaged)),
            order_id=reservation.order_id,
            line_id=reservation.line_id,
            quantity=good,
            reserved=reservation.reserved,
            backordered=reservation.waiting,
            rejected=reservation.rejected,
            order_version=max(command.order_version, reservation.order_version),
            at=reservation.at,
            damaged=damaged,
            total_received=command.received,
            total_damaged=command.damaged,
            location=location,
        )
    ]


def _arrival(command: RestockReturn, stock: Stock) -> str | None:
    """Return where returned units are put: at `default` if an order names a location that cannot be added."""
    try:
        refuse_new(stock, command.location)
    except (InvalidId, InvalidQuantity):
        if not command.order_version:
            raise
        return None
    return command.location


def reservation_restocked(reservation: Reservation, event: StockRestocked) -> Reservation:
    """Return `reservation` with returned units counted."""
    return replace(with_totals(reservation, event), received=event.total_received, damaged=event.total_damaged)
