"""The decisions on one fetch of commands, without a broker: fetches and tables are filled by the test."""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from aiokafka import ConsumerRecord
from faust.types import TP
from system import ADDRESS

from agents.aggregate import AggregateKind
from agents.answering import caused, command_topics
from agents.deciding import Decided, Deciding
from agents.inventory import PRODUCT
from agents.orders import ORDER
from domain import fulfilment
from domain.orders.events import OrderPlaced
from streams.kafka.partitions import partition_of
from streams.kafka.transactions import ANY_PARTITION, Write
from streams.kafka.transport import Fetch, Member, Part
from streams.keys import position_key, segment
from streams.messages.codec import decode_event
from streams.messages.envelope import derived_id, now
from streams.runtime.app import create_app
from streams.runtime.settings import Settings
from tables.entries import Position
from tables.orders import orders_table
from tables.rows import MemoryRows
from tables.stock import stock_table
from tables.store import Entries

SETTINGS = Settings(prefix="p-", partitions=4, recent_commands=3)
TIME = "2026-11-23T10:00:00.000Z"


def key_on(partition: int, name: str = "product") -> str:
    """Return an id that belongs on `partition`."""
    return next(key for n in range(999) if partition_of((key := f"{name}-{n}").encode(), 4) == partition)


BOOTS = key_on(1)
OTHER = key_on(1, "other")


@dataclass
class Desk:
    """One worker's decisions: records are decided, and merged as after a commit."""

    kind: AggregateKind = field(default=PRODUCT)
    settings: Settings = SETTINGS

    def __post_init__(self) -> None:
        self.commands = self.settings.named(self.kind.topics.commands.name)
        is_stock = self.kind.aggregate == "inventory"
        app = create_app("inventory" if is_stock else "orders", self.settings)
        self.table = stock_table(app) if is_stock else orders_table(app)
        self.table.data.replace({partition: Entries(self.table.codec) for partition in range(4)})
        self.deciding = Deciding(self.settings, self.kind, self.table, {self.commands: "topic id"})
        self.offsets = [0] * 4

    def record(self, message: Any, partition: int = 1, key: str | None = BOOTS, offset: int | None = None) -> Any:
        """Return a record as the consumer has it; the next of its partition, or at `offset`."""
        if offset is None:
            offset = self.offsets[partition]
        self.offsets[partition] = offset + 1
        value = message if isinstance(message, bytes | None) else json.dumps(message).encode()
        raw = None if key is None else key.encode()
        return ConsumerRecord(
            self.commands,
            partition,
            offset,
            1_763_000_000_123,
            0,
            raw,
            value,
            None,
            0,
            0,
            (("h", b"\xff"), ("n", None)),
        )

    def decide(self, *records: Any, merge: bool = True) -> Decided:
        """Decide one fetch."""
        parts: dict[TP, Part] = {}
        for record in records:
            tp = TP(record.topic, record.partition)
            parts.setdefault(tp, Part(record.offset, [])).records.append(record)  # type: ignore[attr-defined]
        decided = self.deciding.decide(Fetch(1, Member(1, "m"), parts))
        if merge:
            decided.merge()
        return decided

    def tell(self, name: str, data: Any = None, key: str = BOOTS, **more: Any) -> dict[str, Any]:
        """Let one command be decided; return its outcome."""
        decided = self.decide(self.record({"type": name, "data": data or {}} | more, key=key))
        (outcome,) = messages(decided, "command-outcomes")
        return outcome

    def entry(self, key: str = BOOTS, partition: int = 1) -> Any:
        return self.table.data.partitions[partition].get(segment(key))


def written(decided: Decided, topic: str) -> list[Write]:
    return [write for write in decided.writes if write.topic == SETTINGS.named(topic)]


def messages(decided: Decided, topic: str) -> list[dict[str, Any]]:
    return [json.loads(write.value or b"") for write in written(decided, topic)]


def receive(quantity: Any = 5, **more: Any) -> dict[str, Any]:
    return {"type": "ReceiveStock", "data": {"quantity": quantity}} | more


@pytest.fixture
def desk() -> Desk:
    return Desk()


# --- a command


