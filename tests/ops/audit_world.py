"""Orders and stock in memory, decided by the domain; and audit(events).then_drift(kind, keys) for their events."""

from collections import deque
from typing import Any, Self

from domain import fulfilment, inventory, orders
from domain.address import Address
from domain.inventory.commands import InventoryCommand
from domain.message import Event
from domain.orders.archiving import archive
from domain.orders.commands import LineQuantity, NewLine, OrderCommand, PlaceOrder, Price
from ops.audit.history import Histories
from ops.audit.lines import Lines, compared, order_facts, reservation_facts
from ops.audit.report import Kind, Report
from projections.table import INVENTORY, ORDERS
from streams.messages.envelope import EventMessage, derived_id

HOME = Address(street="1 High St", city="Bath", state="", zip_code="BA1", country="GB")
LINES = {"boots": "1", "socks": "2"}  # ids of an order's lines, by product
TIME = "2026-11-23T10:00:00.000Z"


class World:
    """Two logs of events with all decisions; `settle=False` keeps commands of the process manager in flight."""

    def __init__(self) -> None:
        self.logs: dict[str, list[EventMessage]] = {"order": [], "inventory": []}
        self.orders: dict[str, orders.Order] = {}
        self.shelves: dict[str, inventory.Shelf] = {}
        self.under_way: deque[fulfilment.Request] = deque()

    def order(self, key: str, *commands: OrderCommand, settle: bool = True) -> None:
        """Let an order decide commands, each with all commands that it causes."""
        for command in commands:
            self._tell(fulfilment.Request("order", key, command), settle)

    def stock(self, product: str, *commands: InventoryCommand, settle: bool = True) -> None:
        """Let a product decide commands, each with all commands that it causes."""
        for command in commands:
            self._tell(fulfilment.Request("inventory", product, command), settle)

    def archive(self, key: str) -> None:
        """Archive an order that is closed."""
        sequence = 1 + sum(message.key == key for message in self.logs["order"])
        (event,) = archive(self.orders[key])
        self.logs["order"].append(
            EventMessage(derived_id(key, sequence), key, event, sequence, TIME, "order", "c", "e")
        )

    def _tell(self, request: fulfilment.Request, settle: bool) -> None:
        self.under_way.append(request)
        self.step()
        while settle and self.under_way:
            self.step()

    def step(self) -> list[EventMessage]:
        """Handle the next command in flight, and return its events."""
        request = self.under_way.popleft()
        decide = self._order if request.aggregate == "order" else self._product
        log = self.logs[request.aggregate]
        before = len(log)
        for event in decide(request.key, request.command):
            sequence = 1 + sum(message.key == request.key for message in log)
            identifier = derived_id(request.key, sequence)
            log.append(EventMessage(identifier, request.key, event, sequence, TIME, "test", "c", f"{len(log)}"))
            self.under_way += fulfilment.commands(event, request.key, sequence)
        return log[before:]

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


def place(**quantities: int) -> PlaceOrder:
    """Return an order of units of products: place(boots=2)."""
    price = Price(amount=1000, currency="EUR")
    new = tuple(NewLine(product_id=product, quantity=units, price=price) for product, units in quantities.items())
    return PlaceOrder(customer_id="c-1", lines=new, shipping_address=HOME, billing_address=HOME)


def some(**quantities: int) -> tuple[LineQuantity, ...]:
    """Return units of an order's lines by their product."""
    return tuple(LineQuantity(line_id=LINES[product], quantity=units) for product, units in quantities.items())


def histories(aggregate: str, messages: list[EventMessage], report: Report) -> Histories:
    """Return the aggregates of a log with one partition."""
    found = Histories(ORDERS if aggregate == "order" else INVENTORY, 0, 1, report)
    for offset, message in enumerate(messages):
        found.apply(message, offset)
    return found


class Audit:
    """The report of an audit."""

    def __init__(self) -> None:
        self.report = Report()

    def then_clean(self) -> Self:
        assert self.report.drifts == []
        assert self.report.clean
        return self

    def then_drift(self, kind: Kind, *keys: str) -> Self:
        """Check that there is one drift for each key, and no other."""
        found = sorted((drift.kind, drift.key) for drift in self.report.drifts)
        assert found == sorted((kind, key) for key in keys)
        assert not self.report.clean
        return self

    def then_checked(self, what: str, count: int) -> Self:
        assert self.report.checked[what] == count
        return self


class LogAudit(Audit):
    """The audit of the events of all orders, or of all products."""

    def __init__(self, aggregate: str, log: list[EventMessage]) -> None:
        super().__init__()
        self.histories = histories(aggregate, log, self.report)


class LinesAudit(Audit):
    """The audit of both logs and of the lines and reservations in them; pairs that differ wait to be judged."""

    def __init__(self, orders: list[EventMessage], inventory: list[EventMessage]) -> None:
        super().__init__()
        products, placed = histories("inventory", inventory, self.report), histories("order", orders, self.report)
        every = [*products.aggregates.values(), *placed.aggregates.values()]
        broken = {each.key for each in every if each.broken}
        reserved = [
            fact
            for each in products.sound()
            for _, fact in reservation_facts(each.views.get("reservations", {}), each.began)
        ]
        lines = [
            fact
            for each in placed.sound()
            for _, fact in order_facts(each.views["orders"][each.key], each.began[each.key])
        ]
        self.lines = Lines(self.report)
        for pair in compared(reserved, lines, broken, self.report):
            self.lines.add(pair)
        for message in (*inventory, *orders):
            self.lines.apply(message)
        self.lines.look()

    def when_read(self, *messages: EventMessage) -> Self:
        """Read more events, and judge the lines that differ."""
        for message in messages:
            self.lines.apply(message)
        self.lines.judge()
        return self

    def then_differing(self, *lines: str) -> Self:
        """Check which lines differ and are not judged yet."""
        assert set(self.lines.differing) == set(lines)
        return self

    def then_line_drift(self, line: str, says: str = "") -> Self:
        """Check that all drift is about one line, and that a part of it says `says`."""
        assert {(drift.kind, drift.key) for drift in self.report.drifts} == {(Kind.LINE, line)}
        assert any(says in drift.what for drift in self.report.drifts)
        return self


audit_log, audit_lines = LogAudit, LinesAudit
