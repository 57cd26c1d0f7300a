"""The largest possible order: all records about it fit into the default limits of Kafka and MongoDB."""

import itertools
from collections.abc import Iterator
from typing import Any

import bson
import pytest
from aiokafka import ConsumerRecord
from msgspec.structs import replace

from agents.answering import Answering
from agents.orders import ORDER
from domain.address import MAX_PART, Address
from domain.inventory import Stock
from domain.inventory.backorders import FILL_LIMIT
from domain.inventory.events import Balance
from domain.message import MAX_ID, MAX_LINES, MAX_TEXT, MAX_VERSION, Command
from domain.orders.commands import (
    CancelShipment,
    CountedLine,
    CreateShipment,
    DeliverShipment,
    Hold,
    LineQuantity,
    NewLine,
    PlaceOrder,
    Price,
    ReceiveReturn,
    RecordAllocation,
    RequestReturn,
)
from ops.kafka.records import BulkRecord
from parking.letter import DeadLetter
from parking.telling import failed, letter_of
from projections import commands as commands_model
from projections.orders import OrderView, document_of
from streams.keys import segment
from streams.messages.envelope import CommandMessage, Outcome
from streams.runtime.settings import Settings
from streams.topics import LARGEST_LETTER
from tables.entries import Answer, Recent, remember
from tables.orders import CODEC, OrderEntry
from tables.stock import CODEC as STOCK_CODEC
from tables.stock import StockEntry
from tables.store import Changes, Entries

KAFKA, MONGODB = 1_048_588, 16 << 20  # in bytes: the default max.message.bytes with the header of a batch; a document
OVERHEAD = 512  # overhead of a batch and a record
WIDE = "\U0001d11e"  # four bytes in UTF-8, and no JSON escape is longer than that for each byte it stands for


def long(text: str, size: int = MAX_ID) -> str:
    return text + WIDE * (size - len(text))


KEY, TIME = long("order"), "2026-11-23T10:00:00.000Z"
TEXT, PART = long("t", MAX_TEXT), long("p", MAX_PART)
LINES = [long(str(number)) for number in range(MAX_LINES)]
EACH = 1_000


class Clerk:
    """Decides commands like the orders role, and checks the size of all records."""

    def __init__(self) -> None:
        self.answering = Answering(Settings(), ORDER)
        self.entries: Entries[Any] = Entries(CODEC)
        self.numbers = itertools.count()
        self.largest: dict[str, int] = {}

    def ask(self, command: Command) -> str:
        """Return the code of a rejection, or "accepted"."""
        changes: Changes[Any] = Changes(self.entries)
        name = long(str(next(self.numbers)))
        message = CommandMessage(name, KEY, command, TIME, long("source"), long("flow"), long("cause"))
        effects = self.answering.answer(message, 0, changes)
        for write in effects.writes:
            self.see(write.topic, write.value)
            if write.topic == "command-outcomes":
                outcome = Outcome.decode(write.value or b"")
                self.see(
                    "commands", bson.encode(commands_model.entry(outcome, BulkRecord(write.key, write.value, 0, 0, 0)))
                )
        for _, value in changes.encode():
            self.see("orders-states-changelog", value)
        changes.merge()
        return effects.outcome

    def see(self, what: str, value: bytes | None) -> None:
        self.largest[what] = max(self.largest.get(what, 0), len(value or b""))

    @property
    def entry(self) -> OrderEntry:
        entry = self.entries.get(segment(KEY))
        assert isinstance(entry, OrderEntry)
        return entry


def some(units: int) -> tuple[LineQuantity, ...]:
    return tuple(LineQuantity(line_id=line, quantity=units) for line in LINES)


