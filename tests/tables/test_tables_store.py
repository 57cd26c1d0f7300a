"""Entries, the changes of a transaction, and the form of every kind of entry in the changelog."""

import json
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace
from system import ADDRESS

from agents.inventory import PRODUCT
from agents.orders import ORDER
from domain.errors import InsufficientStock, Rejection
from domain.ids import confusable
from domain.inventory import Reservation, Stock
from domain.inventory.commands import CountStock, ReceiveStock, ReserveStock
from domain.inventory.events import Balance
from domain.message import Command
from domain.orders.commands import CreateShipment, Hold, PlaceOrder, RecordAllocation
from streams.keys import position_key, segment
from streams.messages.envelope import CommandMessage
from streams.messages.strict import read_command
from streams.runtime.app import create_app
from streams.runtime.settings import Settings
from tables import orders as orders_module
from tables import stock as stock_module
from tables import store
from tables.entries import Answer, Position, recall, remember
from tables.orders import OrderEntry, orders_table
from tables.rows import MemoryRows
from tables.stock import ProductReservations, QueuePlace, StockEntry
from tables.store import Changes, Entries, PartitionedTable

HOSTILE = ["a", "a/b", "/a", "a/", "//", "%2F", "50%", "é漢🧦", "no\u00a0break", " ", ".", "..", '"', "\\", "x" * 128,
           "🧦" * 128]  # fmt: skip


class Text:
    """Values are strings; counts how often it decodes."""

    decoded = 0

    def encode(self, value: str) -> bytes:
        return value.encode()

    def decode(self, key: bytes, raw: bytes) -> str:
        self.decoded += 1
        return raw.decode()


@pytest.fixture
def entries() -> Entries[str]:
    return Entries(Text(), MemoryRows({b"a": b"1", b"b": b"2"}))


def decoded(entries: Entries[str]) -> int:
    assert isinstance(entries._codec, Text)
    return entries._codec.decoded


def remembered(entries: Entries[str]) -> int:
    return len(entries._recent) + len(entries._older)


def put(entries: Entries[str], key: bytes, value: str | None, raw: bytes | None) -> None:
    """Set or delete one entry, as a transaction does."""
    entries.merge({key: value}, {key: raw}, None)


# --- entries


def test_a_value_is_decoded_once(entries: Entries[str]) -> None:
    assert [entries.get(b"a"), entries.get(b"a"), entries.get(b"x")] == ["1", "1", None]
    assert decoded(entries) == 1


def test_an_entry_is_set_and_dropped(entries: Entries[str]) -> None:
    put(entries, b"a", "3", b"3")
    put(entries, b"b", None, None)
    assert (entries.get(b"a"), dict(entries.rows.items())) == ("3", {b"a": b"3"})
    assert b"b" not in entries
    assert entries.get(b"b") is None


@pytest.fixture
def generations_of_ten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "CACHED_VALUES", 10)


@pytest.mark.usefixtures("generations_of_ten")
def test_the_cache_is_limited_and_the_entries_are_not() -> None:
    entries = Entries(Text(), MemoryRows({b"%d" % number: b"%d" % number for number in range(50)}))
    for _ in range(2):
        assert [entries.get(b"%d" % number) for number in range(50)] == [str(number) for number in range(50)]
        assert remembered(entries) == 20
    for number in range(50, 80):
        put(entries, b"%d" % number, str(number), b"%d" % number)
        assert entries.get(b"%d" % number) == str(number)
    assert (remembered(entries), len(entries.rows)) == (20, 80)
    put(entries, b"79", "changed", b"changed")
    assert entries.get(b"79") == "changed"


@pytest.mark.usefixtures("generations_of_ten")
def test_a_value_that_is_used_stays_decoded(entries: Entries[str]) -> None:
    for number in range(100):
        put(entries, b"%d" % number, str(number), b"%d" % number)
        assert entries.get(b"a") == "1"
    assert decoded(entries) == 1