def test_a_command_becomes_events_an_entry_and_an_outcome(desk: Desk) -> None:
    decided = desk.decide(desk.record(receive(id="c-1", time=TIME, correlationid="flow")))
    (event,), (outcome,) = messages(decided, "inventory-events"), messages(decided, "command-outcomes")
    assert (event["type"], event["subject"], event["sequence"]) == ("StockReceived", BOOTS, 1)
    # Kafka's time first, the producer's beside it
    assert (event["time"], event["producertime"]) == ("2025-11-13T02:13:20.123Z", TIME)
    assert (event["correlationid"], event["causationid"]) == ("flow", "c-1")
    (write,) = written(decided, "inventory-events")
    assert (write.partition, write.key) == (1, BOOTS.encode())
    data = outcome["data"]
    assert (data["commandId"], data["status"], data["version"]) == ("c-1", "accepted", 1)
    assert data["events"] == [{"id": event["id"], "type": "StockReceived", "sequence": 1}]
    assert data["result"]["availableQuantity"] == 5
    assert written(decided, "command-outcomes")[0].key == b"c-1"
    assert {write.key for write in written(decided, "inventory-stock-changelog")} == {
        BOOTS.encode(),
        b"/p-inventory-commands",
    }
    assert {write.partition for write in written(decided, "inventory-stock-changelog")} == {1}
    stored = desk.table.data.partitions[1].rows.items()
    assert {write.key: write.value for write in written(decided, "inventory-stock-changelog")} == dict(stored)
    assert decided.offsets == {TP("p-inventory-commands", 1): 1}


def test_nothing_is_merged_before_the_commit(desk: Desk) -> None:
    first = desk.decide(desk.record(receive(id="c"), offset=0), merge=False)
    assert desk.entry() is None
    again = desk.decide(desk.record(receive(id="c"), offset=0), merge=False)
    assert again.writes == first.writes


def test_commands_of_one_fetch_see_each_other_in_order(desk: Desk) -> None:
    fetch = [desk.record(receive(n, id=f"c-{n}")) for n in (1, 2, 3)] + [desk.record(receive(9, id="o"), key=OTHER)]
    decided = desk.decide(*fetch)
    events = [(event["subject"], event["sequence"]) for event in messages(decided, "inventory-events")]
    assert events == [(BOOTS, 1), (BOOTS, 2), (BOOTS, 3), (OTHER, 1)]
    assert desk.entry().state.balance.available == 6
    changed = [write.key for write in written(decided, "inventory-stock-changelog")]
    assert sorted(changed) == sorted([BOOTS.encode(), OTHER.encode(), b"/p-inventory-commands"])


def test_the_same_records_decide_the_same_bytes() -> None:
    def all_of_it() -> list[Write]:
        desk = Desk()
        records = [desk.record(receive(n)) for n in (1, 2)] + [desk.record(b"{"), desk.record(receive(1), partition=2)]
        return desk.decide(*records).writes

    assert all_of_it() == all_of_it()


# --- repeats


@pytest.mark.parametrize("apart", [True, False])
def test_a_repeated_command_gets_its_outcome_again_and_causes_no_events(desk: Desk, apart: bool) -> None:
    first, again = desk.record(receive(id="c", time=TIME)), desk.record(receive(id="c", time=TIME))
    both = [desk.decide(first), desk.decide(again)] if apart else [desk.decide(first, again)]
    outcomes = [outcome for decided in both for outcome in messages(decided, "command-outcomes")]
    assert outcomes[0] == outcomes[1]
    assert sum(len(messages(decided, "inventory-events")) for decided in both) == 1
    assert desk.entry().state.balance.available == 5


def test_a_refusal_is_remembered_too(desk: Desk) -> None:
    desk.tell("ReceiveStock", {"quantity": 5})
    adjust = {"delta": -9}
    first = desk.tell("AdjustStock", adjust, id="no")
    assert first["data"]["status"] == "rejected"
    desk.tell("ReceiveStock", {"quantity": 50})
    again = desk.tell("AdjustStock", adjust, id="no")
    assert (again["data"]["code"], again["data"]["message"]) == (first["data"]["code"], first["data"]["message"])
    assert desk.entry().state.balance.available == 55


def test_remembered_outcomes_are_limited_in_number(desk: Desk) -> None:
    for number in range(10):
        desk.tell("ReceiveStock", {"quantity": 1}, id=f"c-{number}")
    assert [answer.command_id for answer in desk.entry().recent] == ["c-7", "c-8", "c-9"]


