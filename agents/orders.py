"""The orders agent: decides order commands.

reads    order-commands
writes   order-events, the inventory-commands that these cause, command-outcomes, dead-letters
keeps    orders-states: each order
"""

from collections.abc import Sequence
from typing import Any, cast

from domain import orders
from domain.message import Event
from domain.orders import Order, OrderCommand, OrderState
from streams.messages.envelope import CommandMessage
from streams.runtime.app import RoleApp
from streams.runtime.settings import Settings
from tables.orders import OrderEntry, orders_table
from tables.store import Changes

from .aggregate import AggregateKind
from .worker import TransactionalWorker


def decide(
    command: CommandMessage, entry: OrderEntry | None, changes: Changes[Any]
) -> tuple[Sequence[Event], Order | None]:
    """Return the events a command causes and the order after them."""
    state = OrderState(command.key, entry.state if entry is not None else None)
    events = orders.decide(cast(OrderCommand, command.command), state)  # no other commands are decoded from this topic
    for event in events:
        state = orders.evolve(state, event)
    return events, state.order


ORDER = AggregateKind("order", orders_table, OrderEntry, decide)


def start(app: RoleApp, settings: Settings) -> None:
    """Attach a worker that decides these commands: each fetch is one transaction, merged into the table afterwards."""
    app.attach(TransactionalWorker(app, settings, ORDER))
