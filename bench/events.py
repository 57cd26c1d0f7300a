"""Event topics filled fast: some histories made by the domain, copied under other ids."""

from collections.abc import Iterator
from typing import Any

from confluent_kafka import Producer

from domain import inventory, orders
from domain.inventory.commands import ReceiveStock, ReserveStock, ShipStock
from domain.inventory.state import Reservation
from domain.orders.commands import CreateShipment, DeliverShipment, PlaceOrder, RecordAllocation
from ops.seeding.data import Seed
from streams.messages import CONTENT_TYPE, EventMessage, derived_id, instant_of
from streams.partitions import partition_of
from streams.settings import Settings
from streams.topics import INVENTORY_EVENTS, ORDER_EVENTS

TEMPLATES, RESERVATIONS = 200, 40  # orders, and reservations a product
EVENTS_AN_ORDER, EVENTS_A_PRODUCT = 5, 1 + 2 * RESERVATIONS  # an order has one more for every line behind the second
BEGIN = 1_795_428_000  # Unix seconds
ORDER, CUSTOMER = "order-00000000", "customer-00000"  # of the same lengths as their copies, so that JSON stays JSON
ID = len('{"specversion":"1.0","id":"')  # where an event's id begins
PRODUCT = "product-00000000"


class Shelf:
    """A product's reservations in memory."""

    def __init__(self) -> None:
        self.lines: dict[tuple[str, str], Reservation] = {}

    def get(self, order_id: str, line_id: str) -> Reservation | None:
        """Return a line's reservation."""
        return self.lines.get((order_id, line_id))

    def waiting(self, head: int, tail: int) -> Iterator[Reservation]:
        """Yield none: there is stock enough."""
        return iter(())


def order_template(number: int) -> list[bytes]:
    """Return an order's events: placed, its lines allocated, shipped and delivered."""
    data = {**Seed(42, TEMPLATES).order(number).data, "customerId": CUSTOMER}
    placing = PlaceOrder.model_validate(data)
    commands: list[Any] = [
        placing,
        *(RecordAllocation(line_id=f"{n}", reserved=line.quantity, backordered=0, rejected=0, stock_version=n)
          for n, line in enumerate(placing.lines, start=1)),
        CreateShipment(shipment_id="parcel", carrier="DHL"),
        DeliverShipment(shipment_id="parcel"),
    ]  # fmt: skip
    order, found = None, list[bytes]()
    for step, command in enumerate(commands):
        command_id = derived_id(number, step)
        for event in orders.decide(orders.identified(command, command_id), order, ORDER):
            order = orders.evolve(order, event)
            found.append(_encoded(ORDER, event, len(found) + 1, command_id, "order"))
    return found


def product_template() -> list[bytes]:
    """Return a product's events: received, reserved and shipped many times."""
    stock, shelf, found = inventory.Stock(), Shelf(), list[bytes]()
    commands: list[Any] = [ReceiveStock(quantity=10 * RESERVATIONS)]
    for number in range(RESERVATIONS):
        line = {"order_id": f"order-{number}", "line_id": "1"}
        commands += [ReserveStock(**line, quantity=2, order_version=1), ShipStock(**line, shipped=2, order_version=3)]
    for step, command in enumerate(commands):
        command_id = derived_id(PRODUCT, step)
        for event in inventory.decide(command, stock, shelf, PRODUCT):
            stock = inventory.evolve(stock, event)
            if isinstance(event, inventory.ReservationEvent):
                key = event.order_id, event.line_id
                shelf.lines[key] = inventory.evolve_reservation(shelf.lines.get(key), event)
            found.append(_encoded(PRODUCT, event, len(found) + 1, command_id, "inventory"))
    return found


def _encoded(key: str, event: Any, sequence: int, command_id: str, source: str) -> bytes:
    time = instant_of(BEGIN + sequence)
    return EventMessage(derived_id(key, sequence), key, event, sequence, time, source, command_id, command_id).encode()


Event = tuple[str, bytes, bytes]  # a topic, a key, a value


def histories(order_count: int, product_count: int) -> Iterator[Event]:
    """Yield the events of so many orders and products."""
    templates = [order_template(number) for number in range(TEMPLATES)]
    for number in range(order_count):
        names = (ORDER, f"order-{number:08}"), (CUSTOMER, f"customer-{number % 20_000:05}")
        yield from _copies(ORDER_EVENTS.name, templates[number % TEMPLATES], names)
    product = product_template()
    for number in range(product_count):
        yield from _copies(INVENTORY_EVENTS.name, product, ((PRODUCT, f"product-{number:08}"),))


def _copies(topic: str, events: list[bytes], names: tuple[tuple[str, str], ...]) -> Iterator[Event]:
    key = names[0][1]
    for step, event in enumerate(events):
        for old, new in names:
            event = event.replace(old.encode(), new.encode())
        own = derived_id(key, step).encode()  # as scattered as real ones: an index is slower to grow with them
        yield topic, key.encode(), event[:ID] + own + event[ID + len(own) :]


def fill(settings: Settings, order_count: int, product_count: int) -> None:
    """Write the events of so many orders and products."""
    producer = Producer(
        {"bootstrap.servers": settings.kafka, "enable.idempotence": True, "linger.ms": 50, "compression.type": "lz4",
         "queue.buffering.max.messages": 500_000}
    )  # fmt: skip
    for topic, key, value in histories(order_count, product_count):
        _produce(producer, settings.named(topic), value, key, partition_of(key, settings.partitions))
    assert producer.flush(300) == 0


def _produce(producer: Any, topic: str, value: bytes, key: bytes, partition: int) -> None:
    while True:
        try:
            producer.produce(topic, value, key, partition, headers=CONTENT_TYPE)
        except BufferError:
            producer.poll(0.1)
        else:
            producer.poll(0)
            return
