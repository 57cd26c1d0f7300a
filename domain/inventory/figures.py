"""Balances and totals: a decision writes them into its event, and applying the event copies them into the state."""

from domain.errors import CorruptHistory, InvalidQuantity
from domain.message import MAX_MOVED

from .events import Balance, ReservationEvent, StockEvent
from .state import Reservation, Stock


def moved(
    balance: Balance,
    *,
    on_hand: int = 0,
    allocated: int = 0,
    backordered: int = 0,
    damaged: int = 0,
    received: int = 0,
    adjusted: int = 0,
    restocked: int = 0,
    shipped: int = 0,
    in_transit: int = 0,
) -> Balance:
    """Return `balance` with units added to its figures."""
    return Balance(
        on_hand=balance.on_hand + on_hand,
        allocated=balance.allocated + allocated,
        available=balance.on_hand + on_hand - balance.allocated - allocated,
        backordered=balance.backordered + backordered,
        damaged=balance.damaged + damaged,
        received=balance.received + received,
        adjusted=balance.adjusted + adjusted,
        restocked=balance.restocked + restocked,
        shipped=balance.shipped + shipped,
        in_transit=balance.in_transit + in_transit,
    )


def refuse_overflow(balance: Balance, **by: int) -> None:
    """Raise InvalidQuantity if a total of `balance` exceeds what every store and client can represent.

    Only units that arrive from outside are checked, because these totals bound all other figures.
    """
    for name, units in by.items():
        if units > 0 and getattr(balance, name) + units > MAX_MOVED:
            raise InvalidQuantity(reason=f"at most {MAX_MOVED} units of a product can be counted as {name}")


def is_stale(order_version: int, reservation: Reservation) -> bool:
    """Return whether a command is older than the last order event applied; manual commands (version 0) never are."""
    return 0 < order_version <= reservation.order_version


def with_balance(stock: Stock, event: StockEvent) -> Stock:
    """Return `stock` with the balance after `event`.

    A queue without waiting units is empty. The quantity that stock was set to is forgotten when units on hand change.
    """
    balance = event.balance
    if balance.available < 0 or balance.available != balance.on_hand - balance.allocated or balance.backordered < 0:
        raise CorruptHistory(f"{type(event).__name__} leaves {balance}")
    if event.locations or stock.locations:
        _refuse_other_sums(event)
    unchanged = balance.on_hand == stock.balance.on_hand
    return Stock(
        exists=stock.exists,
        discontinued=stock.discontinued,
        balance=balance,
        queue_head=stock.queue_head if balance.backordered else stock.queue_tail,
        queue_tail=stock.queue_tail,
        set_to=stock.set_to if unchanged else None,
        given=stock.given if unchanged else 0,
        locations=event.locations,
        transfers=stock.transfers,
    )


def _refuse_other_sums(event: StockEvent) -> None:
    """Raise CorruptHistory unless the units of all locations are the product's."""
    places, balance = event.locations, event.balance
    on_hand, allocated = sum([each.on_hand for each in places]), sum([each.allocated for each in places])
    if (on_hand, allocated) != (balance.on_hand, balance.allocated) or any(each.available < 0 for each in places):
        raise CorruptHistory(f"{type(event).__name__} leaves {balance}, and its locations have {places}")


def with_totals(
    reservation: Reservation, event: ReservationEvent, *, shipped: int | None = None, place: int | None = None
) -> Reservation:
    """Return `reservation` with the totals after `event`, and with `shipped` and `place` if the event changed them."""
    if shipped is None:
        shipped = reservation.shipped
    if place is None:
        place = reservation.place
    waiting = event.backordered
    if event.reserved < shipped or (waiting and place is None):
        raise CorruptHistory(f"{type(event).__name__} does not fit {reservation}")
    return Reservation(
        order_id=reservation.order_id,
        line_id=reservation.line_id,
        held=event.reserved - shipped,
        waiting=waiting,
        shipped=shipped,
        rejected=event.rejected,
        received=reservation.received,
        damaged=reservation.damaged,
        place=place if waiting else None,
        order_version=event.order_version,
        at=event.at,
        plan=event.plan or reservation.plan,
        since=reservation.since,
        expires_at=(event.expires_at or reservation.expires_at) if event.reserved > shipped or waiting else None,
    )
