"""Moving a reservation: a line holds its units at other locations than before. No units travel, and none are freed."""

from .commands import MoveReservation
from .events import ReservationMoved
from .figures import is_stale
from .locations import allocated, chosen, held_at, negated, reported, shifted, with_units
from .state import Reservation, Stock, StockState


def move_reservation(command: MoveReservation, state: StockState) -> list[ReservationMoved]:
    """Hold all units of a line at one location, or where its plan chooses; nothing changes if units are missing there.

    The order always gets an answer. `more`: lines that wait at the former locations may get the units there.
    """
    stock, reservation = state.stock, state.reservation
    if reservation is None or is_stale(command.order_version, reservation):
        return []
    before = {each.location: each.held for each in held_at(reservation) if each.held}
    after = _places(command, stock, reservation, before) or before
    moves = {name: after.get(name, 0) - before.get(name, 0) for name in (*before, *after)}
    units = sum(part for part in moves.values() if part > 0)
    if not units and not command.order_version:
        return []
    return [
        ReservationMoved(
            balance=stock.balance,
            locations=shifted(stock.locations, allocated(moves)),
            more=units > 0 and stock.balance.backordered > 0,
            order_id=reservation.order_id,
            line_id=reservation.line_id,
            quantity=units,
            reserved=reservation.reserved,
            backordered=reservation.waiting,
            rejected=reservation.rejected,
            order_version=max(command.order_version, reservation.order_version),
            at=with_units(reservation, moves) if units else reservation.at,
            plan=reported(reservation),
            proposal=command.proposal,
        )
    ]


def _places(
    command: MoveReservation, stock: Stock, reservation: Reservation, before: dict[str, int]
) -> dict[str, int] | None:
    """Return where the line would hold its units; None if they are not available there."""
    units = reservation.held
    given_back = shifted(stock.locations, allocated(negated(before)))
    if command.location is None:
        parts = chosen(given_back, reservation.plan, units)
        return parts if sum(parts.values()) == units else None
    there = next((each for each in given_back if each.location == command.location), None)
    if there is None or there.closed or there.available < units:
        return None
    return {command.location: units}