@pytest.mark.usefixtures("generations_of_ten")
@pytest.mark.parametrize("changed", [("3", b"3"), (None, None)])
def test_no_generation_keeps_the_old_value_of_a_changed_entry(
    entries: Entries[str], changed: tuple[str | None, bytes | None]
) -> None:
    assert entries.get(b"a") == "1"
    for number in range(10):
        put(entries, b"%d" % number, str(number), b"%d" % number)
    assert b"a" in entries._older
    put(entries, b"a", *changed)
    for number in range(10, 40):
        assert entries.get(b"a") == changed[0]
        put(entries, b"%d" % number, str(number), b"%d" % number)


def test_remembering_costs_the_same_however_many_were_forgotten() -> None:
    entries = Entries(Text())

    def seconds(first: int) -> float:
        began = time.process_time()
        for number in range(first, first + 20_000):
            put(entries, b"%d" % number, "x", b"x")
        return time.process_time() - began

    seconds(0)
    rounds = [seconds(20_000 * number) for number in range(1, 11)]
    assert min(rounds[5:]) < 4 * min(rounds[:5]), rounds


# --- changes


def test_a_transaction_reads_its_own_writes_and_no_other_does(entries: Entries[str]) -> None:
    changes, other = Changes(entries), Changes(entries)
    changes.put(b"a", "3")
    changes.put(b"b", None)
    changes.put(b"c", "4")
    assert [changes.get(key) for key in (b"a", b"b", b"c")] == ["3", None, "4"]
    assert [key in changes for key in (b"a", b"b", b"c", b"d")] == [True, False, True, False]
    assert [other.get(key) for key in (b"a", b"b", b"c")] == ["1", "2", None]
    assert dict(entries.rows.items()) == {b"a": b"1", b"b": b"2"}


def test_each_touched_key_is_one_changelog_record(entries: Entries[str]) -> None:
    changes = Changes(entries)
    for value in ("3", None, "4"):
        changes.put(b"a", value)
    changes.put(b"b", None)
    assert changes.encode() == [(b"a", b"4"), (b"b", None)]


def test_merging_makes_the_changes_visible_to_all(entries: Entries[str]) -> None:
    changes = Changes(entries)
    changes.put(b"a", "3")
    changes.put(b"b", None)
    changes.encode()
    changes.merge()
    assert dict(entries.rows.items()) == {b"a": b"3"}
    assert (entries.get(b"a"), entries.get(b"b")) == ("3", None)


def test_undone_changes_leave_the_earlier_ones(entries: Entries[str]) -> None:
    changes = Changes(entries)
    changes.put(b"a", "of the first")
    before = changes.mark()
    changes.put(b"a", "of the second")
    changes.put(b"a", None)
    changes.put(b"b", None)
    changes.put(b"c", "new")
    assert [changes.get(key) for key in (b"a", b"b", b"c")] == [None, None, "new"]
    assert (b"a" in changes, b"c" in changes) == (False, True)
    changes.undo(before)
    assert [changes.get(key) for key in (b"a", b"b", b"c")] == ["of the first", "2", None]
    assert (b"a" in changes, b"b" in changes, b"c" in changes) == (True, True, False)
    assert changes.encode() == [(b"a", b"of the first")]


def test_undone_changes_can_be_repeated(entries: Entries[str]) -> None:
    changes = Changes(entries)
    before = changes.mark()
    changes.put(b"c", "new")
    changes.undo(before)
    changes.put(b"c", "newer")
    changes.undo(changes.mark())
    assert changes.encode() == [(b"c", b"newer")]


# --- the table


@pytest.fixture
def table() -> PartitionedTable:
    return orders_table(create_app("orders", Settings(prefix="p-")))


def owned(**values: str) -> Entries[str]:
    return Entries(Text(), MemoryRows({key.encode(): value.encode() for key, value in values.items()}))


def test_changes_are_merged_only_into_what_they_were_decided_on(table: PartitionedTable) -> None:
    table.data.replace({0: owned(a="1"), 3: owned(b="1")})
    changes = table.data.changes(0)
    changes.put(b"a", "2")
    changes.encode()
    table.data.replace({0: owned(a="restored")})
    changes.merge()
    assert table.data.changes(0).get(b"a") == "restored"
    with pytest.raises(KeyError):
        table.data.changes(3)


