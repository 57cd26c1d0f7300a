"""A product's stock at a glance: the decision for each command, and the change for each event."""

from collections.abc import Callable, Sequence
from typing import Any

from msgspec.structs import replace

from domain.errors import CorruptHistory, OrderLineByHand, ProductNotFound

from . import commands, events
from .backorders import fill, fill_backorders
from .commands import InventoryCommand
from .counting import adjust, adjusted, count, receive, received, set_available
from .discontinuing import discontinue, discontinued, reactivate, reactivated
from .events import InventoryEvent, ReservationEvent
from .expiring import ExpireReservation, expire
from .figures import with_balance, with_totals
from .locations import has_more_free
from .moving import move_reservation
from .opening import close_location, location_changed, open_location
from .releasing import release, stock_released
from .requeueing import reservation_requeued, stock_requeued
from .reserving import (
    reservation_backordered,
    reservation_rejected,
    reserve,
    stock_backordered,
    stock_reserved,
)
from .shipping import reservation_restocked, reservation_shipped, restock, ship, stock_shipped, unship
from .state import Reservation, Stock, StockState
from .transferring import receive_transfer, transfer, transfer_received, transferred

DECISIONS: dict[type[InventoryCommand], Callable[[Any, StockState], Sequence[InventoryEvent]]] = {
    commands.ReceiveStock: receive,
    commands.AdjustStock: adjust,
    commands.CountStock: count,
    commands.SetStock: set_available,
    commands.TransferStock: transfer,
    commands.ReceiveTransfer: receive_transfer,
    commands.OpenLocation: open_location,
    commands.CloseLocation: close_location,
    commands.ReserveStock: reserve,
    commands.ReleaseStock: release,
    commands.MoveReservation: move_reservation,
    commands.ShipStock: ship,
    commands.UnshipStock: unship,
    commands.RestockReturn: restock,
    commands.FillBackorders: fill_backorders,
    commands.DiscontinueProduct: discontinue,
    commands.ReactivateProduct: reactivate,
}

BY_TIME: dict[type[ExpireReservation], Callable[[Any, StockState], Sequence[InventoryEvent]]] = {
    ExpireReservation: expire
}  # decided when a timer is due; clients cannot send these commands

CHANGES: dict[type[InventoryEvent], Callable[[Stock, Any], Stock]] = {
    events.StockReceived: received,
    events.StockAdjusted: adjusted,
    events.StockTransferred: transferred,
    events.TransferReceived: transfer_received,
    events.LocationOpened: location_changed,
    events.LocationClosed: location_changed,
    events.StockReserved: stock_reserved,
    events.StockBackordered: stock_backordered,
    events.StockRequeued: stock_requeued,
    events.ReservationRejected: reservation_rejected,
    events.StockReleased: stock_released,
    events.ReservationMoved: with_balance,
    events.StockShipped: stock_shipped,
    events.StockUnshipped: with_balance,
    events.StockRestocked: with_balance,
    events.ProductDiscontinued: discontinued,
    events.ProductReactivated: reactivated,
}

RESERVATION_CHANGES: dict[type[ReservationEvent], Callable[[Reservation, Any], Reservation]] = {
    events.StockReserved: with_totals,
    events.StockBackordered: reservation_backordered,
    events.StockRequeued: reservation_requeued,
    events.ReservationRejected: with_totals,
    events.StockReleased: with_totals,
    events.ReservationMoved: with_totals,
    events.StockShipped: reservation_shipped,
    events.StockUnshipped: reservation_shipped,
    events.StockRestocked: reservation_restocked,
}

WITHOUT_PRODUCT = (commands.ReceiveStock, commands.SetStock, commands.CountStock, commands.ReserveStock)
OF_RESERVED = (
    commands.ReleaseStock, commands.MoveReservation, commands.ShipStock, commands.UnshipStock, commands.RestockReturn,
)  # fmt: skip
AFTER_RESERVED = (
    events.StockRequeued, events.StockReleased, events.ReservationMoved, events.StockShipped, events.StockUnshipped,
)  # fmt: skip


def decide(command: InventoryCommand | ExpireReservation, state: StockState) -> Sequence[InventoryEvent]:
    """Return the events `command` causes, none if they already happened; raise a Rejection if it is refused.

    A command that makes units available also serves waiting lines, in the same decision.
    """
    stock = state.stock
    if not stock.exists and not isinstance(command, WITHOUT_PRODUCT):
        raise ProductNotFound(productId=state.product_id)
    if isinstance(command, OF_RESERVED) and not command.order_version:
        _refuse_order_line(state.reservation)
    decide_it = BY_TIME[ExpireReservation] if isinstance(command, ExpireReservation) else DECISIONS[type(command)]
    decided = decide_it(command, state)
    if decided and not stock.discontinued:
        last = decided[-1]
        if last.balance.backordered and has_more_free(stock, last.balance.available, last.locations):
            for event in decided:
                state = evolve(state, event)
            return [*decided, *fill(state.stock, state.waiting)]
    return decided


def _refuse_order_line(reservation: Reservation | None) -> None:
    """Refuse to move units that an order has reserved, unless the command carries the order's version."""
    if reservation is not None and reservation.order_version:
        raise OrderLineByHand(orderId=reservation.order_id, lineId=reservation.line_id)


def evolve(state: StockState, event: InventoryEvent) -> StockState:
    """Return `state` after `event`, with the reservation that the event changed."""
    stock, version = evolve_stock(state.stock, event), state.version + 1
    if not isinstance(event, ReservationEvent):
        return StockState(state.product_id, stock, state.reservation, state.waiting, version, state.newest)
    after = evolve_reservation(state.find(event.order_id, event.line_id), event, version)
    waiting = state.waiting_with(after) if state.waiting else ()
    return StockState(state.product_id, stock, after, waiting, version, state.newest)


def evolve_stock(stock: Stock, event: InventoryEvent) -> Stock:
    """Return `stock` after `event`; raise CorruptHistory if its balance does not add up."""
    return CHANGES[type(event)](stock, event)


def evolve_reservation(reservation: Reservation | None, event: ReservationEvent, version: int) -> Reservation:
    """Return the reservation `event` changed, after it; raise CorruptHistory if the event cannot have followed.

    `version` is the product's, after the event.
    """
    if reservation is None:
        if isinstance(event, AFTER_RESERVED):
            raise CorruptHistory(f"{type(event).__name__} of line {event.line_id} before it reserved anything")
        reservation = Reservation(event.order_id, event.line_id, since=version)  # most new lines get units at once
    after = RESERVATION_CHANGES[type(event)](reservation, event)
    since = (reservation.since if reservation.held else version) if after.held else 0
    return after if after.since == since else replace(after, since=since)
