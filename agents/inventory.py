"""The inventory agent: decides stock commands."""

from collections.abc import Mapping, Sequence
from typing import Any

from domain import inventory
from domain.inventory import Stock
from domain.inventory.events import ReservationEvent
from domain.message import Command, Event
from streams import topics
from streams.messages.envelope import Aggregate
from streams.runtime.app import RoleApp
from streams.runtime.settings import Role, Settings
from tables.entries import Recent, segment
from tables.stock import ProductReservations, StockEntry, stock_table
from tables.store import Changes

from .worker import ProcessingWorker


class InventoryKind:
    """Products: an entry each, beside those of their reservations and backorder queues."""

    aggregate: Aggregate = "inventory"
    id_field = "productId"
    types: Mapping[str, type[Command]] = inventory.COMMANDS
    commands = topics.INVENTORY_COMMANDS
    events = topics.INVENTORY_EVENTS

    def key(self, aggregate_id: str) -> bytes:
        """Return the key of the product's entry."""
        return segment(aggregate_id)

    def decide(
        self, command: Command, entry: StockEntry | None, changes: Changes[Any], aggregate_id: str
    ) -> tuple[Sequence[Event], Stock]:
        """Return the events, and the product after them; its reservations are changed in `changes`."""
        stock = entry.state if entry is not None else Stock()
        reservations = ProductReservations(changes, aggregate_id)
        state = reservations.state_for(command, stock)  # type: ignore[arg-type]  # decoded by `types`
        events = inventory.decide(command, state)  # type: ignore[arg-type]
        for event in events:
            state = inventory.evolve(state, event)
            if isinstance(event, ReservationEvent) and state.reservation is not None:
                reservations.put(state.reservation)
        return events, state.stock

    def entry(self, state: Stock, version: int, recent: Recent, time: str) -> StockEntry:
        """Return the product's entry."""
        return StockEntry(state, version, recent, time)

    def result(self, entry: StockEntry) -> dict[str, Any]:
        """Return the product's quantities and status."""
        balance = entry.state.balance
        return {
            "availableQuantity": balance.available,
            "allocatedQuantity": balance.allocated,
            "onHandQuantity": balance.on_hand,
            "damagedQuantity": balance.damaged,
            "backorderedQuantity": balance.backordered,
            "status": entry.state.status if entry.state.exists else None,
        }


def inventory_worker(app: RoleApp, role: Role, settings: Settings) -> None:
    """Give the inventory role its table and its agent."""
    worker = ProcessingWorker(app, role, settings)
    decide = worker.deciding(InventoryKind(), stock_table(worker.app))

    @worker.agent()
    async def inventory_agent(stream: Any) -> None:
        """Decide stock commands: what one fetch brought is one transaction, whole or not at all."""
        async for fetch in worker.fetches(stream):
            await worker.handle(fetch, decide)