def test_commands_of_the_process_manager_cause_no_outcomes_and_are_not_remembered(desk: Desk) -> None:
    desk.decide(desk.record(receive(5)))
    before = desk.entry().recent
    data = {"orderId": "o", "lineId": "1", "quantity": 1, "orderVersion": 1}
    envelope = {"id": "c", "source": "fulfilment", "causationid": "an event"}
    decided = desk.decide(desk.record({"type": "ReserveStock", "data": data, **envelope}))
    assert len(messages(decided, "inventory-events")) == 1
    assert messages(decided, "command-outcomes") == []
    assert desk.entry().recent == before
    envelope["id"] = "d"
    refused = desk.decide(desk.record({"type": "RestockReturn", "data": data | {"received": -1}, **envelope}))
    count = {"orderId": "o", "lineId": "1", "orderVersion": 2, "received": 1, "damaged": 2}
    wrong = desk.decide(desk.record({"type": "RestockReturn", "data": count, **envelope}))
    assert [outcome["data"]["code"] for outcome in messages(wrong, "command-outcomes")] == ["INVALID_QUANTITY"]
    assert desk.entry().recent == before
    assert [outcome["type"] for outcome in messages(refused, "command-outcomes")] == ["CommandRejected"]


@pytest.mark.parametrize(
    "command",
    [
        receive(5),
        receive(5) | {"causationid": "something"},
        {"type": "ReserveStock", "data": {"orderId": "o", "quantity": 1}, "causationid": "something"},
        {"type": "ReserveStock", "data": {"orderId": "o", "lineId": "1", "quantity": 1, "orderVersion": 1}},
    ],
)
def test_another_sender_that_calls_itself_fulfilment_is_answered_and_remembered(desk: Desk, command: Any) -> None:
    desk.decide(desk.record(receive(5)))
    command = command | {"source": "fulfilment", "id": "stranger"}
    first, again = (messages(desk.decide(desk.record(command)), "command-outcomes") for _ in range(2))
    assert [outcome["type"] for outcome in first] == ["CommandAccepted"]
    assert again == first
    assert desk.entry().version == 2


# --- the commands an event causes


def placing(order: str, *products: str) -> dict[str, Any]:
    price = {"amount": 100, "currency": "EUR"}
    lines = [{"productId": each, "quantity": 2, "price": price} for each in products]
    data = {"customerId": "c", "lines": lines, "shippingAddress": ADDRESS, "billingAddress": ADDRESS}
    return {"type": "PlaceOrder", "id": f"place {order}", "correlationid": "flow", "data": data}


def test_an_event_is_written_with_the_commands_it_causes() -> None:
    desk = Desk(ORDER)
    decided = desk.decide(desk.record(placing(BOOTS, "shoes", "größe 9"), key=BOOTS))
    (placed,) = written(decided, "order-events")
    event = decode_event(placed.value)
    first, second = messages(decided, "inventory-commands")
    assert [(one["type"], one["subject"]) for one in (first, second)] == [
        ("ReserveStock", "shoes"), ("ReserveStock", "größe 9"),
    ]  # fmt: skip
    assert first["id"] != second["id"]
    assert (first["source"], first["correlationid"], first["causationid"]) == ("fulfilment", "flow", event.id)
    assert first["time"] == event.time
    assert [(write.partition, write.key) for write in written(decided, "inventory-commands")] == [
        (ANY_PARTITION, b"shoes"), (ANY_PARTITION, "größe 9".encode()),
    ]  # fmt: skip
    again = caused(event, command_topics(SETTINGS))
    assert again == written(decided, "inventory-commands"), "the event as it is read later causes the same commands"


def test_the_answer_of_stock_is_sent_to_the_order(desk: Desk) -> None:
    reserve = {"orderId": "o", "lineId": "1", "quantity": 1, "orderVersion": 1}
    decided = desk.decide(desk.record(receive(5)), desk.record({"type": "ReserveStock", "data": reserve}))
    (command,) = messages(decided, "order-commands")
    assert (command["type"], command["subject"], command["data"]["reserved"]) == ("RecordAllocation", "o", 1)


