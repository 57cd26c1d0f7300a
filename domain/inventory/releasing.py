"""Releasing: a line gives up units that are reserved for it or that it waits for."""

from msgspec.structs import replace

from domain.errors import InvalidQuantity

from .commands import ReleaseStock
from .events import StockReleased
from .figures import is_stale, moved, with_balance
from .state import Reservation, Stock, StockState


def release(command: ReleaseStock, state: StockState) -> list[StockReleased]:
    """Release the units a line has beyond `keep`, waiting units first, or `quantity` of its reserved units."""
    reservation = state.reservation
    if command.quantity is not None:
        held = reservation.held if reservation else 0
        if reservation is None or command.quantity > held:
            raise InvalidQuantity(reason=f"{command.quantity} units to release, {held} held")
        return [_released(command, state.stock, reservation, command.quantity, 0)]
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
    return StockReleased(
        balance=moved(stock.balance, allocated=-units, backordered=-unqueued),
        order_id=reservation.order_id,
        line_id=reservation.line_id,
        quantity=units,
        reserved=reservation.reserved - units,
        backordered=reservation.waiting - unqueued,
        rejected=reservation.rejected,
        order_version=max(command.order_version, reservation.order_version),
        unqueued=unqueued,
        place=reservation.place if unqueued else None,
    )


def stock_released(stock: Stock, event: StockReleased) -> Stock:
    """Return `stock` with units available again; a line that leaves the middle of the queue leaves its place empty."""
    after = with_balance(stock, event)
    if event.balance.backordered and not event.backordered and event.place == stock.queue_head:
        return replace(after, queue_head=stock.queue_head + 1)
    return after
