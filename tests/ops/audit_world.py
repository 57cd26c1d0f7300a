"""Orders and stock in memory, decided by the domain, with the events an audit reads."""

from collections import defaultdict, deque
from collections.abc import Iterator
from typing import Any

from domain import fulfilment, inventory, orders
from domain.address import Address
from domain.inventory.events import ReservationEvent
from domain.message import Event
from domain.orders.commands import NewLine, PlaceOrder, Price
from ops.audit.history import Aggregate, Histories
from ops.audit.lines import Lines
from ops.audit.report import Report
from projections.table import INVENTORY, ORDERS
from streams.messages.envelope import EventMessage, derived_id

HOME = Address(street="1 High St", city="Bath", state="", zip_code="BA1", country="GB")
TIME = "2026-11-23T10:00:00.000Z"


class Shelf(dict[tuple[str, str], inventory.Reservation]):
    """A product's reservations."""

    def get(self, order_id: str, line_id: str) -> inventory.Reservation | None:  # type: ignore[override]
        return super().get((order_id, line_id))

    def waiting(self, head: int, tail: int) -> Iterator[inventory.Reservation]:
        queue = {line.place: line for line in self.values() if line.place is not None}
        return (queue[place] for place in range(head, tail) if place in queue)


class World:
    """What was decided, as two logs of events; `hold_back` keeps commands of the process manager under way."""

    def __init__(self) -> None:
        self.logs: dict[str, list[EventMessage]] = {"order": [], "inventory": []}
        self.orders: dict[str, orders.Order] = {}
        self.stocks: dict[str, inventory.Stock] = defaultdict(inventory.Stock)
        self.shelves: dict[str, Shelf] = defaultdict(Shelf)
        self.under_way: deque[fulfilment.Request] = deque()

    def tell(self, aggregate: Any, key: str, command: Any, settle: bool = True) -> None:
        """Let an aggregate decide, and everything that follows from it."""
        self.under_way.append(fulfilment.Request(aggregate, key, command))
        self.step()
        while settle and self.under_way:
            self.step()

    def step(self) -> None:
        """Handle the next command under way."""
        request = self.under_way.popleft()
        decide = self._order if request.aggregate == "order" else self._product
        log = self.logs[request.aggregate]
        for event in decide(request.key, request.command):
            sequence = 1 + sum(message.key == request.key for message in log)
            identifier = derived_id(request.key, sequence)
            log.append(EventMessage(identifier, request.key, event, sequence, TIME, "test", "c", f"{len(log)}"))
            self.under_way += fulfilment.commands(event, request.key, sequence)

    def _order(self, key: str, command: Any) -> list[Event]:
        events = orders.decide(
            orders.identified(command, f"{key}-{len(self.logs['order'])}"), self.orders.get(key), key
        )
        for event in events:
            self.orders[key] = orders.evolve(self.orders.get(key), event)
        return list(events)

    def _product(self, key: str, command: Any) -> list[Event]:
        shelf = self.shelves[key]
        events = inventory.decide(command, self.stocks[key], shelf, key)
        for event in events:
            self.stocks[key] = inventory.evolve(self.stocks[key], event)
            if isinstance(event, ReservationEvent):
                at = event.order_id, event.line_id
                shelf[at] = inventory.evolve_reservation(shelf.get(*at), event)
        return list(events)


def place(*lines: tuple[str, int]) -> PlaceOrder:
    """Return an order of (product, quantity) lines."""
    price = Price(amount=1000, currency="EUR")
    new = tuple(NewLine(product_id=product, quantity=units, price=price) for product, units in lines)
    return PlaceOrder(customer_id="c-1", lines=new, shipping_address=HOME, billing_address=HOME)


def histories(aggregate: str, messages: list[EventMessage], report: Report) -> Histories:
    """Return the aggregates of a log with one partition."""
    found = Histories(ORDERS if aggregate == "order" else INVENTORY, 0, 1, report)
    for offset, message in enumerate(messages):
        found.apply(message, offset)
    return found


def compared(orders_log: list[EventMessage], inventory_log: list[EventMessage], report: Report) -> Lines:
    """Return the lines of both logs, those that differ not judged yet."""
    lines = Lines(report)
    lines.add_products(_aggregates("inventory", inventory_log, report))
    lines.add_orders(_aggregates("order", orders_log, report))
    lines.add_rest()
    return lines


def _aggregates(aggregate: str, messages: list[EventMessage], report: Report) -> list[Aggregate]:
    return list(histories(aggregate, messages, report).aggregates.values())
