"""The inventory agent: decides stock commands.

reads    inventory-commands
writes   inventory-events, the order-commands that these cause, command-outcomes, dead-letters
keeps    inventory-stock: each product with its reservations and its backorder queue
"""

from collections.abc import Sequence
from typing import Any, cast
from urllib.parse import unquote

from domain import inventory
from domain.inventory import InventoryCommand, InventoryEvent, Stock
from domain.inventory.commands import AdjustStock, CountStock
from domain.inventory.events import ReservationEvent
from domain.inventory.expiring import ExpireReservation
from domain.message import Event
from streams.messages.envelope import CommandMessage
from streams.runtime.app import RoleApp
from streams.runtime.settings import Settings
from tables.stock import ProductReservations, StockEntry, stock_table
from tables.store import Changes

from .aggregate import AggregateKind
from .worker import TransactionalWorker


def decide(command: CommandMessage, entry: StockEntry | None, changes: Changes[Any]) -> tuple[Sequence[Event], Stock]:
    """Return the events a command causes and the product after them; put changed reservations into `changes`."""
    stock = entry.state if entry is not None else Stock()
    asked = cast(InventoryCommand, command.command)  # no other commands are decoded from this topic
    reservations = ProductReservations(changes, command.key)
    state = reservations.state_for(asked, stock, entry.version if entry is not None else 0)
    events = inventory.decide(asked, state)
    for event in events:
        state = inventory.evolve(state, event)
        if isinstance(event, ReservationEvent) and state.reservation is not None:
            reservations.put(state.reservation)
    return events, state.stock


def timed(entry: bytes, now: str) -> tuple[str, ExpireReservation]:
    """Return the id of the product of a reservation whose timer is due, and the command that this causes."""
    product_id, order_id, line_id = (unquote(segment.decode()) for segment in entry.split(b"/"))
    return product_id, ExpireReservation(order_id=order_id, line_id=line_id, now=now)


def told(events: Sequence[Event]) -> dict[str, Any] | None:
    """Return the lines that wait again after a count."""
    return inventory.told(cast(Sequence[InventoryEvent], events))


TELLING: frozenset[type] = frozenset((AdjustStock, CountStock))
PRODUCT = AggregateKind("inventory", stock_table, StockEntry, decide, timed, told, TELLING)


def start(app: RoleApp, settings: Settings) -> None:
    """Attach a worker that decides these commands: each fetch is one transaction, merged into the table afterwards."""
    app.attach(TransactionalWorker(app, settings, PRODUCT))