def test_a_command_is_parked_when_the_commands_it_causes_cannot_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(event: Any, key: str, sequence: int) -> Any:
        raise RuntimeError(f"a bug about {key}")

    desk, other = Desk(ORDER), key_on(1, "unbroken")
    monkeypatch.setitem(fulfilment._COMMANDS, OrderPlaced, broken)
    hold = {"type": "Hold", "data": {"reason": "behind"}}
    decided = desk.decide(desk.record(placing(BOOTS, "shoes"), key=BOOTS), desk.record(hold, key=BOOTS))
    assert messages(decided, "order-events") == messages(decided, "inventory-commands") == []
    assert desk.entry() is None
    letters = messages(decided, "dead-letters")
    assert [letter["data"]["code"] for letter in letters] == ["PROCESSING_FAILED", "PARKED_BEHIND"]
    assert "a bug about" in letters[0]["data"]["message"]
    monkeypatch.undo()
    assert len(messages(desk.decide(desk.record(placing(other, "shoes"), key=other)), "inventory-commands")) == 1
    retried = desk.decide(desk.record({"type": "RetryLetters", "data": {}}, key=BOOTS))
    assert [event["type"] for event in messages(retried, "order-events")] == ["OrderPlaced", "OrderHeld"]
    assert [command["type"] for command in messages(retried, "inventory-commands")] == ["ReserveStock"]


# --- positions


def test_offsets_that_were_handled_are_skipped(desk: Desk) -> None:
    desk.decide(*[desk.record(receive(n)) for n in (1, 2, 3)])
    assert desk.table.data.partitions[1].get(position_key(desk.commands)) == Position(2, "topic id", fulfils=True)
    again = desk.decide(*[desk.record(receive(n), offset=n - 1) for n in (1, 2, 3)])
    assert again.writes == []
    assert again.offsets == {TP(desk.commands, 1): 3}
    half = desk.decide(desk.record(receive(3), offset=2), desk.record(receive(4), offset=3))
    assert [event["sequence"] for event in messages(half, "inventory-events")] == [4]
    assert desk.entry().state.balance.available == 10


def test_positions_are_kept_per_partition_and_hold_over_gaps(desk: Desk) -> None:
    elsewhere = key_on(2)
    desk.decide(
        desk.record(receive(), offset=7), desk.record(receive(), partition=2, key=elsewhere, offset=3),
        desk.record(receive(), offset=12),
    )  # fmt: skip
    held = [desk.table.data.partitions[partition].get(position_key(desk.commands)) for partition in range(4)]
    assert held == [None, Position(12, "topic id", fulfils=True), Position(3, "topic id", fulfils=True), None]


def test_invalid_messages_are_handled_offsets_too(desk: Desk) -> None:
    desk.decide(desk.record(b"{", offset=4))
    assert desk.table.data.partitions[1].get(position_key(desk.commands)) == Position(4, "topic id", fulfils=True)
    assert desk.decide(desk.record(b"{", offset=4)).writes == []


# --- the wrong partition


def test_a_command_on_a_wrong_partition_is_forwarded_with_its_id_and_without_a_time_it_did_not_have(desk: Desk) -> None:
    decided = desk.decide(desk.record(receive(), partition=3, offset=8), desk.record(receive(7, id="x"), partition=3))
    forwarded = written(decided, "inventory-commands")
    assert [(write.partition, write.key) for write in forwarded] == [(1, BOOTS.encode())] * 2
    first, second = messages(decided, "inventory-commands")
    assert (second["id"], second["data"], "time" in first) == ("x", {"quantity": 7}, False)
    assert first["correlationid"] == first["id"]
    for topic in ("inventory-events", "command-outcomes"):
        assert messages(decided, topic) == []
    settled = desk.decide(*[desk.record(write.value) for write in forwarded])
    (one, two) = messages(settled, "command-outcomes")
    assert (one["data"]["commandId"], one["time"]) == (first["id"], "2025-11-13T02:13:20.123Z")
    assert "producertime" not in one
    assert two["data"]["commandId"] == "x"
    assert desk.entry().state.balance.available == 12


