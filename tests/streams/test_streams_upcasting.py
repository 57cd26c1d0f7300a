"""Events that older code wrote, byte for byte as in a log, are read like today's.

`events/<type>-<schemaversion>-<what>.json` are Kafka values; they are never changed.
"""

from pathlib import Path

import msgspec
import pytest

from domain import orders
from domain.message import Event
from domain.orders.events import CancellationCause, OrderCancelled
from streams.messages.codec import EVENTS, decode_event
from streams.messages.envelope import EventMessage

FOLDER = Path(__file__).parent / "events"
KEPT = sorted(FOLDER.glob("*.json"))


def kept(name: str) -> EventMessage:
    return decode_event((FOLDER / f"{name}.json").read_bytes())


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_every_kept_event_is_read_and_written_as_todays(path: Path) -> None:
    old = path.read_bytes()
    message = decode_event(old)
    assert b'"schemaversion":1,' in old
    assert message.event.schema_version == EVENTS[message.type].schema_version > 1
    assert decode_event(message.encode()) == message
    assert message.encode() != old


def test_there_are_bytes_of_every_older_version() -> None:
    older = {(name, version) for name, event in EVENTS.items() for version in range(1, event.schema_version)}
    assert {(path.stem.split("-")[0], int(path.stem.split("-")[1])) for path in KEPT} == older


@pytest.mark.parametrize(
    ("what", "reason", "cause"),
    [
        ("by-request", "changed my mind ✎", CancellationCause.REQUEST),
        ("without-reason", "", CancellationCause.REQUEST),
        ("out-of-stock", "OUT_OF_STOCK", CancellationCause.STOCK),
        ("unknown-product", "PRODUCT_NOT_FOUND", CancellationCause.STOCK),
    ],
)
def test_a_cancelled_order_of_version_1_gets_its_cause(what: str, reason: str, cause: CancellationCause) -> None:
    event: Event = kept(f"OrderCancelled-1-{what}").event
    assert isinstance(event, OrderCancelled)
    assert (event.reason, event.cause) == (reason, cause)


def test_the_order_ends_as_it_did() -> None:
    price = {"amount": 8995, "currency": "EUR"}
    home = {"street": "1 High Street", "city": "Dublin", "zipCode": "D01", "country": "IE"}
    data = {
        "customerId": "ada",
        "lines": [{"lineId": "1", "productId": "walking-boots", "quantity": 2, "price": price}],
        "shippingAddress": home,
        "billingAddress": home,
        "totalCost": {"amount": 17990, "currency": "EUR"},
        "policy": "BACKORDER",
    }
    order = orders.evolve_order(None, msgspec.convert(data, EVENTS["OrderPlaced"]))  # type: ignore[arg-type]
    order = orders.evolve_order(order, kept("OrderCancelled-1-by-request").event)  # type: ignore[arg-type]
    assert order.cancelled
