"""Event topics filled fast: a few histories made by the domain, copied under other ids.

They resemble the output of `fulfillment seed`: of twenty orders 7 are registered, 6 shipped, 4 delivered and 3
cancelled, and the events of 1,000 orders interleave step by step. This matters for the cost per event: an order is a
document with many indexes, and the fewer events it has, the larger the share of that cost for each event.
"""

from collections.abc import Iterator
from itertools import chain, zip_longest
from typing import Any

from confluent_kafka import Producer

from domain import inventory, orders
from domain.inventory.commands import ReceiveStock, ReleaseStock, ReserveStock, ShipStock
from domain.orders.commands import CancelOrder, CreateShipment, DeliverShipment, PlaceOrder, RecordAllocation
from domain.orders.state import OrderStatus
from ops.seeding.data import Seed
from ops.seeding.orders import WINDOW
from streams.kafka.clients import librdkafka_config
from streams.kafka.partitions import partition_of
from streams.messages.envelope import CONTENT_TYPE, EventMessage, derived_id, instant_of
from streams.messages.strict import read_command
from streams.runtime.settings import Settings
from streams.topics import INVENTORY_EVENTS, ORDER_EVENTS

TEMPLATES, RESERVATIONS = 200, 40  # orders, and reservations per product
EVENTS_AN_ORDER, EVENTS_A_PRODUCT = 3.7, 1 + RESERVATIONS * (1 + 0.5 + 0.15)  # reserved; half shipped, some released
BEGIN = 1_795_428_000  # in Unix seconds
ORDER, CUSTOMER = "order-00000000", "customer-00000"  # as long as the ids of their copies, so that the JSON stays valid
ID = len('{"specversion":"1.0","id":"')  # the start of an event's id
PRODUCT = "product-00000000"


def order_template(number: int) -> list[bytes]:
    """Return an order's events, up to the state the seed promises."""
    seeded = Seed(42, TEMPLATES).order(number)
    placing = read_command(PlaceOrder, {**seeded.data, "customerId": CUSTOMER})
    state, found = orders.OrderState(ORDER), list[bytes]()
    for step, command in enumerate([placing, *_following(placing, seeded.expected)]):
        command_id = derived_id(number, step)
        for event in orders.decide(orders.identified(command, command_id), state):
            state = orders.evolve(state, event)
            found.append(_encoded(ORDER, event, len(found) + 1, command_id, "order"))
    assert state.order is not None
    assert state.order.status is seeded.expected
    return found


def _following(placing: PlaceOrder, promised: OrderStatus) -> Iterator[Any]:
    """Yield the commands that bring an order to its state; stock does not answer a cancelled order."""
    if promised is OrderStatus.CANCELLED:
        yield CancelOrder(reason="changed my mind")
        return
    for n, line in enumerate(placing.lines, start=1):
        yield RecordAllocation(line_id=f"{n}", reserved=line.quantity, backordered=0, rejected=0, stock_version=n)
    if promised is not OrderStatus.REGISTERED:
        yield CreateShipment(shipment_id="parcel", carrier="DHL")
    if promised is OrderStatus.DELIVERED:
        yield DeliverShipment(shipment_id="parcel")


def product_template() -> list[bytes]:
    """Return a product's events: received, then reserved many times, and shipped or released."""
    shelf, found = inventory.Shelf(PRODUCT), list[bytes]()
    commands: list[Any] = [ReceiveStock(quantity=10 * RESERVATIONS)]
    for number in range(RESERVATIONS):
        line: dict[str, Any] = {"order_id": f"order-{number}", "line_id": "1"}
        commands.append(ReserveStock(**line, quantity=2, order_version=1))
        if number % 2:
            commands.append(ShipStock(**line, shipped=2, order_version=3))
        elif number % 20 < 6:
            commands.append(ReleaseStock(**line, keep=0, order_version=2))
    for step, command in enumerate(commands):
        command_id = derived_id(PRODUCT, step)
        for event in shelf.decide(command):
            shelf.apply(event)
            found.append(_encoded(PRODUCT, event, len(found) + 1, command_id, "inventory"))
    return found


def queue_template(count: int) -> Iterator[bytes]:
    """Yield the events of a product that is never received, and awaited by one line after the other."""
    shelf, sequence = inventory.Shelf(PRODUCT), 0
    commands: Iterator[Any] = (
        ReserveStock(order_id=f"order-{number:08}", line_id="1", quantity=1, order_version=1) for number in range(count)
    )
    for step, command in enumerate(chain([ReceiveStock(quantity=1)], commands)):
        for event in shelf.decide(command):
            shelf.apply(event)
            sequence += 1
            yield _encoded(PRODUCT, event, sequence, derived_id(PRODUCT, step), "inventory")


def _encoded(key: str, event: Any, sequence: int, command_id: str, source: str) -> bytes:
    time = instant_of(BEGIN + sequence)
    return EventMessage(derived_id(key, sequence), key, event, sequence, time, source, command_id, command_id).encode()


Event = tuple[str, bytes, bytes]  # topic, key, value
Names = tuple[tuple[str, str], ...]  # old and new


def having(events: int) -> tuple[int, int]:
    """Return how many orders, and how many products, have about `events` events each."""
    return max(1, round(events / EVENTS_AN_ORDER)), max(1, round(events / EVENTS_A_PRODUCT))


def histories(order_count: int, product_count: int) -> Iterator[Event]:
    """Yield the events of `orders` orders and `products` products."""
    templates = [order_template(number) for number in range(TEMPLATES)]
    for first in range(0, order_count, WINDOW):
        window = range(first, min(first + WINDOW, order_count))
        yield from _in_turn([_order(templates[number % TEMPLATES], number) for number in window])
    product = product_template()
    for number in range(product_count):
        yield from _copies(INVENTORY_EVENTS.name, product, ((PRODUCT, f"product-{number:08}"),))


def _order(template: list[bytes], number: int) -> Iterator[Event]:
    names = (ORDER, f"order-{number:08}"), (CUSTOMER, f"customer-{number % 20_000:05}")
    return _copies(ORDER_EVENTS.name, template, names)


def _in_turn(histories: list[Iterator[Event]]) -> Iterator[Event]:
    """Yield the first events of all histories, then the second ones, and so on."""
    for step in zip_longest(*histories):
        yield from filter(None, step)


def _copies(topic: str, events: list[bytes], names: Names) -> Iterator[Event]:
    key = names[0][1]
    for step, event in enumerate(events):
        yield topic, key.encode(), copied(event, derived_id(key, step), names)


def copied(event: bytes, identifier: str, names: Names) -> bytes:
    """Return a template's event with another id, and other texts of the same length in place of some.

    The ids are scattered like real ones, which make an index slower to grow.
    """
    for old, new in names:
        event = event.replace(old.encode(), new.encode())
    own = identifier.encode()
    return event[:ID] + own + event[ID + len(own) :]


def fill(settings: Settings, order_count: int, product_count: int) -> None:
    """Write the events of `orders` orders and `products` products."""
    producer = Producer(
        librdkafka_config(settings)
        | {"enable.idempotence": True, "linger.ms": 50, "compression.type": "lz4"}
        | {"queue.buffering.max.messages": 500_000}
    )
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
