"""Releasing: a line gives up units that are reserved for it or that it waits for."""

from msgspec.structs import replace

from domain.errors import InvalidQuantity
from domain.policy import DEFAULT_LOCATION

from .commands import ReleaseStock
from .events import StockReleased
from .figures import is_stale, moved, with_balance
from .locations import allocated, given_up, negated, shifted, with_units
from .state import Reservation, Stock, StockState


def release(command: ReleaseStock, state: StockState) -> list[StockReleased]:
    """Release the units a line has beyond `keep`, waiting units first, or `quantity` units, reserved first."""
    reservation = state.reservation
    if command.quantity is not None:
        has = reservation.held + reservation.waiting if reservation else 0
        if reservation is None or command.quantity > has:
            raise InvalidQuantity(reason=f"{command.quantity} units to release, {has} held")
        unqueued = max(command.quantity - reservation.held, 0)
        return [_released(command, state.stock, reservation, command.quantity - unqueued, unqueued)]
    if reservation is None or is_stale(command.order_version, reservation):
        return []
    surplus = reservation.held + reservation.waiting - (command.keep or 0)
    if surplus <= 0:
        return []
    unqueued = min(surplus, reservation.waiting)
    return [_released(command, state.stock, reservation, surplus - unqueued, unqueued)]


def _released(
    command: ReleaseStock, stock: Stock, reservation: Reservation, units: int, unqueued: int
) -> StockReleased:
    parts = negated(given_up(reservation, units)) if reservation.at else {DEFAULT_LOCATION: -units}
    return StockReleased(
        balance=moved(stock.balance, allocated=-units, backordered=-unqueued),
        locations=shifted(stock.locations, allocated(parts)),
        order_id=reservation.order_id,
        line_id=reservation.line_id,
        quantity=units,
        reserved=reservation.reserved - units,
        backordered=reservation.waiting - unqueued,
        rejected=reservation.rejected,
        order_version=max(command.order_version, reservation.order_version),
        at=with_units(reservation, parts),
        unqueued=unqueued,
        place=reservation.place if unqueued else None,
    )


def stock_released(stock: Stock, event: StockReleased) -> Stock:
    """Return `stock` with units available again; a line that leaves the middle of the queue leaves its place empty."""
    after = with_balance(stock, event)
    if event.balance.backordered and not event.backordered and event.place == stock.queue_head:
        return replace(after, queue_head=stock.queue_head + 1)
    return after