def test_a_forwarded_command_keeps_its_contents(desk: Desk) -> None:
    sent = receive(id="i", source="shop", correlationid="c", causationid="b", expectedversion=0, time=TIME)
    (message,) = messages(desk.decide(desk.record(sent, partition=3)), "inventory-commands")
    assert {name: message[name] for name in sent} == sent


def test_a_command_without_a_key_goes_to_the_partition_of_its_data(desk: Desk) -> None:
    message = receive() | {"data": {"quantity": 2, "productId": BOOTS}}
    (write,) = written(desk.decide(desk.record(message, partition=0, key=None)), "inventory-commands")
    assert (write.partition, write.key) == (1, BOOTS.encode())


def test_an_aggregate_stays_on_its_partition(desk: Desk) -> None:
    """An aggregate with an entry on a partition stays there: one aggregate, one writer."""
    source = desk.decide(desk.record(receive(id="a")))
    entry = {write.key: write.value for write in written(source, "inventory-stock-changelog")}
    rows = MemoryRows({BOOTS.encode(): entry[BOOTS.encode()] or b""})
    desk.table.data.replace({3: Entries(desk.table.codec, rows)})
    decided = desk.decide(desk.record(receive(id="b"), partition=3))
    assert messages(decided, "inventory-commands") == []
    assert [write.partition for write in written(decided, "inventory-events")] == [3]


# --- conditions


@pytest.mark.parametrize(("expected", "accepted"), [(None, True), (2, True), (1, False), (3, False), (0, False)])
def test_an_expected_version_must_match(desk: Desk, expected: int | None, accepted: bool) -> None:
    desk.tell("ReceiveStock", {"quantity": 1})
    desk.tell("ReceiveStock", {"quantity": 1})
    outcome = desk.tell("ReceiveStock", {"quantity": 1}, expectedversion=expected)["data"]
    assert outcome["status"] == ("accepted" if accepted else "rejected")
    if not accepted:
        assert (outcome["code"], outcome["details"]) == ("STALE_VERSION", {"expected": expected, "version": 2})
    assert desk.entry().version == (3 if accepted else 2)


@pytest.mark.parametrize("expected", [2**53, 2**63, 2**64 - 1, 2**70, -1, 1.0, "-1", "1,,2", "*, 2", str(2**60), True])
def test_a_version_that_no_store_can_represent_is_refused(desk: Desk, expected: object) -> None:
    """It would be part of the outcome's details, which MongoDB stores."""
    outcome = desk.tell("ReceiveStock", {"quantity": 1}, expectedversion=expected)["data"]
    assert (outcome["code"], outcome["details"]) == ("INVALID_MESSAGE", {})


@pytest.mark.parametrize("handled", [2**53, 2**64 - 1, -1])
def test_a_retry_that_counts_beyond_what_is_stored_is_refused(desk: Desk, handled: int) -> None:
    assert desk.tell("RetryLetters", {"handled": handled})["data"]["code"] == "INVALID_COMMAND"


@pytest.mark.parametrize(
    ("expected", "accepted"), [("*", True), ("2", True), ("1, 2,3", True), ("1,3", False), ("0", False), ("1", False)]
)
def test_one_of_several_expected_versions_must_match(desk: Desk, expected: str, accepted: bool) -> None:
    desk.tell("ReceiveStock", {"quantity": 1})
    desk.tell("ReceiveStock", {"quantity": 1})
    outcome = desk.tell("ReceiveStock", {"quantity": 1}, expectedversion=expected)["data"]
    assert outcome["status"] == ("accepted" if accepted else "rejected")
    assert accepted or outcome["code"] == "STALE_VERSION"


@pytest.mark.parametrize(("expected", "told"), [("*", "*"), ("1, 2", [1, 2]), (1, 1)])
def test_an_unknown_aggregate_is_at_no_version(desk: Desk, expected: object, told: object) -> None:
    outcome = desk.tell("ReceiveStock", {"quantity": 1}, expectedversion=expected)["data"]
    assert (outcome["code"], outcome["message"]) == ("STALE_VERSION", "it does not exist")
    assert outcome["details"] == {"expected": told, "version": 0}
    assert desk.entry() is None


def test_an_unknown_aggregate_is_at_version_zero(desk: Desk) -> None:
    assert desk.tell("ReceiveStock", {"quantity": 1}, expectedversion=1)["data"]["code"] == "STALE_VERSION"
    assert desk.entry() is None
    assert desk.tell("ReceiveStock", {"quantity": 1}, expectedversion=0)["data"]["status"] == "accepted"


