"""Orders and stock in memory, decided by the domain, with the events that an audit reads."""

from collections import deque
from typing import Any

from domain import fulfilment, inventory, orders
from domain.address import Address
from domain.message import Event
from domain.orders.commands import NewLine, PlaceOrder, Price
from ops.audit.history import Aggregate, Histories
from ops.audit.lines import Lines
from ops.audit.report import Report
from projections.table import INVENTORY, ORDERS
from streams.messages.envelope import EventMessage, derived_id

HOME = Address(street="1 High St", city="Bath", state="", zip_code="BA1", country="GB")
TIME = "2026-11-23T10:00:00.000Z"


class World:
    """Two logs of events with all decisions; `hold_back` keeps commands of the process manager in flight."""

    def __init__(self) -> None:
        self.logs: dict[str, list[EventMessage]] = {"order": [], "inventory": []}
        self.orders: dict[str, orders.Order] = {}
        self.shelves: dict[str, inventory.Shelf] = {}
        self.under_way: deque[fulfilment.Request] = deque()

    def tell(self, aggregate: Any, key: str, command: Any, settle: bool = True) -> None:
        """Let an aggregate decide a command, and all commands that it causes."""
        self.under_way.append(fulfilment.Request(aggregate, key, command))
        self.step()
        while settle and self.under_way:
            self.step()

    def step(self) -> None:
        """Handle the next command in flight."""
        request = self.under_way.popleft()
        decide = self._order if request.aggregate == "order" else self._product
        log = self.logs[request.aggregate]
        for event in decide(request.key, request.command):
            sequence = 1 + sum(message.key == request.key for message in log)
            identifier = derived_id(request.key, sequence)
            log.append(EventMessage(identifier, request.key, event, sequence, TIME, "test", "c", f"{len(log)}"))
            self.under_way += fulfilment.commands(event, request.key, sequence)

    def _order(self, key: str, command: Any) -> list[Event]:
        state = orders.OrderState(key, self.orders.get(key))
        events = orders.decide(orders.identified(command, f"{key}-{len(self.logs['order'])}"), state)
        for event in events:
            self.orders[key] = orders.evolve_order(self.orders.get(key), event)
        return list(events)

    def _product(self, key: str, command: Any) -> list[Event]:
        shelf = self.shelves.setdefault(key, inventory.Shelf(key))
        events = shelf.decide(command)
        for event in events:
            shelf.apply(event)
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
    """Return the lines of both logs, without comparing those again that differ."""
    lines = Lines(report)
    lines.add_products(_aggregates("inventory", inventory_log, report))
    lines.add_orders(_aggregates("order", orders_log, report))
    lines.add_rest()
    return lines


def _aggregates(aggregate: str, messages: list[EventMessage], report: Report) -> list[Aggregate]:
    return list(histories(aggregate, messages, report).aggregates.values())
