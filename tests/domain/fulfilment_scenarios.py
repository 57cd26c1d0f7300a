"""given_order(commands).then_sends(commands): the process manager's answer to the last event of an order or product."""

from typing import Any

from domain_scenarios import LINES, OrderScenario, Scenario, StockScenario

from domain.fulfilment import Request, commands, sends
from domain.inventory.commands import InventoryCommand
from domain.inventory.events import InventoryEvent
from domain.message import Command
from domain.orders.commands import RecordAllocation
from domain.orders.events import OrderEvent

ORDER_VERSION, STOCK_VERSION = 7, 9  # the numbers of the given events


class Fulfilment:
    """The commands that the process manager sends because of one event."""

    def __init__(self, event: OrderEvent | InventoryEvent, aggregate_id: str, number: int) -> None:
        self.sent = commands(event, aggregate_id, number)

    def then_sends(self, *requests: Request) -> None:
        assert self.sent == list(requests)
        assert all(sends(request.command) for request in self.sent), "they are known as the process manager's"

    def then_sends_nothing(self) -> None:
        self.then_sends()


def given_order(*history: Command) -> Fulfilment:
    """Take the event of the last of the given commands to the order `o-1`."""
    return Fulfilment(_last_event(OrderScenario(*history[:-1]), history[-1]), "o-1", ORDER_VERSION)


def given_stock(*history: Command) -> Fulfilment:
    """Take the event of the last of the given commands to the product `boots`."""
    return given_stock_event(_last_event(StockScenario(*history[:-1]), history[-1]))


def given_stock_event(event: InventoryEvent) -> Fulfilment:
    return Fulfilment(event, "boots", STOCK_VERSION)


def _last_event(scenario: Scenario, command: Command) -> Any:
    (event,) = scenario.when(command).events
    return event


def to_stock(kind: type[InventoryCommand], product: str, **fields: Any) -> Request:
    """Return a command to `product` about its line of the order `o-1`."""
    line: dict[str, Any] = {"order_id": "o-1", "line_id": LINES[product], "order_version": ORDER_VERSION}
    return Request("inventory", product, kind(**line, **fields))


def to_order(command: RecordAllocation) -> Request:
    return Request("order", "o-1", command)