def test_a_table_shows_what_its_partitions_hold(table: PartitionedTable) -> None:
    table.data.replace({0: owned(a="1"), 3: owned(b="2")})
    assert (table.data[b"a"], table.data[b"b"], len(table.data), set(table.data)) == ("1", "2", 2, {b"a", b"b"})
    with pytest.raises(KeyError):
        table.data[b"c"]
    table.data.reset_state()
    assert len(table.data) == 0


def test_a_table_cannot_be_written_past_a_transaction(table: PartitionedTable) -> None:
    table.data.replace({0: owned(a="1")})
    with pytest.raises(TypeError, match=r"transaction|outside of stream"):
        table[b"a"] = b"2"
    with pytest.raises(TypeError, match="only in transactions"):
        table.data[b"a"] = b"2"
    with pytest.raises(TypeError, match=r"transaction|outside of stream"):
        del table[b"a"]
    with pytest.raises(TypeError, match="only in transactions"):
        del table.data[b"a"]
    with pytest.raises(TypeError, match="in bulk"):
        table.data.apply_changelog_batch([], None, None)
    assert table.data[b"a"] == "1"


def test_a_changelog_belongs_to_the_installation(table: PartitionedTable) -> None:
    assert table.changelog_topic.get_topic_name() == "p-orders-states-changelog"


# --- the changelog


def message(command: Command, key: str) -> CommandMessage:
    return CommandMessage("c", key, command, "2026-11-23T10:00:00.000Z", "web", "c")


def order_with(odd: str) -> OrderEntry:
    """Return an order, all parts of which are called `odd`, with some history, and three of its answers.

    Older code accepted ids that a new order may no longer have.
    """
    if confusable(odd) is not None:
        raw = orders_module.CODEC.encode(order_with("odd"))
        named = json.dumps(odd).encode()
        found = orders_module.CODEC.decode(b"o-1", raw.replace(b'"odd"', named).replace(b'"odd2"', named))
        assert isinstance(found, OrderEntry)
        return found
    price = {"amount": 1000, "currency": "EUR"}
    line = {"lineId": odd, "productId": odd, "quantity": 5, "price": price}
    placed = {"customerId": odd, "lines": [line], "shippingAddress": ADDRESS, "billingAddress": ADDRESS}
    allocated = {"lineId": odd, "reserved": 4, "backordered": 0, "rejected": 1, "reason": odd, "stockVersion": 3}
    story: list[Command] = [
        read_command(PlaceOrder, placed | {"policy": "PARTIAL"}),
        read_command(RecordAllocation, allocated),
        read_command(CreateShipment, {"shipmentId": odd, "carrier": odd, "trackingNumber": odd}),
        read_command(Hold, {"reason": odd}),
    ]
    kind, entry = ORDER, None
    for command in story:
        _, state = kind.decide(message(command, odd), entry, Changes(Entries(orders_module.CODEC)))
        assert state is not None
        answers = (
            Answer(odd, "PlaceOrder", 1, ("OrderPlaced", "OrderHeld")),
            Answer(odd + "2", "Hold", 2, (), "ORDER_ON_HOLD", odd, {"reason": odd, "lines": [odd], "n": 3}, True),
        )
        entry = kind.entry(state, 7, answers, "2026-11-23T10:00:00.000Z")
    assert entry is not None
    return entry


@pytest.mark.parametrize("odd", HOSTILE)
def test_orders_are_restored_from_the_changelog_unchanged(odd: str) -> None:
    entry, codec = order_with(odd), orders_module.CODEC
    assert codec.decode(segment(odd), codec.encode(entry)) == entry


