"""Closed orders are archived when they are old enough, and restored from their events when a command changes them.

The events of a fetch are put on a log in memory, from which `Desk.restore` restores orders as a worker does from Kafka.
"""

import json
from dataclasses import dataclass, field
from dataclasses import replace as replace_fields
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka import ConsumerRecord
from aiokafka.errors import KafkaConnectionError, KafkaError, TopicAuthorizationFailedError
from faust.types import TP
from msgspec.structs import replace
from system import ADDRESS

from agents.archiving import DAY_SECONDS, Archiving, Trail
from agents.deciding import Aside, Decided, Deciding
from agents.orders import ORDER
from agents.restoring import (
    FAILED_SECONDS,
    MOST_FAILED,
    Archived,
    History,
    NotRestored,
    Restored,
    Restoring,
    archived_in,
)
from agents.worker import TransactionalWorker
from domain.errors import CorruptHistory
from domain.orders.events import OrderArchived
from streams.kafka.partitions import partition_of
from streams.kafka.transport import Fetch, Member, Part
from streams.keys import position_key, segment
from streams.messages.codec import decode_event
from streams.messages.envelope import event_id, instant_of
from streams.runtime.app import create_app
from streams.runtime.settings import Settings
from tables.entries import Position
from tables.orders import ArchivedEntry, OrderEntry, orders_table
from tables.store import Entries

SETTINGS = Settings(partitions=4, closed_after=2)
COMMANDS, EVENTS = TP("order-commands", 1), "order-events"
BEGIN = 1_800_000_000  # Unix time of the first command; each takes a second
ORDER_ID = next(f"größe/{n}" for n in range(99) if partition_of(f"größe/{n}".encode(), 4) == 1)
PRICE = {"amount": 100, "currency": "EUR"}
PLACE = {"customerId": "c", "lines": [{"productId": "boots", "quantity": 2, "price": PRICE}],
         "shippingAddress": ADDRESS, "billingAddress": ADDRESS}  # fmt: skip
ALLOCATED = {"lineId": "1", "reserved": 2, "backordered": 0, "rejected": 0, "stockVersion": 2}
BY_STOCK = {"source": "fulfilment", "causationid": "an event"}
STORY: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("PlaceOrder", PLACE, {}),
    ("RecordAllocation", ALLOCATED, BY_STOCK),
    ("CreateShipment", {"shipmentId": "s-1"}, {"id": "ship"}),
    ("DeliverShipment", {"shipmentId": "s-1"}, {}),
]
RETURN = {"returnId": "r-1", "lines": [{"lineId": "1", "quantity": 1}], "reason": "too small"}


