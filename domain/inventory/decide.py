"""What a product's stock answers to a command: the events it causes, or a rejection."""

from collections.abc import Callable, Iterator
from typing import Any

from domain.errors import OrderLineByHand, ProductNotFound
from domain.ids import refuse_confusable

from . import count, queue, reserve, ship
from .commands import (
    AdjustStock,
    DiscontinueProduct,
    FillBackorders,
    InventoryCommand,
    ReactivateProduct,
    ReceiveStock,
    ReleaseStock,
    ReserveStock,
    RestockReturn,
    SetStock,
    ShipStock,
    UnshipStock,
)
from .events import InventoryEvent, ReservationEvent
from .evolve import evolve_reservation
from .state import Reservation, Reservations, Stock

OF_A_LINE = ReleaseStock | ShipStock | UnshipStock | RestockReturn


def decide(
    command: InventoryCommand, stock: Stock, reservations: Reservations, product_id: str
) -> list[InventoryEvent]:
    """Return the events `command` causes, none if they already happened; raise a Rejection where it is refused.

    Whatever makes units available serves those who wait in the same decision, as far as FILL_LIMIT goes.
    """
    if not stock.exists and not isinstance(command, ReceiveStock | SetStock | ReserveStock):
        raise ProductNotFound(productId=product_id)
    if not stock.exists and isinstance(command, ReceiveStock | SetStock):
        refuse_confusable("productId", product_id)
    _refuse_order_line_by_hand(command, reservations)
    events = _DECIDE[type(command)](command, stock, reservations, product_id)
    if events and events[0].balance.available > stock.balance.available and not stock.discontinued:
        events += queue.fill(events[0].balance, _waiting_after(events[0], stock, reservations))
    return events


def _refuse_order_line_by_hand(command: InventoryCommand, reservations: Reservations) -> None:
    """Let only the order itself, which says its version, move what it has reserved."""
    if isinstance(command, OF_A_LINE) and not command.order_version:
        line = reservations.get(command.order_id, command.line_id)
        if line is not None and line.order_version:
            raise OrderLineByHand(orderId=command.order_id, lineId=command.line_id)


def _waiting_after(event: InventoryEvent, stock: Stock, reservations: Reservations) -> Iterator[Reservation]:
    """Yield those that wait once `event` has happened to one of them."""
    waiting = reservations.waiting(stock.queue_head, stock.queue_tail)
    if not isinstance(event, ReservationEvent):
        return waiting
    return _replaced(waiting, evolve_reservation(reservations.get(event.order_id, event.line_id), event))


def _replaced(waiting: Iterator[Reservation], changed: Reservation) -> Iterator[Reservation]:
    for line in waiting:
        if (line.line_id, line.order_id) != (changed.line_id, changed.order_id):
            yield line
        elif changed.waiting:
            yield changed


_DECIDE: dict[type[InventoryCommand], Callable[[Any, Stock, Reservations, str], list[InventoryEvent]]] = {
    ReceiveStock: count.receive,
    SetStock: count.set_available,
    AdjustStock: count.adjust,
    ReserveStock: reserve.reserve,
    ReleaseStock: reserve.release,
    ShipStock: ship.ship,
    UnshipStock: ship.unship,
    RestockReturn: ship.restock,
    FillBackorders: queue.fill_backorders,
    DiscontinueProduct: queue.discontinue,
    ReactivateProduct: queue.reactivate,
}
