"""given_order(commands).when(command).then_shown(fields): the documents of read models after events.

The domain decides the commands. Each event is applied to the document that the events before it left, as the projector
does, and no fold may change the document it is given.
"""

import copy
from collections.abc import Callable
from functools import reduce
from typing import Any, Generic, Self, TypeVar

from projection_histories import LINES, order_history, stock_history

from domain.inventory.commands import InventoryCommand, ReserveStock, ShipStock
from domain.orders.commands import OrderCommand
from projections import customer_orders, inventory, orders, reservations, stock_ledger, work_queue
from projections.document import Document, public
from projections.orders import OrderView
from streams.messages.envelope import EventMessage

Command = TypeVar("Command", OrderCommand, InventoryCommand)
Project = Callable[[Document | None, EventMessage], Document]


class Scenario(Generic[Command]):
    """The commands and events of one order or product, and its documents."""

    def __init__(self, *commands: Command) -> None:
        self.commands: list[Command] = []
        self.messages: list[EventMessage] = []
        for command in commands:
            self.when(command)

    def when(self, command: Command) -> Self:
        """Handle a command and apply its events."""
        self.commands.append(command)
        before, self.messages = len(self.messages), self.history()
        for message in self.messages[before:]:
            self.apply(message)
        return self

    def history(self) -> list[EventMessage]:
        raise NotImplementedError

    def apply(self, message: EventMessage) -> None:
        raise NotImplementedError


class OrderScenario(Scenario[OrderCommand]):
    """The order `o-1`."""

    document: Document | None = None

    def history(self) -> list[EventMessage]:
        return order_history("o-1", *self.commands)

    def apply(self, message: EventMessage) -> None:
        self.document = unchanged(orders.project, self.document, message)

    @property
    def view(self) -> OrderView:
        """The order folded without documents."""
        view: OrderView | None = reduce(orders.fold, self.messages, None)
        assert view is not None
        return view

    @property
    def whole(self) -> Document:
        assert self.document is not None
        return orders.whole(self.document)

    def then_shown(self, **fields: Any) -> Self:
        """Check some fields of the order as the API shows it."""
        check(public(self.whole), fields)
        return self

    def then_customer_order(self, **fields: Any) -> Self:
        check(customer_orders.document_of(self.whole), fields)
        return self

    def then_work_queue(self, **fields: Any) -> Self:
        check(work_queue.document_of(self.whole), fields)
        return self


class StockScenario(Scenario[InventoryCommand]):
    """The product `boot`."""

    def __init__(self, *commands: InventoryCommand) -> None:
        self.product: Document | None = None
        self.reservations: dict[str, Document] = {}
        super().__init__(*commands)

    def history(self) -> list[EventMessage]:
        return stock_history("boot", *self.commands)

    def apply(self, message: EventMessage) -> None:
        self.product = unchanged(inventory.project, self.product, message)
        assert inventory.document_of(inventory.view_of(self.product)) == self.product
        if key := reservations.key(message):
            before = self.reservations.get(key)
            assert before is None or not reservations.begins(message)
            after = self.reservations[key] = unchanged(reservations.project, before, message)
            assert reservations.document_of(reservations.view_of(after)) == after

    @property
    def shown(self) -> Document:
        assert self.product is not None
        return public(self.product)

    def then_shown(self, **fields: Any) -> Self:
        """Check some fields of the product as the API shows it."""
        check(self.shown, fields)
        return self

    def then_shown_only(self, **fields: Any) -> Self:
        """Check all fields of the product as the API shows it."""
        assert self.shown == fields
        return self

    def then_reservation(self, order: str, **fields: Any) -> Self:
        """Check some fields of the reservation for the boots of `order`."""
        check(self.reservations[f"boot/{order}/{LINES['boot']}"], fields)
        return self

    def then_begun(self, *events: tuple[str, int]) -> Self:
        """Check which events begin a reservation, by type and sequence."""
        assert [(each.type, each.sequence) for each in self.messages if reservations.begins(each)] == list(events)
        return self

    @property
    def ledger(self) -> list[Document]:
        return [stock_ledger.shown(message) for message in self.messages]


def unchanged(project: Project, document: Document | None, message: EventMessage) -> Document:
    """Return the document after `message`; the given one stays as it was."""
    before = copy.deepcopy(document)
    after = project(document, message)
    assert document == before, "the given document was changed"
    return after


def check(document: Document, fields: dict[str, Any]) -> None:
    assert {name: document[name] for name in fields} == fields


def reserve(quantity: int, order: str = "o-1") -> ReserveStock:
    """Return the request of the boots of `order`."""
    return ReserveStock(order_id=order, line_id=LINES["boot"], quantity=quantity, order_version=1)


def ship(shipped: int, order: str = "o-1") -> ShipStock:
    """Return the report of the boots of `order` that are shipped in total."""
    return ShipStock(order_id=order, line_id=LINES["boot"], shipped=shipped, order_version=2)


given_order, given_stock = OrderScenario, StockScenario
