"""A product's stock at a glance: the decision for each command, and the change for each event."""

from collections.abc import Callable, Sequence
from typing import Any

from domain.errors import CorruptHistory, OrderLineByHand, ProductNotFound

from . import commands, events
from .backorders import fill, fill_backorders
from .commands import InventoryCommand
from .counting import adjust, adjusted, receive, received, set_available
from .discontinuing import discontinue, discontinued, reactivate, reactivated
from .events import InventoryEvent, ReservationEvent
from .figures import with_balance, with_totals
from .releasing import release, stock_released
from .reserving import (
    reservation_backordered,
    reservation_rejected,
    reserve,
    stock_backordered,
    stock_reserved,
)
from .shipping import reservation_restocked, reservation_shipped, restock, ship, unship
from .state import Reservation, Stock, StockState

DECISIONS: dict[type[InventoryCommand], Callable[[Any, StockState], Sequence[InventoryEvent]]] = {
    commands.ReceiveStock: receive,
    commands.AdjustStock: adjust,
    commands.SetStock: set_available,
    commands.ReserveStock: reserve,
    commands.ReleaseStock: release,
    commands.ShipStock: ship,
    commands.UnshipStock: unship,
    commands.RestockReturn: restock,
    commands.FillBackorders: fill_backorders,
    commands.DiscontinueProduct: discontinue,
    commands.ReactivateProduct: reactivate,
}

CHANGES: dict[type[InventoryEvent], Callable[[Stock, Any], Stock]] = {
    events.StockReceived: received,
    events.StockAdjusted: adjusted,
    events.StockReserved: stock_reserved,
    events.StockBackordered: stock_backordered,
    events.ReservationRejected: reservation_rejected,
    events.StockReleased: stock_released,
    events.StockShipped: with_balance,
    events.StockUnshipped: with_balance,
    events.StockRestocked: with_balance,
    events.ProductDiscontinued: discontinued,
    events.ProductReactivated: reactivated,
}

RESERVATION_CHANGES: dict[type[ReservationEvent], Callable[[Reservation, Any], Reservation]] = {
    events.StockReserved: with_totals,
    events.StockBackordered: reservation_backordered,
    events.ReservationRejected: with_totals,
    events.StockReleased: with_totals,
    events.StockShipped: reservation_shipped,
    events.StockUnshipped: reservation_shipped,
    events.StockRestocked: reservation_restocked,
}

WITHOUT_PRODUCT = (commands.ReceiveStock, commands.SetStock, commands.ReserveStock)
OF_RESERVED = (commands.ReleaseStock, commands.ShipStock, commands.UnshipStock, commands.RestockReturn)
AFTER_RESERVED = (events.StockReleased, events.StockShipped, events.StockUnshipped)


def decide(command: InventoryCommand, state: StockState) -> Sequence[InventoryEvent]:
    """Return the events `command` causes, none if they already happened; raise a Rejection if it is refused.

    A command that makes units available also serves waiting lines, in the same decision.
    """
    stock = state.stock
    if not stock.exists and not isinstance(command, WITHOUT_PRODUCT):
        raise ProductNotFound(productId=state.product_id)
    if isinstance(command, OF_RESERVED) and not command.order_version:
        _refuse_order_line(state.reservation)
    decided = DECISIONS[type(command)](command, state)
    if decided and not stock.discontinued:
        balance = decided[0].balance
        if balance.backordered and balance.available > stock.balance.available:
            return [*decided, *fill(balance, evolve(state, decided[0]).waiting)]
    return decided


def _refuse_order_line(reservation: Reservation | None) -> None:
    """Refuse to move units that an order has reserved, unless the command carries the order's version."""
    if reservation is not None and reservation.order_version:
        raise OrderLineByHand(orderId=reservation.order_id, lineId=reservation.line_id)


def evolve(state: StockState, event: InventoryEvent) -> StockState:
    """Return `state` after `event`, with the reservation that the event changed."""
    stock = evolve_stock(state.stock, event)
    if not isinstance(event, ReservationEvent):
        return StockState(state.product_id, stock, state.reservation, state.waiting)
    after = evolve_reservation(state.find(event.order_id, event.line_id), event)
    return StockState(state.product_id, stock, after, state.waiting_with(after) if state.waiting else ())


def evolve_stock(stock: Stock, event: InventoryEvent) -> Stock:
    """Return `stock` after `event`; raise CorruptHistory if its balance does not add up."""
    return CHANGES[type(event)](stock, event)


def evolve_reservation(reservation: Reservation | None, event: ReservationEvent) -> Reservation:
    """Return the reservation `event` changed, after it; raise CorruptHistory if the event cannot have followed."""
    if reservation is None:
        if isinstance(event, AFTER_RESERVED):
            raise CorruptHistory(f"{type(event).__name__} of line {event.line_id} before it reserved anything")
        reservation = Reservation(event.order_id, event.line_id)
    return RESERVATION_CHANGES[type(event)](reservation, event)
