"""The process manager between orders and stock: a stateless function from an event to the commands it causes.

Orders and stock send each other totals together with the version they belong to, so that a command handled twice or
late has no effect. An event causes at most one command for any line of any aggregate.
"""

from collections.abc import Callable
from typing import Any, Literal

from msgspec.structs import replace

from domain.inventory.commands import (
    CloseLocation,
    FillBackorders,
    InventoryCommand,
    MoveReservation,
    ReleaseStock,
    ReserveStock,
    RestockReturn,
    ShipStock,
    UnshipStock,
)
from domain.inventory.events import (
    InventoryEvent,
    LocationClosed,
    ReservationEvent,
    ReservationMoved,
    ReservationRejected,
    StockBackordered,
    StockReleased,
    StockRequeued,
    StockReserved,
    StockShipped,
)
from domain.message import State
from domain.orders.commands import OrderCommand, RecordAllocation
from domain.orders.events import (
    AllocationRecorded,
    LinesAdded,
    LinesCancelled,
    LinesReduced,
    LocationProposed,
    OrderCancelled,
    OrderEvent,
    OrderPlaced,
    ReturnReceived,
    ShipmentCancelled,
    ShipmentCreated,
)
from domain.policy import DEFAULT_LOCATION, MANUAL, AllocationPlan, Granted

MOST_LOCATIONS = 10  # reported as able to give a whole line, because the order keeps them


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


def _reserve(event: OrderPlaced | LinesAdded, order_id: str, version: int) -> list[Request]:
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
                plan=event.allocation,
            ),
        )
        for line in event.lines
    ]


def _release(event: LinesCancelled | LinesReduced | OrderCancelled, order_id: str, version: int) -> list[Request]:
    return [
        Request(
            "inventory",
            line.product_id,
            ReleaseStock(order_id=order_id, line_id=line.line_id, keep=line.keep, order_version=version),
        )
        for line in event.lines
    ]


def _move(event: LocationProposed, order_id: str, version: int) -> list[Request]:
    return [
        Request(
            "inventory",
            line.product_id,
            MoveReservation(
                order_id=order_id,
                line_id=line.line_id,
                location=event.location,
                proposal=event.proposal,
                order_version=version,
            ),
        )
        for line in event.lines
    ]


def _ship(event: ShipmentCreated, order_id: str, version: int) -> list[Request]:
    return [
        Request(
            "inventory",
            line.product_id,
            ShipStock(
                order_id=order_id,
                line_id=line.line_id,
                shipped=line.shipped,
                order_version=version,
                location=event.location,
            ),
        )
        for line in event.lines
    ]


def _unship(event: ShipmentCancelled, order_id: str, version: int) -> list[Request]:
    return [
        Request(
            "inventory",
            line.product_id,
            UnshipStock(
                order_id=order_id,
                line_id=line.line_id,
                shipped=line.shipped,
                order_version=version,
                location=event.location,
            ),
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
                location=event.location,
            ),
        )
        for line in event.lines
        if line.received
    ]


def _record(event: ReservationEvent, product_id: str, version: int) -> list[Request]:
    if event.line_id == MANUAL:
        return []
    command = RecordAllocation(
        line_id=event.line_id,
        reserved=event.reserved,
        backordered=event.backordered,
        rejected=event.rejected,
        reason=event.reason if isinstance(event, ReservationRejected) else None,
        stock_version=version,
        at=_granted(event) if event.at else (),
        could=_could(event, event.plan) if event.plan is not None and event.plan.one_location else (),
        proposal=event.proposal if isinstance(event, ReservationMoved) else 0,
    )
    return [Request("order", event.order_id, command)]


def _granted(event: ReservationEvent) -> tuple[Granted, ...]:
    return tuple(Granted(location=each.location, quantity=each.held + each.shipped) for each in event.at)


def _could(event: ReservationEvent, plan: AllocationPlan) -> tuple[str, ...]:
    """Return the open locations that could give all units that the line holds, in the order of its plan."""
    if not event.locations:
        return (DEFAULT_LOCATION,)
    held = {each.location: each.held for each in event.at} if event.at else {DEFAULT_LOCATION: event.reserved}
    units = sum(held.values())
    could = [
        each.location
        for each in event.locations
        if not each.closed and each.available + held.get(each.location, 0) >= units
    ]
    order = {name: number for number, name in enumerate(plan.locations)}
    return tuple(sorted(could, key=lambda each: order.get(each, len(order)))[:MOST_LOCATIONS])


def _record_locations(event: StockReleased, product_id: str, version: int) -> list[Request]:
    """Report which locations still have units of the line; with one location, the order knows."""
    return _record(event, product_id, version) if event.locations else []


def _correct(event: StockShipped, product_id: str, version: int) -> list[Request]:
    """Report units that the order shipped while stock reported that they wait again, or are refused."""
    if not (event.set_back or event.elsewhere):
        return []
    unrefused = event.set_back - event.unqueued
    told = _record(event, product_id, version)
    return [replace(each, command=replace(each.command, unrefused=unrefused)) for each in told]


def _go_on_closing(event: LocationClosed, product_id: str, version: int) -> list[Request]:
    if not event.unfinished:
        return []
    return [Request("inventory", product_id, CloseLocation(location=event.location, reason=event.reason))]


def _keep(event: AllocationRecorded, order_id: str, version: int) -> list[Request]:
    if event.keep is None:
        return []
    command = ReleaseStock(order_id=order_id, line_id=event.line_id, keep=event.keep, order_version=version)
    return [Request("inventory", event.product_id, command)]


_COMMANDS: dict[type[OrderEvent] | type[InventoryEvent], Callable[[Any, str, int], list[Request]]] = {
    OrderPlaced: _reserve,
    LinesAdded: _reserve,
    LinesReduced: _release,
    LinesCancelled: _release,
    OrderCancelled: _release,
    LocationProposed: _move,
    ShipmentCreated: _ship,
    ShipmentCancelled: _unship,
    ReturnReceived: _restock,
    StockReserved: _record,
    StockBackordered: _record,
    StockRequeued: _record,
    ReservationMoved: _record,
    StockShipped: _correct,
    StockReleased: _record_locations,
    AllocationRecorded: _keep,
    LocationClosed: _go_on_closing,
    ReservationRejected: _record,
}
