"""Shipping: reserved units leave the warehouse, and return from cancelled shipments and returns.

All commands carry totals, so that a repeat has no effect.
"""

from msgspec.structs import replace

from domain.errors import InvalidQuantity

from .commands import RestockReturn, ShipStock, UnshipStock
from .events import StockRestocked, StockShipped, StockUnshipped
from .figures import is_stale, moved, refuse_overflow, with_totals
from .state import Reservation, StockState


def ship(command: ShipStock, state: StockState) -> list[StockShipped]:
    """Ship units until `shipped` units of the line have left in total, limited to the units reserved for it."""
    reservation = state.reservation
    if reservation is None or is_stale(command.order_version, reservation):
        return []
    units = min(reservation.held, command.shipped - reservation.shipped)
    if units <= 0:
        return []
    return [
        StockShipped(
            balance=moved(state.stock.balance, on_hand=-units, allocated=-units, shipped=units),
            order_id=reservation.order_id,
            line_id=reservation.line_id,
            quantity=units,
            reserved=reservation.reserved,
            backordered=reservation.waiting,
            rejected=reservation.rejected,
            order_version=max(command.order_version, reservation.order_version),
            shipped=reservation.shipped + units,
        )
    ]


def unship(command: UnshipStock, state: StockState) -> list[StockUnshipped]:
    """Return units to stock, reserved, until only `shipped` units of the line have left in total."""
    reservation = state.reservation
    if reservation is None or is_stale(command.order_version, reservation):
        return []
    units = reservation.shipped - command.shipped
    if units <= 0:
        return []
    return [
        StockUnshipped(
            balance=moved(state.stock.balance, on_hand=units, allocated=units, shipped=-units),
            order_id=reservation.order_id,
            line_id=reservation.line_id,
            quantity=units,
            reserved=reservation.reserved,
            backordered=reservation.waiting,
            rejected=reservation.rejected,
            order_version=max(command.order_version, reservation.order_version),
            shipped=command.shipped,
        )
    ]


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
    refuse_overflow(state.stock.balance, restocked=good, damaged=damaged)
    return [
        StockRestocked(
            balance=moved(state.stock.balance, on_hand=good, restocked=good, damaged=damaged),
            order_id=reservation.order_id,
            line_id=reservation.line_id,
            quantity=good,
            reserved=reservation.reserved,
            backordered=reservation.waiting,
            rejected=reservation.rejected,
            order_version=max(command.order_version, reservation.order_version),
            damaged=damaged,
            total_received=command.received,
            total_damaged=command.damaged,
        )
    ]


def reservation_restocked(reservation: Reservation, event: StockRestocked) -> Reservation:
    """Return `reservation` with returned units counted."""
    return replace(with_totals(reservation, event), received=event.total_received, damaged=event.total_damaged)
