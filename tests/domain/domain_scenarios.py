"""given(events).when(command).then(events), for orders and for one product's stock."""

from typing import Any, Self

from domain_laws import (
    follows,
    is_read_as_written,
    needs_no_more_of_the_queue,
    order_adds_up,
    served_fairly,
    stock_adds_up,
)

from domain import inventory, orders
from domain.address import Address
from domain.errors import Rejection
from domain.inventory.events import Balance, ReservationEvent
from domain.message import Command, Event
from domain.orders.commands import LineQuantity, NewLine, PlaceOrder, Price, RecordAllocation
from domain.policy import AllocationPolicy

EUR = "EUR"
LINES = {"boots": "1", "socks": "2", "gloves": "9"}  # ids of an order's lines, by product; no order has gloves
HOME = Address(street="1 Main St", city="Springfield", zip_code="12345", country="US")
WORK = Address(street="2 High St", city="Springfield", zip_code="12345", country="US")


class Scenario:
    """The events so far, and the events or rejection of the last command."""

    events: list[Any]
    refusal: Rejection | None

    def __init__(self, *history: Command | Event) -> None:
        for item in history:
            for event in self.decide(item) if isinstance(item, Command) else [item]:
                self.apply(event)

    def decide(self, command: Any) -> list[Any]:
        raise NotImplementedError

    def obeys_the_laws(self) -> None:
        """Check what is true of every state."""
        raise NotImplementedError

    def apply(self, event: Any) -> None:
        raise NotImplementedError

    def when(self, command: Command) -> Self:
        """Handle a command and apply its events."""
        self.command, self.events, self.refusal = command, [], None
        try:
            self.events = self.decide(command)
        except Rejection as no:
            self.refusal = no
        for event in self.events:
            self.apply(event)
            is_read_as_written(event)
        self.obeys_the_laws()
        return self

    def then(self, *events: Event) -> Self:
        assert self.refusal is None, self.refusal
        assert self.events == list(events)
        return self

    def then_types(self, *types: type[Event]) -> Self:
        assert self.refusal is None, self.refusal
        assert [type(event) for event in self.events] == list(types)
        return self

    def then_quiet(self) -> Self:
        return self.then()

    def then_rejected(self, kind: type[Rejection], **details: Any) -> None:
        assert type(self.refusal) is kind, self.refusal or self.events
        assert self.refusal.details == details
        assert self.refusal.message

    def asked_again(self) -> Self:
        """Handle the same command again."""
        return self.when(self.command)


class OrderScenario(Scenario):
    """The order `o-1`."""

    state = orders.OrderState("o-1")

    def decide(self, command: Any) -> list[Any]:
        return orders.decide(orders.identified(command, "c-1"), self.state)

    def apply(self, event: Any) -> None:
        self.state = orders.evolve(self.state, event)

    def obeys_the_laws(self) -> None:
        if self.order is not None:
            is_read_as_written(self.order)
            order_adds_up(self.order)

    @property
    def order(self) -> orders.Order | None:
        return self.state.order

    def line(self, line_id: str = "1") -> Any:
        assert self.order is not None
        return self.order.line(line_id)


class StockScenario(Scenario):
    """The product `boots`."""

    def __init__(self, *history: Command | Event) -> None:
        self.shelf, self.state = inventory.Shelf("boots"), inventory.StockState("boots")
        super().__init__(*history)

    def decide(self, command: Any) -> list[Any]:
        self.state = self.shelf.state_for(command)
        events = list(inventory.decide(command, self.state))
        needs_no_more_of_the_queue(command, events, self.shelf)
        return events

    def apply(self, event: Any) -> None:
        """Apply an event to the product in memory, and to the state that was read for the command, as a worker does."""
        served_fairly(event, self.shelf)
        line = event if isinstance(event, ReservationEvent) else None
        before = self.shelf.reservations.get((line.order_id, line.line_id)) if line else None
        self.state = inventory.evolve(self.state, event)
        self.shelf.apply(event)
        assert self.state.stock == self.stock
        if line:
            after = self.shelf.reservations[line.order_id, line.line_id]
            assert self.state.reservation == after
            follows(before, after, line)

    def obeys_the_laws(self) -> None:
        for each in (self.stock, *self.shelf.reservations.values()):
            is_read_as_written(each)
        stock_adds_up(self.shelf)

    @property
    def stock(self) -> inventory.Stock:
        return self.shelf.stock

    def then_moved(self, *moves: tuple[type[Event], dict[str, Any]]) -> Self:
        """Check the relevant parts of each event: its type and some of its fields."""
        self.then_types(*(kind for kind, _ in moves))
        for event, (_, fields) in zip(self.events, moves, strict=True):
            assert {name: getattr(event, name) for name in fields} == fields
        return self

    def then_balance(self, **figures: int) -> Self:
        assert {name: getattr(self.balance, name) for name in figures} == figures
        return self

    @property
    def balance(self) -> Balance:
        return self.stock.balance


def price(amount: int = 1000, currency: str = EUR) -> Price:
    return Price(amount=amount, currency=currency)


def new(product_id: str = "boots", quantity: int = 2, **fields: Any) -> NewLine:
    return NewLine(product_id=product_id, quantity=quantity, **{"price": price(), **fields})


def place(*lines: NewLine, **fields: Any) -> PlaceOrder:
    """Return an order of two boots at 10.00, unless specified otherwise."""
    given = {"customer_id": "ann", "shipping_address": HOME, "billing_address": HOME, **fields}
    return PlaceOrder(lines=lines or (new(),), **given)


def some(**quantities: int) -> tuple[LineQuantity, ...]:
    """Return units of an order's lines by their product: some(boots=2)."""
    return tuple(LineQuantity(line_id=LINES[product], quantity=units) for product, units in quantities.items())


def record(product: str = "boots", version: int = 1, **figures: Any) -> RecordAllocation:
    """Return what stock reports of the line of `product`."""
    zero = {"reserved": 0, "backordered": 0, "rejected": 0}
    return RecordAllocation(line_id=LINES[product], stock_version=version, **{**zero, **figures})


BACKORDER, PARTIAL, ALL_OR_NOTHING = AllocationPolicy
