"""The orders agent: decides order commands.

reads    order-commands
writes   order-events, the inventory-commands that these cause, command-outcomes, dead-letters
keeps    orders-states: each order
"""

from collections.abc import Sequence
from typing import Any, cast
from urllib.parse import unquote

from domain import orders
from domain.message import Event
from domain.orders import Order, OrderCommand, OrderState
from domain.orders.deadlines import ReachDeadline, next_deadline
from streams.keys import segment
from streams.messages.envelope import CommandMessage
from streams.runtime.app import RoleApp
from streams.runtime.settings import Settings
from tables.orders import OrderEntry, orders_table
from tables.store import Changes
from tables.timers import move

from .aggregate import AggregateKind
from .worker import TransactionalWorker


def decide(
    command: CommandMessage, entry: OrderEntry | None, changes: Changes[Any]
) -> tuple[Sequence[Event], Order | None]:
    """Return the events a command causes and the order after them."""
    before = entry.state if entry is not None else None
    state = OrderState(command.key, before)
    events = orders.decide(cast(OrderCommand, command.command), state)  # no other commands are decoded from this topic
    for event in events:
        state = orders.evolve(state, event)
    if events and state.order is not None:
        due = None if before is None else next_deadline(before)
        move(changes, segment(command.key), due, next_deadline(state.order))
    return events, state.order


def timed(entry: bytes, now: str) -> tuple[str, ReachDeadline]:
    """Return the id of an order whose timer is due, and the command that this causes."""
    return unquote(entry.decode()), ReachDeadline(now=now)


ORDER = AggregateKind("order", orders_table, OrderEntry, decide, timed)


def start(app: RoleApp, settings: Settings) -> None:
    """Attach a worker that decides these commands: each fetch is one transaction, merged into the table afterwards."""
    app.attach(TransactionalWorker(app, settings, ORDER))