@dataclass
class Desk:
    """A worker without Kafka: its decisions, and the log of the events that they cause."""

    seconds: int = 0
    log: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.table = orders_table(create_app("orders", SETTINGS))
        self.entries: Entries[Any] = Entries(self.table.codec)
        self.table.data.replace({1: self.entries})
        self.deciding = Deciding(SETTINGS, ORDER, self.table, {COMMANDS.topic: "topic id"})
        self.archiving = Archiving(cast(Any, SimpleNamespace()), SETTINGS, self.table, {}, self.commit)
        self.trail, self.offset, self.owned = Trail(0), 0, True

    async def commit(self, tp: TP, decide: Aside) -> bool:
        decided = self.deciding.aside(tp, self.offset, decide)
        if self.owned and decided is not None:
            self.write(decided)
        return self.owned

    def write(self, decided: Decided) -> None:
        for write in decided.writes:
            if write.topic == EVENTS:
                milliseconds = (BEGIN + self.seconds) * 1000
                record = (EVENTS, 1, 7 * len(self.log), milliseconds, 1, write.key, write.value, None, 0, 0, ())
                self.log.append(ConsumerRecord(*record))
        decided.merge()

    def tell(self, name: str, data: Any, key: str = ORDER_ID, **envelope: Any) -> Decided:
        """Let a command be decided, with archived orders restored."""
        message = json.dumps({"type": name, "data": data, **envelope}).encode()
        milliseconds = (BEGIN + self.seconds) * 1000
        record = ConsumerRecord(*COMMANDS, self.offset, milliseconds, 1, key.encode(), message, None, 0, 0, ())
        fetch = Fetch(1, Member(1, "m"), {COMMANDS: Part(self.offset, [record])})
        self.archiving.see(fetch)
        self.seconds, self.offset = self.seconds + 1, self.offset + 1
        try:
            decided = self.deciding.decide(fetch)
        except NotRestored as needed:
            self.restore(needed.order)
            for order in archived_in(fetch, self.table.data.partitions):
                self.restore(order)
            decided = self.deciding.decide(fetch)
        self.write(decided)
        return decided

    def restore(self, order: Archived) -> None:
        history = History(order)
        for record in self.log:
            history.add(record)
        self.deciding.answering.restored.add(order, history.entry(32))

    def delivered(self, key: str = ORDER_ID) -> None:
        """Place an order, and deliver it."""
        for name, data, envelope in STORY:
            self.tell(name, data, key, **envelope)

    async def archive(self) -> list[str]:
        """Follow the events from where the trail ends, and return the types of all events that this causes."""
        before, left = len(self.log), self.log[self.trail.next // 7 :]
        for record in left:
            self.trail.see(record)
        self.trail.due = None
        await self.archiving.archive(1, self.trail, left)
        return [decode_event(record.value).type for record in self.log[before:]]

    def pass_days(self, days: float) -> None:
        """Let time pass, which a command of another order tells."""
        self.seconds += int(days * DAY_SECONDS)
        self.tell("Hold", {"reason": "?"}, key="another")

    @property
    def entry(self) -> Any:
        return self.entries.get(segment(ORDER_ID))


class Reader:
    """A consumer of a log in memory."""

    def __init__(self, log: list[Any], errors: list[KafkaError] | None = None) -> None:
        self.log, self.at, self.errors = log, 0, [] if errors is None else errors

    async def __aenter__(self) -> "Reader":
        return self

    async def __aexit__(self, *_: Any) -> None:
        """Do nothing: nothing is connected."""

    def assign(self, _: Any) -> None:
        """Do nothing: the log has one partition."""

    def seek(self, _: Any, offset: int) -> None:
        self.at = offset

    async def beginning_offsets(self, at: list[Any]) -> dict[Any, int]:
        return {at[0]: 0}

    async def end_offsets(self, at: list[Any]) -> dict[Any, int]:
        return {at[0]: self.log[-1].offset + 1}

    async def position(self, _: Any) -> int:
        return self.at

    async def getmany(self, at: Any, **_: Any) -> dict[Any, list[Any]]:
        if self.errors:
            raise self.errors.pop()
        records = [record for record in self.log if record.offset >= self.at]
        self.at = records[-1].offset + 1
        return {at: records}


def replaced(record: Any, **envelope: Any) -> Any:
    """Return a record of a message with other attributes."""
    value = json.dumps({**json.loads(record.value), **envelope}).encode()
    return replace_fields(record, value=value)


def outcomes(decided: Decided) -> list[dict[str, Any]]:
    return [json.loads(write.value or b"")["data"] for write in decided.writes if write.topic == "command-outcomes"]


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
async def archived() -> Desk:
    desk = Desk()
    desk.delivered()
    desk.pass_days(2)
    assert await desk.archive() == ["OrderArchived"]
    return desk


# --- archiving


async def test_a_closed_order_is_archived_when_it_is_old_enough(desk: Desk) -> None:
    desk.delivered()
    desk.pass_days(1.99)
    assert await desk.archive() == []
    desk.pass_days(0.02)
    assert await desk.archive() == ["OrderArchived"]


@pytest.mark.parametrize("of_entry", [True, False])
async def test_an_order_with_a_time_in_the_future_is_as_old_as_its_last_record(desk: Desk, of_entry: bool) -> None:
    desk.delivered()
    future = "2999-01-01T00:00:00.000Z"
    changes = desk.table.data.changes(1)
    changes.put(segment(ORDER_ID), replace(desk.entry, time=future if of_entry else ""))
    changes.encode()
    changes.merge()
    desk.log[-1] = replaced(desk.log[-1], time=future)
    desk.pass_days(1.9)
    assert await desk.archive() == []
    desk.pass_days(0.2)
    assert await desk.archive() == ["OrderArchived"]
    assert desk.entry.time == (future if of_entry else instant_of(desk.archiving.now)), (
        "times of an order never go back"
    )


async def test_its_entry_is_small_and_its_event_continues_the_history(archived: Desk) -> None:
    event, raw = decode_event(archived.log[-1].value), dict(archived.entries.rows.items())[segment(ORDER_ID)]
    assert (event.id, event.sequence, event.event) == (event_id("order", ORDER_ID, 5), 5, OrderArchived())
    assert event.causation_id == decode_event(archived.log[3].value).id
    assert archived.entry == ArchivedEntry.of((0, 7, 14, 21), 5, event.time)
    assert archived.entry.offsets == (0, 7, 14, 21)
    assert len(raw) < 100
    assert archived.table.codec.decode(segment(ORDER_ID), raw) == archived.entry


async def test_events_are_followed_once_and_the_table_says_how_far(archived: Desk) -> None:
    position = Position(28 - 7, "")
    assert archived.entries.get(position_key(EVENTS)) == position
    archived.trail.next = position.offset + 1
    assert await archived.archive() == []


async def test_an_open_order_is_never_archived_and_delays_no_other(desk: Desk) -> None:
    other = next(f"o-{n}" for n in range(99) if partition_of(f"o-{n}".encode(), 4) == 1)
    desk.tell("PlaceOrder", PLACE, other)
    desk.delivered()
    desk.pass_days(900)
    assert await desk.archive() == ["OrderArchived"]
    assert type(desk.entries.get(segment(other))) is OrderEntry


async def test_no_order_is_passed_over_because_one_before_it_is_not_old_enough(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agents.archiving.PORTION", 1)
    keys = [key for n in range(99) if partition_of((key := f"o-{n}").encode(), 4) == 1][:3]
    for key in keys:
        desk.delivered(key)
    desk.archiving.app = cast(Any, SimpleNamespace(consumer=SimpleNamespace(prepared=True, progress=None)))
    for days, archived in ((1, 0), (1.1, 3)):
        desk.pass_days(days)
        await desk.archiving._follow(Reader(desk.log), 1, desk.trail)
        assert [type(desk.entries.get(segment(key))) for key in keys].count(ArchivedEntry) == archived


async def test_an_order_that_changed_since_it_was_found_is_left_alone(desk: Desk) -> None:
    desk.delivered()
    desk.pass_days(3)
    old = list(desk.log)
    desk.tell("RequestReturn", RETURN)
    assert await desk.archiving.archive(1, desk.trail, old)
    assert type(desk.entry) is OrderEntry


async def test_nothing_is_archived_before_a_command_tells_the_time() -> None:
    desk = Desk(seconds=-10 * DAY_SECONDS)
    desk.delivered()
    desk.archiving.now = 0.0  # as after a restart, whatever this machine's clock says
    assert await desk.archive() == []


async def test_a_partition_that_another_worker_owns_is_left_alone(desk: Desk) -> None:
    desk.delivered()
    desk.pass_days(3)
    desk.owned = False
    assert not await desk.archiving.archive(1, desk.trail, desk.log)
    assert type(desk.entry) is OrderEntry


# --- restoring


async def test_a_command_restores_the_order_in_the_transaction_of_its_events(archived: Desk) -> None:
    decided = archived.tell("RequestReturn", RETURN, id="late")
    (outcome,) = outcomes(decided)
    assert (outcome["status"], outcome["version"]) == ("accepted", 6)
    assert [decode_event(record.value).type for record in archived.log[-2:]] == ["OrderArchived", "ReturnRequested"]
    assert archived.entry.version == 6
    assert archived.entry.state.line("1").delivered == 2
    assert archived.entry.time > decode_event(archived.log[-2].value).time
    again = outcomes(archived.tell("RequestReturn", RETURN, id="late"))
    assert [each["version"] for each in again] == [6]


async def test_a_restored_order_is_archived_again_later(archived: Desk) -> None:
    archived.tell("RequestReturn", RETURN)
    archived.pass_days(1)
    assert await archived.archive() == []
    archived.pass_days(1.1)
    assert await archived.archive() == ["OrderArchived"]
    assert archived.entry.version == 7
    assert outcomes(archived.tell("ReceiveReturn", {"returnId": "r-1"}))[0]["version"] == 8


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [("DeliverShipment", {"shipmentId": "s-1"}, None), ("CreateShipment", {"shipmentId": "s-2"}, "NOT_ALLOCATED"),
     ("PlaceOrder", PLACE, None), ("PlaceOrder", {**PLACE, "customerId": "other"}, "ORDER_EXISTS")],
)  # fmt: skip
async def test_an_order_that_a_command_does_not_change_stays_archived(
    archived: Desk, name: str, data: Any, code: str | None
) -> None:
    before, kept = len(archived.log), archived.entry
    (outcome,) = outcomes(archived.tell(name, data, id="idle"))
    assert (outcome.get("code"), outcome["version"]) == (code, 5)
    assert outcome["result"]["status"] == "DELIVERED"
    assert (len(archived.log), replace(archived.entry, recent=())) == (before, kept)
    archived.tell("RequestReturn", RETURN)
    (again,) = outcomes(archived.tell(name, data, id="idle"))
    assert (again["version"], again.get("code"), again["events"]) == (5, code, []), "the answer is the same"


async def test_a_command_that_was_answered_before_it_was_archived_is_answered_again(archived: Desk) -> None:
    (outcome,) = outcomes(archived.tell("CreateShipment", {"shipmentId": "s-1"}, id="ship"))
    assert (outcome["status"], outcome["version"]) == ("accepted", 3)
    assert [event["type"] for event in outcome["events"]] == ["ShipmentCreated"]
    assert type(archived.entry) is ArchivedEntry


async def test_a_late_message_of_stock_restores_the_order_only_if_it_changes_it(archived: Desk) -> None:
    archived.tell("RecordAllocation", ALLOCATED, **BY_STOCK)
    assert type(archived.entry) is ArchivedEntry


@pytest.mark.parametrize("name", ["DeliverShipment", "CreateShipment", "RecordAllocation"])
async def test_events_that_were_searched_for_are_found_at_once_by_the_next_command(archived: Desk, name: str) -> None:
    changes, known = archived.table.data.changes(1), archived.entry.offsets
    changes.put(segment(ORDER_ID), archived.entry.with_offsets(known[-1:]))
    changes.encode()
    changes.merge()
    if name == "RecordAllocation":
        archived.tell(name, ALLOCATED, **BY_STOCK)
    else:
        archived.tell(name, {"shipmentId": "s-1" if name == "DeliverShipment" else "s-2"})
    assert type(archived.entry) is ArchivedEntry
    assert archived.entry.offsets == known


async def test_an_order_that_cannot_be_restored_is_searched_for_again_after_some_time() -> None:
    clock = [0.0]
    restored, order = Restored(lambda: clock[0]), Archived(1, b"o-1", ArchivedEntry.of((), 3, ""))
    restored.add(order, CorruptHistory("order-events lacks event 1"))
    restored.clear()
    with pytest.raises(CorruptHistory):
        restored.entry(*order)
    clock[0] = FAILED_SECONDS + 1
    restored.clear()
    assert order not in restored
    for number in range(2 * MOST_FAILED):
        restored.add(order._replace(partition=number), CorruptHistory("order-events lacks event 1"))
    restored.clear()
    assert sum(order._replace(partition=number) in restored for number in range(2 * MOST_FAILED)) == MOST_FAILED


async def test_lost_events_are_a_bug_which_parks_the_command(archived: Desk) -> None:
    lost = archived.log.pop(1)
    decided = archived.tell("RequestReturn", RETURN, id="late")
    assert decided.commands == {("RequestReturn", "parked"): 1}
    assert type(archived.entry) is ArchivedEntry
    archived.log.insert(1, lost)


def test_the_archived_orders_of_a_fetch_are_found_by_its_keys(archived: Desk) -> None:
    keys = [ORDER_ID.encode(), b"unknown", None, b"\xff"]
    records = [ConsumerRecord(*COMMANDS, 9, 0, 1, key, b"", None, 0, 0, ()) for key in keys]
    fetch = Fetch(1, Member(1, "m"), {COMMANDS: Part(9, records)})
    found = list(archived_in(fetch, archived.table.data.partitions))
    assert found == [Archived(1, segment(ORDER_ID), archived.entry)]


@pytest.mark.parametrize("timers", [False, True])
async def test_a_fetch_whose_partition_another_worker_got_while_it_waited_is_dropped(timers: bool) -> None:
    worker = TransactionalWorker(create_app("orders", SETTINGS), SETTINGS, ORDER)
    consumer = SimpleNamespace(is_current=lambda _: False)
    worker.app = cast(Any, SimpleNamespace(consumer=consumer))
    record = ConsumerRecord(*COMMANDS, 0, BEGIN * 1000, 1, b"o-1", b"{}", None, 0, 0, ())
    fetch = Fetch(1, Member(1, "m"), {COMMANDS: Part(0, [] if timers else [record])}, timers)
    assert await worker.handle(fetch) is None


async def test_a_fetch_whose_partition_another_worker_got_while_orders_were_restored_is_dropped(
    archived: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = create_app("orders", SETTINGS)
    worker = TransactionalWorker(app, SETTINGS, ORDER)
    worker._deciding.table.data.replace({1: archived.entries})
    worker.app = cast(Any, SimpleNamespace(consumer=SimpleNamespace(is_current=lambda _: bool(owned))))

    async def load(*_: Any) -> None:
        owned.clear()
        worker._deciding.table.data.replace({})

    owned = [1]
    monkeypatch.setattr(worker._restoring, "load", load)
    message = json.dumps({"type": "RequestReturn", "data": RETURN}).encode()
    record = ConsumerRecord(*COMMANDS, 99, BEGIN * 1000, 1, ORDER_ID.encode(), message, None, 0, 0, ())
    assert await worker.handle(Fetch(1, Member(1, "m"), {COMMANDS: Part(99, [record])})) is None


@pytest.mark.parametrize(("offsets", "says"), [((0, 7, 14, 21), 1), ((14, 21), 2), ((), 2)])
async def test_a_worker_that_searches_for_events_says_so_and_finds_them(
    archived: Desk, offsets: tuple[int, ...], says: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str | None] = []
    restoring = Restoring(SETTINGS, Restored(), said.append)
    monkeypatch.setattr(restoring, "_reader", lambda _: Reader(archived.log))
    order = Archived(1, segment(ORDER_ID), ArchivedEntry.of(offsets, 5, archived.entry.time))
    await restoring.load([order, order])
    assert restoring.restored.entry(*order).state.line("1").delivered == 2
    assert [what is None for what in said] == [False, True][-says:]


@pytest.mark.parametrize(
    ("error", "why"),
    [(TopicAuthorizationFailedError(EVENTS), f"Kafka does not authorize this service for the topic {EVENTS}: grant"),
     (KafkaConnectionError("gone"), "Kafka is unreachable: 127.0.0.1:9 does not answer")],
)  # fmt: skip
async def test_events_that_cannot_be_read_are_waited_for(
    archived: Desk, error: KafkaError, why: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    said: list[str | None] = []
    order, errors = Archived(1, segment(ORDER_ID), archived.entry), [error, error]
    monkeypatch.setattr("agents.restoring.PAUSE_SECONDS", 0)
    restoring = Restoring(SETTINGS.model_copy(update={"kafka": "127.0.0.1:9"}), Restored(), said.append)
    monkeypatch.setattr(restoring, "_reader", lambda _: Reader(archived.log, errors))
    await restoring.load([order], lambda: len(errors) > 0)
    assert order not in restoring.restored, "another worker restores it"
    assert all(f"archived orders cannot be restored: {why}" in str(reason) for reason in said[:-1])
    assert (len(said), said[-1]) == (3, None)
    assert f"archived orders cannot be restored: {why}" in caplog.text
    await restoring.load([order])
    assert order in restoring.restored


def test_events_that_are_missing_are_named() -> None:
    history = History(Archived(1, b"o-1", ArchivedEntry.of((), 3, "")))
    found = history.entry(32)
    assert isinstance(found, CorruptHistory)
    assert "lacks event 1 of the archived order o-1" in str(found)