# --- commands that cannot be handled


@pytest.mark.parametrize(
    ("value", "code"),
    [(b"{", "INVALID_MESSAGE"), (None, "INVALID_MESSAGE"), (b'{"type":"Nonsense"}', "UNKNOWN_TYPE"),
     (b"\xff\x00", "INVALID_MESSAGE"), (json.dumps(receive(0)).encode(), "INVALID_QUANTITY")],
)  # fmt: skip
def test_an_invalid_message_gets_an_outcome_and_a_letter_and_blocks_nothing(
    desk: Desk, value: bytes | None, code: str
) -> None:
    decided = desk.decide(desk.record(receive(1)), desk.record(value), desk.record(receive(2)))
    (_, no, _), (letter,) = messages(decided, "command-outcomes"), messages(decided, "dead-letters")
    assert (no["type"], no["data"]["code"], no["data"]["aggregateId"]) == ("CommandRejected", code, BOOTS)
    assert (letter["data"]["kind"], letter["data"]["code"], letter["data"]["offset"]) == ("invalid", code, 1)
    assert letter["data"]["headers"] == [{"name": "h", "valueBase64": "/w=="}, {"name": "n", "value": None}]
    assert desk.entry().state.balance.available == 3


def test_a_command_that_makes_no_sense_is_kept_as_a_dead_letter_too(desk: Desk) -> None:
    twice = placing("o", "shoes", "shoes")
    for line in twice["data"]["lines"]:
        line["lineId"] = "same"
    order = Desk(ORDER)
    unknown = order.decide(order.record(twice, key=BOOTS))
    desk.tell("ReceiveStock", {"quantity": 5})
    known = desk.decide(desk.record({"type": "AdjustStock", "id": "a", "data": {"delta": 0}}))
    for decided, code in ((unknown, "INVALID_ORDER"), (known, "INVALID_QUANTITY")):
        (outcome,), (letter,) = messages(decided, "command-outcomes"), messages(decided, "dead-letters")
        assert outcome["data"]["code"] == letter["data"]["code"] == code
        assert (letter["data"]["kind"], letter["data"]["message"]) == ("invalid", outcome["data"]["message"])
        assert decided.commands == {(outcome["data"]["commandType"], code): 1}
        for name in ("commandId", "commandType"):
            assert letter["data"][name] == outcome["data"][name]


def test_a_command_that_is_refused_because_of_the_state_is_not_a_dead_letter(desk: Desk) -> None:
    desk.tell("ReceiveStock", {"quantity": 5})
    refused = desk.decide(desk.record({"type": "AdjustStock", "data": {"delta": -9}}))
    assert messages(refused, "command-outcomes")[0]["data"]["code"] == "INSUFFICIENT_STOCK"
    assert messages(refused, "dead-letters") == []


def test_an_invalid_message_with_an_id_is_answered_under_it(desk: Desk) -> None:
    outcome = desk.tell("ReceiveStock", {"quantity": -1}, id="mine", correlationid="flow")
    assert (outcome["data"]["commandId"], outcome["correlationid"]) == ("mine", "flow")
    assert outcome["data"]["details"] == {"quantity": "Input should be greater than 0"}


@pytest.mark.parametrize(
    ("given", "kept"), [("x" * 128, True), ("x" * 129, False), ("", False), (7, False), (None, False)]
)
def test_an_invalid_message_without_a_usable_id_gets_the_id_of_its_place(desk: Desk, given: Any, kept: bool) -> None:
    record = desk.record({"type": "Nonsense", "id": given}, offset=9)
    (outcome,) = messages(desk.decide(record), "command-outcomes")
    assert outcome["data"]["commandId"] == (given if kept else derived_id(desk.commands, 1, 9))


@pytest.mark.parametrize("key", [None, b"\xff\xfe", b"", b"x" * 500])
def test_an_invalid_message_with_an_odd_key_is_answered_too(desk: Desk, key: bytes | None) -> None:
    record = desk.record(receive())
    decided = desk.decide(ConsumerRecord(*(key if part == BOOTS.encode() else part for part in vars_of(record))))
    assert [outcome["type"] for outcome in messages(decided, "command-outcomes")] == ["CommandRejected"]
    assert written(decided, "dead-letters")[0].key == key


