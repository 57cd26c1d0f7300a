"""Expiring: a reservation outside of orders gives up its units at a time; the next in line get them.

A worker keeps a timer for each of them. The time is passed in. Clients cannot send the command.
"""

from msgspec.structs import replace

from domain.message import Command, Id, Instant

from .commands import ReleaseStock
from .events import StockReleased
from .releasing import release
from .state import StockState


class ExpireReservation(Command):
    """Release all units of a line if they were reserved until `now` or earlier."""

    order_id: Id
    line_id: Id
    now: Instant


def expire(command: ExpireReservation, state: StockState) -> list[StockReleased]:
    """Release the units that the line holds or waits for."""
    due = None if state.reservation is None else state.reservation.due
    if due is None or due > command.now:
        return []
    everything = ReleaseStock(order_id=command.order_id, line_id=command.line_id, keep=0)
    return [replace(event, expired_at=due) for event in release(everything, state)]