@pytest.mark.parametrize("odd", HOSTILE)
@pytest.mark.parametrize(
    "value",
    [
        StockEntry(Stock(), 0),
        StockEntry(
            Stock(True, True, Balance(on_hand=5, allocated=2, available=3, backordered=1, received=7), 3, 9),
            12,
            (Answer("c", "ReserveStock", 3, ("StockReserved",)),),
        ),
    ],
)
def test_products_are_restored_unchanged(odd: str, value: StockEntry) -> None:
    codec = stock_module.CODEC
    assert codec.decode(segment(odd), codec.encode(value)) == value


@pytest.mark.parametrize("odd", HOSTILE)
def test_reservations_and_places_come_back_as_they_were(odd: str) -> None:
    codec = stock_module.CODEC
    for overlay in reserved(odd):
        keys = dict(overlay.encode())
        assert len(keys) == 2
        for key, raw in keys.items():
            assert raw is not None
            assert codec.encode(codec.decode(key, raw)) == raw
            assert codec.decode(key, raw) == overlay.get(key)
        assert {type(overlay.get(key)) for key in keys} == {Reservation, QueuePlace}


def reserved(odd: str) -> Iterator[Changes[Any]]:
    changes: Changes[Any] = Changes(Entries(stock_module.CODEC))
    shelf = ProductReservations(changes, odd)
    shelf.put(Reservation(odd, odd, held=2, waiting=3, place=0, order_version=4))
    assert shelf.get(odd, odd) == Reservation(odd, odd, held=2, waiting=3, place=0, order_version=4)
    assert list(shelf.queue(Stock(queue_tail=5))) == [shelf.get(odd, odd)]
    yield changes


def test_no_two_reservations_have_one_key() -> None:
    changes: Changes[Any] = Changes(Entries(stock_module.CODEC))
    for product in HOSTILE:
        for order in HOSTILE:
            for line in HOSTILE:
                ProductReservations(changes, product).put(Reservation(order, line, held=1))
    keys = [key for key, _ in changes.encode()]
    assert len(set(keys)) == len(HOSTILE) ** 3
    assert not set(keys) & {segment(product) for product in HOSTILE}
    for product in HOSTILE:
        shelf = ProductReservations(changes, product)
        assert all(shelf.get(order, line) == Reservation(order, line, held=1) for order in HOSTILE for line in HOSTILE)


@pytest.mark.parametrize("codec", [orders_module.CODEC, stock_module.CODEC])
def test_positions_are_kept_in_every_table(codec: Any) -> None:
    position = Position(2**62, "topic id", fulfils=True)
    key = position_key("p-order-commands")
    assert key not in {segment(odd) for odd in HOSTILE}
    assert codec.decode(key, codec.encode(position)) == position
    assert codec.encode(replace(position, fulfils=False)) == b'{"offset":4611686018427387904,"topic_id":"topic id"}'


def test_a_line_that_no_longer_waits_leaves_the_queue() -> None:
    changes: Changes[Any] = Changes(Entries(stock_module.CODEC))
    shelf = ProductReservations(changes, "boots")
    shelf.put(Reservation("o", "1", waiting=3, place=4))
    shelf.put(held := Reservation("o", "1", held=3))
    assert list(shelf.queue(Stock(queue_tail=9))) == []
    assert shelf.get("o", "1") == held
    assert dict(changes.encode())[b"boots//4"] is None


