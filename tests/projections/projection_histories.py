"""Histories made by the domain itself: commands decided and evolved, as records of the event topics."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from domain import inventory, orders
from domain.address import Address
from domain.inventory.commands import InventoryCommand
from domain.orders.commands import NewLine, OrderCommand, PlaceOrder, Price, RecordAllocation
from streams.messages.envelope import EventMessage, Outcome, derived_id

HOME = Address(street="1 Main St", city="Berlin", state="BE", zip_code="10115", country="DE")
START = datetime(2026, 11, 23, 10, tzinfo=UTC)
ORDERS, STOCK, OUTCOMES = "order-events", "inventory-events", "command-outcomes"
LINES = {"boot": "1", "hat": "2"}  # ids of an order's lines, by product


@dataclass(frozen=True)
class Record:
    """Like Kafka's."""

    key: bytes
    value: bytes
    offset: int
    timestamp: int = 1_795_428_000_000
    partition: int = 0


def at(minute: int) -> str:
    return (START + timedelta(minutes=minute)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def place(*lines: tuple[str, int], customer: str = "alice", **rest: object) -> PlaceOrder:
    new = tuple(NewLine(product_id=p, quantity=n, price=Price(amount=1250, currency="EUR")) for p, n in lines)
    return PlaceOrder(customer_id=customer, lines=new, shipping_address=HOME, billing_address=HOME, **rest)  # type: ignore[arg-type]


def allocate(product: str, reserved: int, backordered: int = 0, rejected: int = 0) -> RecordAllocation:
    """Return what stock reports of the line of `product`."""
    return RecordAllocation(
        line_id=LINES[product], reserved=reserved, backordered=backordered, rejected=rejected, stock_version=1
    )


def order_history(order_id: str, *commands: OrderCommand, minute: int = 0) -> list[EventMessage]:
    """Return the events that `commands` cause, one minute apart."""
    state, messages = orders.OrderState(order_id), list[EventMessage]()
    for number, command in enumerate(commands):
        command_id = derived_id(order_id, number)
        for event in orders.decide(orders.identified(command, command_id), state):
            state = orders.evolve(state, event)
            messages.append(_message(order_id, event, len(messages) + 1, at(minute + number), command_id))
    return messages


def stock_history(product_id: str, *commands: InventoryCommand, minute: int = 0) -> list[EventMessage]:
    """Return the events that `commands` cause to a product's stock, one minute apart."""
    shelf, messages = inventory.Shelf(product_id), list[EventMessage]()
    for number, command in enumerate(commands):
        command_id = derived_id(product_id, number)
        for event in shelf.decide(command):
            shelf.apply(event)
            messages.append(_message(product_id, event, len(messages) + 1, at(minute + number), command_id))
    return messages


def _message(key: str, event: object, sequence: int, time: str, command_id: str) -> EventMessage:
    return EventMessage(
        id=derived_id(key, sequence),
        key=key,
        event=event,  # type: ignore[arg-type]
        sequence=sequence,
        time=time,
        source="test",
        correlation_id="flow",
        causation_id=command_id,
    )


def outcome(command_id: str, **rest: object) -> Outcome:
    base = Outcome(command_id, "PlaceOrder", "order", "o-1", "accepted", at(0), "flow", version=1)
    return replace(base, **rest)  # type: ignore[arg-type]


def records(*messages: EventMessage | Outcome, first: int = 0) -> list[Record]:
    """Return messages as records of one partition."""
    keys = [message.key if isinstance(message, EventMessage) else message.command_id for message in messages]
    return [Record(k.encode(), m.encode(), first + n) for n, (k, m) in enumerate(zip(keys, messages, strict=True))]