def vars_of(record: Any) -> list[Any]:
    return [getattr(record, name) for name in ConsumerRecord.__dataclass_fields__]


class Breaks:
    """The inventory's decisions, except that every command about 13 units raises when it is half done."""

    def __init__(self, error: Callable[[], Exception]) -> None:
        self.error = error

    def decide(self, command: Any, entry: Any, changes: Any) -> Any:
        events, state = PRODUCT.decide(command, entry, changes)
        if getattr(command.command, "quantity", 0) == 13:
            raise self.error()
        return events, state


@pytest.mark.parametrize("error", [RuntimeError, KeyError, RecursionError, AssertionError])
def test_a_handler_that_raises_leaves_no_trace_and_the_other_commands_continue(
    error: Any, caplog: pytest.LogCaptureFixture
) -> None:
    desk = Desk(replace(PRODUCT, decide=Breaks(lambda: error("a bug")).decide))

    def reserve(order: str, quantity: int) -> dict[str, Any]:
        data = {"orderId": order, "lineId": "1", "quantity": quantity, "orderVersion": 1}
        return {"type": "ReserveStock", "id": order, "data": data}

    with caplog.at_level(logging.CRITICAL):
        decided = desk.decide(
            desk.record(receive(20)), desk.record(reserve("first", 2)), desk.record(reserve("breaks", 13)),
            desk.record(reserve("second", 3)), desk.record(receive(1), key=OTHER),
        )  # fmt: skip
    assert [event["type"] for event in messages(decided, "inventory-events")] == [
        "StockReceived", "StockReserved", "StockReceived",
    ]  # fmt: skip
    keys = {write.key for write in written(decided, "inventory-stock-changelog")}
    assert not keys & {f"{BOOTS}/breaks/1".encode(), f"{BOOTS}/second/1".encode()}
    assert f"{BOOTS}/first/1".encode() in keys
    assert desk.entry().state.balance.available == 18
    assert desk.entry().version == 2
    assert not [o for o in messages(decided, "command-outcomes") if o["data"]["commandId"] in ("breaks", "second")]
    letter, behind = messages(decided, "dead-letters")
    assert (letter["data"]["kind"], letter["data"]["offset"]) == ("parked", 2)
    assert error.__name__ in letter["data"]["message"]
    assert "Traceback" in letter["data"]["traceback"]
    assert json.loads(letter["data"]["value"]) == reserve("breaks", 13)
    assert (behind["data"]["kind"], behind["data"]["code"]) == ("parked", "PARKED_BEHIND")


# --- orders


def test_an_order_is_placed_once_however_often_the_command_is_repeated() -> None:
    desk, order = Desk(ORDER), key_on(1, "order")
    line = {"productId": "p", "quantity": 1, "price": {"amount": 1000, "currency": "EUR"}}
    data = {"customerId": "c", "lines": [line], "shippingAddress": ADDRESS, "billingAddress": ADDRESS}
    first = desk.tell("PlaceOrder", data, key=order, id="1")["data"]
    again = desk.tell("PlaceOrder", data, key=order, id="1")["data"]
    same = desk.tell("PlaceOrder", data, key=order, id="2")["data"]
    another = desk.tell("PlaceOrder", data | {"customerId": "d"}, key=order, id="3")["data"]
    assert first == again
    assert (same["status"], same["events"], same["version"]) == ("accepted", [], 1)
    assert (another["status"], another["code"]) == ("rejected", "ORDER_EXISTS")
    assert desk.entry(order).version == 1


def test_a_rejection_of_an_unknown_aggregate_leaves_no_entry() -> None:
    desk, order = Desk(ORDER), key_on(1, "order")
    refused = desk.tell("CancelOrder", key=order)["data"]
    assert (refused["code"], refused["version"]) == ("ORDER_NOT_FOUND", 0)
    assert desk.entry(order) is None