def history() -> Iterator[list[Command]]:
    """Yield rounds of commands that make an order as large as possible, until no more are accepted."""
    address = Address(**dict.fromkeys(Address.__struct_fields__, PART))
    price = Price(amount=1, currency="EUR")
    lines = tuple(
        NewLine(line_id=line, product_id=long(f"product {line[:3]}"), quantity=EACH, price=price) for line in LINES
    )
    granted = {"reserved": EACH, "backordered": 0, "rejected": 0, "stock_version": MAX_VERSION}
    yield [
        PlaceOrder(customer_id=long("customer"), lines=lines, shipping_address=address, billing_address=address),
        *(RecordAllocation(line_id=line, **granted) for line in LINES),
    ]
    for number in range(4):
        shipment = long(f"shipment {number}")
        ship = CreateShipment(shipment_id=shipment, lines=some(10), carrier=TEXT, tracking_number=TEXT)
        yield [
            ship,
            replace(ship, carrier=None),
            *([CancelShipment(shipment_id=shipment)] * (number % 2)),
        ]
    yield [DeliverShipment(shipment_id=long("shipment 0"))]
    for number in range(4):
        back = long(f"return {number}")
        announced = RequestReturn(return_id=back, lines=some(1), reason=TEXT)
        count = tuple(CountedLine(line_id=line, received=1, damaged=1) for line in LINES)
        receive = ReceiveReturn(return_id=back, receipt_id=long("receipt"), lines=count)
        yield [announced, replace(announced, reason=""), receive, ReceiveReturn(return_id=back)]
    yield [Hold(reason=TEXT)]
    yield [CreateShipment(shipment_id=long(f"held {number}")) for number in range(40)]


def test_all_records_of_the_largest_order_fit() -> None:
    clerk, codes = Clerk(), set()
    for commands in history():
        codes |= {clerk.ask(command) for command in commands}
    assert {
        "TOO_MANY_SHIPMENTS",
        "TOO_MANY_RETURNS",
        "SHIPMENT_EXISTS",
        "RETURN_EXISTS",
        "RETURN_ALREADY_RECEIVED",
    } <= codes
    assert len(clerk.entry.state.shipments) == len(clerk.entry.state.returns) == 2
    assert len(clerk.entry.recent) == 32
    clerk.see("orders", bson.encode(document_of(OrderView(KEY, clerk.entry.state, clerk.entry.version, TIME, TIME))))
    for what in ("order-events", "command-outcomes", "orders-states-changelog"):
        assert clerk.largest[what] + OVERHEAD < KAFKA, what
    for what in ("orders", "commands"):
        assert clerk.largest[what] < MONGODB / 4, what


def test_a_product_remembers_little_of_the_largest_decisions() -> None:
    """Each turned away as many waiting lines as one decision does; a product has nothing else that grows."""
    types = ("ProductDiscontinued", *["ReservationRejected"] * FILL_LIMIT)
    recent: Recent = ()
    for number in range(100):
        answer = Answer(long(str(number)), "DiscontinueProduct", number * len(types), types)
        recent = remember(recent, answer, Settings().recent_commands)
    figures = dict.fromkeys(Balance.__struct_fields__, 2**52)
    stock = Stock(True, True, Balance(**figures), 2**52, 2**52, 2**52, 2**52)
    assert len(STOCK_CODEC.encode(StockEntry(stock, 2**52, recent))) + OVERHEAD < KAFKA


@pytest.mark.parametrize("value", [b"\x00", b'"', "\U0001d11e".encode(), b"\xff"])
def test_the_letter_of_the_largest_message_fits(value: bytes) -> None:
    largest = 4 << 20  # bytes: message.max.bytes of the local broker
    record = ConsumerRecord("t", 0, 0, 0, 0, b"k", value * (largest // len(value)), None, 0, 0, ())
    bug = ValueError("x" * largest)
    letter = failed(letter_of(record, "c", "PlaceOrder"), bug)
    fields = {name: getattr(letter, name) for name in ("topic", "partition", "offset", "key", "value", "headers")}
    dead = DeadLetter(
        "parked", **fields, code=letter.code, message=letter.message, time=TIME, traceback=letter.traceback
    )
    assert len(dead.encode()) + OVERHEAD < LARGEST_LETTER
    assert len(CODEC.encode(letter)) + OVERHEAD < LARGEST_LETTER
