"""Deadlines: what becomes due as time passes. The time is passed in, and each decision is recorded as an event.

A worker keeps a timer for the earliest deadline of an order (`next_deadline`). When it is due, the order decides
`ReachDeadline`, which no client can send.
"""

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from domain.errors import CorruptHistory
from domain.message import Command, Instant

from .cancelling import HOLD_UNTIL, SHIP_BY, cancelled, cancelled_backorders, cancelled_by_deadline
from .commands import WhenLate, WhenOver
from .events import LinesCancelled, OrderCancelled, OrderLate, OrderReleased
from .holding import released
from .state import Held, Order

Timed = OrderLate | OrderReleased | LinesCancelled | OrderCancelled


class ReachDeadline(Command):
    """Act on every deadline up to `now`."""

    now: Instant


def next_deadline(order: Order) -> str | None:
    """Return the earliest deadline of `order`; None if nothing becomes due.

    Deadlines are about units that have not shipped. They count again when a shipment is cancelled.
    """
    if order.ship_by is None and not order.held and order.backorders_expire_at is None:
        return None
    times = [hold.until for hold in order.held if hold.until is not None]
    if order.ship_by is not None and not order.late:
        times.append(order.ship_by)
    if order.backorders_expire_at is not None and order.total("backordered"):
        times.append(order.backorders_expire_at)
    return min(times) if times and order.total("unshipped") else None


def reach_deadline(command: ReachDeadline, order: Order) -> list[Timed]:
    """Act on the deadlines that have passed, the earliest first: acting on one may end the reason for others."""
    events: list[Timed] = []
    while (due := next_deadline(order)) is not None and due <= command.now:
        for event in _due(order, due):
            order = _CHANGES[type(event)](order, event)
            events.append(event)
    return events


def _due(order: Order, due: str) -> list[Timed]:
    """Act on one of the deadlines that are at the time `due`."""
    if (hold := next((each for each in order.held if each.until == due), None)) is not None:
        return _over(order, hold)
    if due == order.backorders_expire_at and order.total("backordered"):
        return [cancelled_backorders(order)]
    return _late(order, due)


def _late(order: Order, due: str) -> list[Timed]:
    """Record that units did not ship in time, and cancel them if the order says so and none was lost in transit."""
    late = OrderLate(ship_by=due)
    # Units that replace lost ones were asked for when the time had come or was near.
    if order.when_late is WhenLate.KEEP or order.total("lost"):
        return [late]
    return [late, cancelled_by_deadline(order, SHIP_BY)]


def _over(order: Order, hold: Held) -> list[Timed]:
    """End a hold at its time, or cancel the units that it held."""
    if hold.when_over is WhenOver.CANCEL:
        return [cancelled_by_deadline(order, HOLD_UNTIL)]
    return [OrderReleased(hold_id=hold.hold_id, until=hold.until)]


def order_late(order: Order, event: OrderLate) -> Order:
    """Return `order` as late."""
    if order.late or event.ship_by != order.ship_by:
        raise CorruptHistory(f"late for {event.ship_by}, which is not the time it must still ship by")
    return replace(order, late=True)


_CHANGES: dict[type[Timed], Callable[[Order, Any], Order]] = {
    OrderLate: order_late,
    OrderReleased: released,
    LinesCancelled: cancelled,
    OrderCancelled: cancelled,
}