def test_a_command_that_came_too_early_is_decided_when_it_is_sent_again() -> None:
    desk = Desk(ORDER)
    desk.decide(desk.record(placing(BOOTS, "shoes")))
    ship: dict[str, Any] = {"type": "CreateShipment", "id": "early", "data": {"shipmentId": "s"}}
    (early,) = messages(desk.decide(desk.record(ship)), "command-outcomes")
    assert (early["data"]["code"], early["data"]["retryable"]) == ("ALLOCATION_PENDING", True)
    assert early["data"]["result"]["status"] == "REGISTERED"
    figures = {"lineId": "1", "reserved": 2, "backordered": 0, "rejected": 0, "stockVersion": 1}
    desk.tell("RecordAllocation", figures)
    (again,) = messages(desk.decide(desk.record(ship)), "command-outcomes")
    assert (again["data"]["status"], again["data"]["result"]["status"]) == ("accepted", "SHIPPED")


# --- size


def test_the_records_about_an_invalid_message_are_hardly_larger_than_the_message() -> None:
    """A broker that accepted a message must accept the records about it, or the partition is blocked forever."""
    desk = Desk()
    for value in (receive(id="x" * 100_000), receive(0, correlationid="x" * 100_000), {"type": "x" * 100_000}):
        raw = json.dumps(value).encode()
        decided = desk.decide(desk.record(raw))
        assert max(len(write.value or b"") + len(write.key or b"") for write in decided.writes) < 1.5 * len(raw)


@pytest.mark.parametrize("timestamp", [-1, -(2**62), 2**62, 253_402_300_799_000, 0])
def test_a_record_may_be_stamped_with_any_time(desk: Desk, timestamp: int) -> None:
    """A producer's time counts if it is in the past; without a valid one, the message arrived just now."""
    before = now()
    for value in (json.dumps(receive()).encode(), b"{"):
        fields = vars_of(desk.record(value))
        fields[3] = timestamp
        (outcome,) = messages(desk.decide(ConsumerRecord(*fields)), "command-outcomes")
        assert outcome["time"] == "1970-01-01T00:00:00.000Z" if timestamp == 0 else before <= outcome["time"] <= now()


@pytest.mark.parametrize(
    "name",
    ["type", "id", "source", "subject", "time", "correlationid", "causationid", "specversion", "expectedversion",
     "datacontenttype", "dataschema", "data", "data_base64", "extension"],
)  # fmt: skip
@pytest.mark.parametrize("how", ["by hand", "binary"])
def test_an_attribute_nested_deeper_than_python_shows_is_refused(desk: Desk, name: str, how: str) -> None:
    attributes = {"type": b'"ReceiveStock"', "data": b'{"quantity":1}'} | {name: b"[" * 1_000 + b"]" * 1_000}
    if name == "data_base64":
        del attributes["data"]
    value = b"{" + b",".join(b'"%b":%b' % (each.encode(), said) for each, said in attributes.items()) + b"}"
    record = desk.record(value)
    if how == "binary":
        record = replace(record, headers=(("ce_id", b"mine"),))
    decided = desk.decide(record)
    (outcome,) = messages(decided, "command-outcomes")
    assert outcome["data"]["status"] == "rejected"
    assert len(written(decided, "dead-letters")) == 1
    assert desk.tell("ReceiveStock", {"quantity": 1})["data"]["status"] == "accepted"  # nothing is parked


@pytest.mark.parametrize("principal", [None, "shop", "oidc:a b", "ä" * 250])
def test_events_name_the_principal_of_their_command_and_commands_they_cause_do_not(principal: str | None) -> None:
    desk, order = Desk(ORDER), key_on(1, "named")
    said = {} if principal is None else {"principal": principal}
    decided = desk.decide(desk.record({**placing(order, BOOTS), **said}, key=order))
    (write,), (event,) = written(decided, "order-events"), messages(decided, "order-events")
    assert event.get("principal") == principal
    assert decode_event(write.value or b"").principal == principal
    caused = messages(decided, "inventory-commands")
    assert caused
    assert not any("principal" in each for each in caused)


@pytest.mark.parametrize("other", [7, "", "x" * 301, "a\nb", True])
def test_another_producers_extension_of_that_name_is_ignored(desk: Desk, other: Any) -> None:
    decided = desk.decide(desk.record(receive(principal=other)))
    assert messages(decided, "command-outcomes")[0]["data"]["status"] == "accepted"
    assert "principal" not in messages(decided, "inventory-events")[0]
