"""The process manager between orders and stock: a stateless function from an event to the commands it causes.

Orders and stock send each other totals together with the version they belong to, so that a command handled twice or
late has no effect. An event causes at most one command for any line of any aggregate.
"""

from collections.abc import Callable
from typing import Any, Literal

from domain.inventory.commands import (
    FillBackorders,
    InventoryCommand,
    ReleaseStock,
    ReserveStock,
    RestockReturn,
    ShipStock,
    UnshipStock,
)
from domain.inventory.events import InventoryEvent, ReservationRejected, StockBackordered, StockReserved
from domain.message import State
from domain.orders.commands import OrderCommand, RecordAllocation
from domain.orders.events import (
    LinesCancelled,
    OrderCancelled,
    OrderEvent,
    OrderPlaced,
    ReturnReceived,
    ShipmentCancelled,
    ShipmentCreated,
)
from domain.policy import MANUAL


class Request(State):
    """A command for the aggregate `key`. The caller derives its id from the event's id and the command's position."""

    aggregate: Literal["order", "inventory"]
    key: str
    command: OrderCommand | InventoryCommand


def commands(event: OrderEvent | InventoryEvent, aggregate_id: str, sequence: int) -> list[Request]:
    """Return the commands that event number `sequence` of the aggregate causes, in order."""
    requests = _COMMANDS[type(event)](event, aggregate_id, sequence) if type(event) in _COMMANDS else []
    if getattr(event, "more", False):
        requests.append(Request("inventory", aggregate_id, FillBackorders()))
    return requests


def sends(command: OrderCommand | InventoryCommand) -> bool:
    """Return whether the process manager sent `command`: only its commands about order lines carry a version."""
    return isinstance(command, (RecordAllocation, FillBackorders)) or getattr(command, "order_version", 0) > 0


def _reserve(event: OrderPlaced, order_id: str, version: int) -> list[Request]:
    return [
        Request(
            "inventory",
            line.product_id,
            ReserveStock(
                order_id=order_id,
                line_id=line.line_id,
                quantity=line.quantity,
                policy=event.policy,
                order_version=version,
            ),
        )
        for line in event.lines
    ]


def _release(event: LinesCancelled | OrderCancelled, order_id: str, version: int) -> list[Request]:
    return [
        Request(
            "inventory",
            line.product_id,
            ReleaseStock(order_id=order_id, line_id=line.line_id, keep=line.keep, order_version=version),
        )
        for line in event.lines
    ]


def _ship(event: ShipmentCreated, order_id: str, version: int) -> list[Request]:
    return [
        Request(
            "inventory",
            line.product_id,
            ShipStock(order_id=order_id, line_id=line.line_id, shipped=line.shipped, order_version=version),
        )
        for line in event.lines
    ]


def _unship(event: ShipmentCancelled, order_id: str, version: int) -> list[Request]:
    return [
        Request(
            "inventory",
            line.product_id,
            UnshipStock(order_id=order_id, line_id=line.line_id, shipped=line.shipped, order_version=version),
        )
        for line in event.lines
    ]


def _restock(event: ReturnReceived, order_id: str, version: int) -> list[Request]:
    return [
        Request(
            "inventory",
            line.product_id,
            RestockReturn(
                order_id=order_id,
                line_id=line.line_id,
                received=line.total_received,
                damaged=line.total_damaged,
                order_version=version,
            ),
        )
        for line in event.lines
        if line.received
    ]


def _record(
    event: StockReserved | StockBackordered | ReservationRejected, product_id: str, version: int
) -> list[Request]:
    if event.line_id == MANUAL:
        return []
    command = RecordAllocation(
        line_id=event.line_id,
        reserved=event.reserved,
        backordered=event.backordered,
        rejected=event.rejected,
        reason=event.reason if isinstance(event, ReservationRejected) else None,
        stock_version=version,
    )
    return [Request("order", event.order_id, command)]


_COMMANDS: dict[type[OrderEvent] | type[InventoryEvent], Callable[[Any, str, int], list[Request]]] = {
    OrderPlaced: _reserve,
    LinesCancelled: _release,
    OrderCancelled: _release,
    ShipmentCreated: _ship,
    ShipmentCancelled: _unship,
    ReturnReceived: _restock,
    StockReserved: _record,
    StockBackordered: _record,
    ReservationRejected: _record,
}
