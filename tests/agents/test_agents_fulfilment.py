"""What one fetch of events leads to: commands, and how far they were handled."""

import json
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import ConsumerRecord
from faust.types import TP
from system import ADDRESS

from agents.deciding import Decided
from agents.fulfilment import Managing
from agents.portions import Event as Place
from agents.portions import Refusal, Resort
from domain.inventory.events import Balance, StockReserved
from domain.message import Event
from domain.orders.events import OrderPlaced
from streams.kafka.brokers import Refused
from streams.kafka.transactions import ANY_PARTITION, RefusedByKafka
from streams.kafka.transport import Fetch, Member, Part
from streams.kafka.wire import Code
from streams.messages.envelope import EventMessage
from streams.runtime.app import create_app
from streams.runtime.settings import Settings
from tables.entries import Position, position_key
from tables.store import Entries

SETTINGS = Settings(prefix="p-", partitions=4)
ORDERS, STOCK = "p-order-events", "p-inventory-events"
TIME = "2026-11-23T10:00:00.000Z"


class Desk:
    """The fulfilment role's managing, without its worker."""

    def __init__(self) -> None:
        self.skipped: dict[Place, str] = {}
        self.refusals: dict[Place, Refusal] = {}
        self.stopped: list[tuple[TP, int, Exception]] = []
        worker = SimpleNamespace(
            app=create_app("fulfilment", SETTINGS),
            settings=SETTINGS,
            topic_ids={ORDERS: "orders id", STOCK: "stock id"},
            stop_partition=lambda tp, record, bug: self.stopped.append((tp, record.offset, bug)),
        )
        self.managing = Managing(worker, self.skipped, self.refusals)  # type: ignore[arg-type]
        table = self.managing.table
        table.data.replace({partition: Entries(table.codec, {}) for partition in range(4)})

    def manage(self, *records: Any) -> tuple[Decided, Fetch]:
        parts: dict[TP, Part] = {}
        for record in records:
            part = parts.setdefault(TP(record.topic, record.partition), Part(record.offset, []))
            part.records.append(record)  # type: ignore[attr-defined]
        fetch = Fetch(1, Member(1, "m"), parts)
        decided = self.managing.manage(fetch)
        decided.merge()
        return decided, fetch

    def position(self, topic: str, partition: int = 1) -> Position | None:
        found: Position | None = self.managing.table.data.partitions[partition].get(position_key(topic))
        return found


@pytest.fixture
def desk() -> Desk:
    return Desk()


def record(value: bytes, offset: int, partition: int = 1, topic: str = ORDERS) -> Any:
    return ConsumerRecord(topic, partition, offset, 1_763_000_000_123, 0, b"o", value, None, 0, 0, ())


def event(event: Event, sequence: int = 1, key: str = "o") -> bytes:
    return EventMessage(f"{key}-{sequence}", key, event, sequence, TIME, "order", "flow", "c").encode()


def placed(order: str = "o", *products: str) -> bytes:
    price = {"amount": 100, "currency": "EUR"}
    lines = [
        {"lineId": str(number), "productId": product, "quantity": 2, "price": price}
        for number, product in enumerate(products or ("boots",))
    ]
    data = {"customerId": "c", "lines": lines, "shippingAddress": ADDRESS, "billingAddress": ADDRESS}
    data |= {"totalCost": price, "policy": "BACKORDER"}
    return event(OrderPlaced.model_validate(data), key=order)


def reserved(order: str = "o", sequence: int = 3) -> bytes:
    schema = {"orderId": order, "lineId": "0", "quantity": 2, "reserved": 2, "held": 2, "orderVersion": 1}
    data = schema | {"backordered": 0, "rejected": 0, "shipped": 0, "waiting": 0, "balance": Balance().model_dump()}
    return event(StockReserved.model_validate(data), sequence, "boots")


def commands(decided: Decided) -> list[tuple[str, Any]]:
    return [(write.topic, json.loads(write.value or b"")) for write in decided.writes if "commands" in write.topic]


def test_an_order_reserves_each_of_its_lines(desk: Desk) -> None:
    decided, _ = desk.manage(record(placed("o", "boots", "no\u00a0break"), 0))
    (first_topic, first), (_, second) = commands(decided)
    assert first_topic == "p-inventory-commands"
    assert [(one["type"], one["subject"]) for one in (first, second)] == [
        ("ReserveStock", "boots"), ("ReserveStock", "no\u00a0break"),
    ]  # fmt: skip
    assert first["id"] != second["id"]
    assert (first["source"], first["correlationid"], first["causationid"]) == ("fulfilment", "flow", "o-1")
    assert first["time"] == TIME
    writes = [write for write in decided.writes if "commands" in write.topic]
    assert [(write.partition, write.key) for write in writes] == [
        (ANY_PARTITION, b"boots"),
        (ANY_PARTITION, "no\u00a0break".encode()),
    ]
    assert decided.offsets == {TP(ORDERS, 1): 1}


