"""The order agent: decides order commands."""

from collections.abc import Mapping, Sequence
from typing import Any

from domain import orders
from domain.message import Command, Event
from domain.orders import Order, OrderState
from streams import topics
from streams.messages.envelope import Aggregate
from streams.runtime.app import RoleApp
from streams.runtime.settings import Role, Settings
from tables.entries import Recent, segment
from tables.orders import OrderEntry, orders_table
from tables.store import Changes

from .worker import ProcessingWorker


class OrderKind:
    """Orders: one entry each."""

    aggregate: Aggregate = "order"
    id_field = "orderId"
    types: Mapping[str, type[Command]] = orders.COMMANDS
    commands = topics.ORDER_COMMANDS
    events = topics.ORDER_EVENTS

    def key(self, aggregate_id: str) -> bytes:
        """Return the key of the order's entry."""
        return segment(aggregate_id)

    def decide(
        self, command: Command, entry: OrderEntry | None, changes: Changes[Any], aggregate_id: str
    ) -> tuple[Sequence[Event], Order | None]:
        """Return the events, and the order after them."""
        state = OrderState(aggregate_id, entry.state if entry is not None else None)
        events = orders.decide(command, state)  # type: ignore[arg-type]  # decoded by `types`
        for event in events:
            state = orders.evolve(state, event)
        return events, state.order

    def entry(self, state: Order, version: int, recent: Recent, time: str) -> OrderEntry:
        """Return the order's entry."""
        return OrderEntry(state, version, recent, time)

    def result(self, entry: OrderEntry) -> dict[str, Any]:
        """Return the order's statuses."""
        order, allocation = entry.state, entry.state.allocation_status
        return {"status": order.status._value_, "allocationStatus": allocation and allocation._value_}


def order_worker(app: RoleApp, role: Role, settings: Settings) -> None:
    """Give the orders role its table and its agent."""
    worker = ProcessingWorker(app, role, settings)
    decide = worker.deciding(OrderKind(), orders_table(worker.app))

    @worker.agent()
    async def order_agent(stream: Any) -> None:
        """Decide order commands: what one fetch brought is one transaction, whole or not at all."""
        async for fetch in worker.fetches(stream):
            await worker.handle(fetch, decide)