def test_holes_behind_a_line_that_waits_are_not_read_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that waits for one location stays at the head while others are served; the holes grow without bound."""
    first: Changes[Any] = Changes(Entries(stock_module.CODEC))
    waits = [Reservation(f"o-{place}", "1", waiting=1, place=place) for place in (-3, 5, 250_000, 900_000, 999_999)]
    for line in waits[:-1]:
        ProductReservations(first, "boots").put(line)
    first.encode()
    first.merge()
    changes: Changes[Any] = Changes(first.entries)
    shelf = ProductReservations(changes, "boots")
    shelf.put(waits[-1])
    shelf.put(Reservation("o-250000", "1", held=1))  # served in this transaction
    asked: list[bytes] = []
    get = Changes.get
    monkeypatch.setattr(Changes, "get", lambda self, key: (asked.append(key), get(self, key))[1])
    found = list(shelf.queue(Stock(queue_head=-3, queue_tail=1_000_000)))
    assert [line.place for line in found] == [-3, 5, 900_000, 999_999]
    assert len(asked) < 200


def test_a_count_reads_the_newest_reservations_from_the_table_and_from_the_transaction() -> None:
    """The rows that hold units are in the table; of the transaction, the newest state counts."""
    first: Changes[Any] = Changes(Entries(stock_module.CODEC))
    shelf = ProductReservations(first, "boots")
    for since, order in enumerate("edcba", 1):
        shelf.put(Reservation(order, "1", held=2, since=since))
    shelf.put(Reservation("z", "1", waiting=3, place=4))
    ProductReservations(first, "boots/").put(Reservation("other", "1", held=9, since=9))
    first.encode()
    first.merge()
    later: Changes[Any] = Changes(first.entries)
    shelf = ProductReservations(later, "boots")
    shelf.put(Reservation("a", "1", shipped=2))
    shelf.put(Reservation("new", "1", held=1, since=6))
    stock = Stock(exists=True, balance=Balance(on_hand=11, allocated=9, available=2))
    state = shelf.state_for(CountStock(quantity=5), stock, 6)
    assert [(each.order_id, each.held) for each in state.newest] == [("new", 1), ("b", 2), ("c", 2)]
    assert shelf.state_for(CountStock(quantity=9), stock, 6).newest == ()


# --- answers


def test_recent_answers_are_limited_and_the_oldest_is_dropped_first() -> None:
    recent: tuple[Answer, ...] = ()
    for number in range(10):
        recent = remember(recent, Answer(str(number), "Hold", number), 4)
    assert [answer.command_id for answer in recent] == ["6", "7", "8", "9"]
    command = CommandMessage("7", "o", Hold(reason="?"), "2026-11-23T10:00:00.000Z", "shop", "c")
    assert recall(recent, command) == Answer("7", "Hold", 7)
    assert recall(recent, replace(command, id="5")) is None
    ours = remember(recent, Answer("7", "Hold", 8, source="shop"), 1)
    assert recall(ours, command) is ours[0]
    assert recall(ours, replace(command, source="web")) is None
    assert remember(recent, Answer("x", "Hold", 1), 0) == ()


def test_a_repeated_answer_is_unchanged() -> None:
    command = CommandMessage("c", "o", Hold(reason=""), "2026-11-23T10:00:00.000Z", "web", "c")
    first = Answer("c", "Hold", 5, ("OrderHeld", "OrderReleased")).outcome(command, "order", None)
    assert [event["sequence"] for event in first.events] == [4, 5]
    assert len({event["id"] for event in first.events}) == 2
    no: Rejection = InsufficientStock(productId="p", asked=3, available=1)
    answer = Answer("c", "Hold", 5, (), no.code, no.message, no.details, no.retryable)
    again = stock_module.CODEC
    kept = again.decode(b"p", again.encode(StockEntry(Stock(), 5, (answer,)))).recent[0]
    assert kept.outcome(command, "order", None).encode() == answer.outcome(command, "order", None).encode()


def test_a_product_is_decided_on_the_changes_of_the_transaction() -> None:
    changes: Changes[Any] = Changes(Entries(stock_module.CODEC))
    kind = PRODUCT
    _, stock = kind.decide(message(ReceiveStock(quantity=5), "boots"), None, changes)
    for order, left in (("o1", 2), ("o2", 0)):
        command = ReserveStock(order_id=order, line_id="1", quantity=3, order_version=1)
        _, stock = kind.decide(message(command, "boots"), StockEntry(stock, 1), changes)
        assert stock.balance.available == left
    assert stock.balance.backordered == 1
    assert len(changes.encode()) == 3  # two reservations and a place in the queue


@given(st.text(min_size=1) | st.text("aZ09_.~-", min_size=1))
@example("a\n")
@example("é")
@example("٣")
def test_a_segment_is_the_encoded_id_whichever_function_makes_it(identifier: str) -> None:
    assert segment(identifier) == quote(identifier, safe="").encode()