def test_stocks_answer_is_told_to_the_order(desk: Desk) -> None:
    decided, _ = desk.manage(record(reserved(), 0, topic=STOCK))
    ((topic, command),) = commands(decided)
    assert (topic, command["type"], command["subject"]) == ("p-order-commands", "RecordAllocation", "o")


def test_the_same_event_causes_the_same_commands() -> None:
    assert Desk().manage(record(placed(), 0))[0].writes == Desk().manage(record(placed(), 0))[0].writes


def test_positions_of_both_topics_are_kept_in_one_partition(desk: Desk) -> None:
    decided, _ = desk.manage(
        record(placed(), 4), record(reserved(), 9, topic=STOCK), record(placed("q"), 2, partition=3)
    )
    assert desk.position(ORDERS) == Position(4, "orders id")
    assert desk.position(STOCK) == Position(9, "stock id")
    assert desk.position(ORDERS, 3) == Position(2, "orders id")
    changed = [(write.partition, write.key) for write in decided.writes if "changelog" in write.topic]
    assert sorted(changed) == [(1, b"/p-inventory-events"), (1, b"/p-order-events"), (3, b"/p-order-events")]
    assert decided.offsets == {TP(ORDERS, 1): 5, TP(STOCK, 1): 10, TP(ORDERS, 3): 3}


def test_offsets_that_were_handled_are_skipped(desk: Desk) -> None:
    desk.manage(record(placed(), 0), record(placed("q"), 1))
    decided, _ = desk.manage(record(placed(), 0), record(placed("q"), 1))
    assert decided.writes == []
    assert decided.offsets == {TP(ORDERS, 1): 2}
    decided, _ = desk.manage(record(placed("q"), 1), record(placed("r"), 2))
    assert [command["data"]["orderId"] for _, command in commands(decided)] == ["r"]


@pytest.mark.parametrize(
    "bad",
    [b"{", b"", None, b'{"type":"NoSuchEvent"}', b'{"type":"OrderPlaced","data":{}}', b'{"type":"OrderPlaced"}',
     placed().replace(b'"schemaversion":1', b'"schemaversion":2')],
)  # fmt: skip
def test_an_event_that_cannot_be_read_stops_its_partition_only(desk: Desk, bad: Any) -> None:
    decided, fetch = desk.manage(
        record(placed("before"), 0), record(bad, 1), record(placed("after"), 2),
        record(placed("elsewhere"), 0, partition=2), record(reserved(), 0, topic=STOCK),
    )  # fmt: skip
    assert [(tp, offset) for tp, offset, _ in desk.stopped] == [(TP(ORDERS, 1), 1)]
    asked = [command["data"].get("orderId") or command["subject"] for _, command in commands(decided)]
    assert asked == ["before", "elsewhere", "o"]
    assert decided.offsets == {TP(ORDERS, 1): 1, TP(ORDERS, 2): 1, TP(STOCK, 1): 1}
    assert desk.position(ORDERS) == Position(0, "orders id")
    assert fetch.parts[TP(ORDERS, 1)].ended == 1
    again, _ = desk.manage(record(placed("now it can be read"), 1), record(placed("after"), 2))
    assert [command["data"]["orderId"] for _, command in commands(again)] == ["now it can be read", "after"]


def test_a_partition_that_begins_with_what_cannot_be_read_stands_there(desk: Desk) -> None:
    decided, fetch = desk.manage(record(b"{", 5), record(placed("after"), 6))
    assert commands(decided) == []
    assert decided.offsets == {TP(ORDERS, 1): 5}
    assert fetch.parts[TP(ORDERS, 1)].ended == 5
    again, _ = desk.manage(record(placed("mended"), 5))
    assert [command["data"]["orderId"] for _, command in commands(again)] == ["mended"]


def test_an_event_whose_commands_kafka_refuses_stops_its_partition_until_it_is_skipped(desk: Desk) -> None:
    why = RefusedByKafka(Refused(Code.MESSAGE_TOO_LARGE, "p-inventory-commands/0"))
    at = ORDERS, 1, 1
    desk.refusals[at] = Refusal(Resort.SINGLY, why)
    assert len(commands(desk.manage(record(placed(), 0))[0])) == 1
    desk.refusals[at] = Refusal(Resort.ASIDE, why)
    decided, _ = desk.manage(record(placed("refused"), 1), record(placed("behind"), 2))
    assert (commands(decided), decided.offsets) == ([], {TP(ORDERS, 1): 1})
    assert [(offset, bug) for _, offset, bug in desk.stopped] == [(1, why)]
    desk.skipped[at] = "never mind"
    decided, _ = desk.manage(record(placed("refused"), 1), record(placed("behind"), 2))
    assert [command["data"]["orderId"] for _, command in commands(decided)] == ["behind"]
    assert decided.offsets == {TP(ORDERS, 1): 3}
