"""Due timers are decided like commands: each acts once, in one transaction with its deletion."""

from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP
from prometheus_client import REGISTRY
from test_agents_deciding import BOOTS, Desk, key_on, messages, placing

from agents.answering import Answering
from agents.deciding import Decided
from agents.metrics import update
from agents.orders import ORDER
from parking.queue import parked
from streams.kafka.transport import Fetch, Member, Part
from streams.keys import segment
from streams.messages.envelope import instant_of
from tables.store import Changes, Entries
from tables.timers import TIMER, timer_key

NOW = 1_800_000_000.25  # Unix seconds, by the worker's clock
SOON, PAST = instant_of(NOW + 60), instant_of(NOW - 60)
ORDERS = [key_on(1, f"order {number}") for number in range(8)]  # ids that are encoded in keys


@pytest.fixture
def desk() -> Desk:
    desk = Desk(ORDER)
    tell_time(desk, NOW)
    return desk


def tell_time(desk: Desk, now: float) -> None:
    desk.deciding.parking.now = desk.deciding.answering.now = lambda: now


def place(desk: Desk, ship_by: str | None, order: str = ORDERS[0], **more: Any) -> Decided:
    sent = placing(order, BOOTS)
    sent["data"] |= {"shipBy": ship_by, **more}
    return desk.decide(desk.record(sent, key=order))


def fire(desk: Desk, limit: int = 9, merge: bool = True) -> Decided:
    tp = TP(desk.commands, 1)
    decided = desk.deciding.fire(Fetch(1, Member(1, "m"), {tp: Part(desk.offsets[1], ())}, timers=True), limit)
    if merge:
        decided.merge()
    return decided


def timers(desk: Desk) -> list[bytes]:
    return desk.table.data.partitions[1].rows.keys(b"/due/")


def test_an_order_with_a_time_has_a_timer_in_the_transaction_that_places_it(desk: Desk) -> None:
    decided = place(desk, SOON)
    key = timer_key(SOON, segment(ORDERS[0]))
    assert (key, b"{}") in [(write.key, write.value) for write in decided.writes]
    assert timers(desk) == [key]
    place(desk, None, ORDERS[1])
    assert timers(desk) == [key]


def test_a_timer_acts_once_when_it_is_due(desk: Desk) -> None:
    place(desk, SOON)
    assert fire(desk).writes == []
    tell_time(desk, NOW + 60)
    decided = fire(desk)
    (event,) = messages(decided, "order-events")
    assert (event["type"], event["subject"], event["sequence"]) == ("OrderLate", ORDERS[0], 2)
    assert (event["data"], event["time"]) == ({"shipBy": SOON}, SOON)
    assert "principal" not in event
    assert messages(decided, "command-outcomes") == []
    assert decided.offsets == {TP(desk.commands, 1): 1}  # committed again, which fences the transaction
    assert timers(desk) == []
    assert fire(desk).writes == []
    assert desk.entry(ORDERS[0]).state.late


def test_a_timer_is_due_again_if_its_transaction_was_not_committed(desk: Desk) -> None:
    place(desk, PAST)
    first = fire(desk, merge=False)
    again = fire(desk)
    assert [(write.topic, write.key, write.value) for write in again.writes] == [
        (write.topic, write.key, write.value) for write in first.writes
    ]


def test_restored_timers_are_due(desk: Desk) -> None:
    place(desk, PAST)
    rows = desk.table.data.partitions[1].rows
    desk.table.data.replace({1: Entries(desk.table.codec, rows)})
    assert [event["type"] for event in messages(fire(desk), "order-events")] == ["OrderLate"]


def test_a_transaction_has_a_limit_and_the_earliest_timers(desk: Desk) -> None:
    for number, order in enumerate(ORDERS):
        place(desk, instant_of(NOW - 10 - number), order)
    handled = [[event["subject"] for event in messages(fire(desk, 3), "order-events")] for _ in range(4)]
    assert handled == [ORDERS[7:4:-1], ORDERS[4:1:-1], ORDERS[1::-1], []]


def test_the_limit_is_that_of_all_partitions_together(desk: Desk) -> None:
    others = [key_on(0, f"order {number}") for number in range(4)]
    for order in others:
        sent = placing(order, BOOTS)
        sent["data"]["shipBy"] = PAST
        desk.decide(desk.record(sent, key=order, partition=0))
    for order in ORDERS[:4]:
        place(desk, PAST, order)
    handled = []
    for limit in (1, 1, 3, 9):
        parts = {TP(desk.commands, number): Part(desk.offsets[number], ()) for number in (0, 1)}
        decided = desk.deciding.fire(Fetch(1, Member(1, "m"), parts, timers=True), limit)
        decided.merge()
        assert decided.handled == parts
        handled.append(len(decided.fired))
    assert handled == [1, 1, 3, 3]


def test_a_cancellation_by_time_releases_the_stock(desk: Desk) -> None:
    place(desk, PAST, whenLate="CANCEL")
    decided = fire(desk)
    assert [event["type"] for event in messages(decided, "order-events")] == ["OrderLate", "OrderCancelled"]
    (caused,) = messages(decided, "inventory-commands")
    assert (caused["type"], caused["subject"], caused["data"]["keep"]) == ("ReleaseStock", BOOTS, 0)


def test_the_timer_ends_with_its_reason(desk: Desk) -> None:
    place(desk, SOON)
    desk.tell("CancelOrder", key=ORDERS[0])
    assert timers(desk) == []


def test_timers_that_belong_to_nothing_are_deleted(desk: Desk) -> None:
    place(desk, SOON)
    left = [timer_key(PAST, segment("unknown")), timer_key(PAST, segment(ORDERS[0]))]
    changes: Changes[Any] = desk.table.data.changes(1)
    for key in left:
        changes.put(key, TIMER)
    changes.encode()
    changes.merge()
    decided = fire(desk)
    assert len(decided.fired) == 2
    assert messages(decided, "order-events") == []
    assert timers(desk) == [timer_key(SOON, segment(ORDERS[0]))]


def test_a_bug_postpones_its_timer_and_no_other(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    for order in ORDERS[:3]:
        place(desk, PAST, order)
    fine = Answering.fire

    def broken(self: Answering, timer: bytes, *rest: Any) -> Any:
        effects = fine(self, timer, *rest)
        if timer.endswith(segment(ORDERS[1])):
            raise RuntimeError("a bug")
        return effects

    monkeypatch.setattr(Answering, "fire", broken)
    decided = fire(desk)
    assert {event["subject"] for event in messages(decided, "order-events")} == {ORDERS[0], ORDERS[2]}
    assert timers(desk) == [timer_key(PAST, segment(ORDERS[1]))]
    assert [each.key for each in decided.failed] == timers(desk)
    monkeypatch.undo()
    assert [event["subject"] for event in messages(fire(desk), "order-events")] == [ORDERS[1]]


def test_a_deadline_that_cannot_be_handled_is_overdue_until_it_is(desk: Desk) -> None:
    consumer = SimpleNamespace(prepared=True, progress=SimpleNamespace(handled={}, stopped={}))
    app: Any = SimpleNamespace(consumer=consumer, tables={"orders": desk.table})
    place(desk, "2026-01-01T00:00:00.000Z")
    (key,) = timers(desk)
    desk.table.data.partitions[1].timers.postpone(key, 60)
    update(app, True, {})
    assert (REGISTRY.get_sample_value("fulfillment_timers_overdue_seconds") or 0) > 60
    desk.table.data.partitions[1].timers.postpone(key, 0)
    fire(desk)
    update(app, True, {})
    assert REGISTRY.get_sample_value("fulfillment_timers_overdue_seconds") == 0


def test_a_timer_does_not_wait_for_parked_commands(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    place(desk, PAST)
    with monkeypatch.context() as patched:
        patched.setattr(Answering, "answer", lambda *_: 1 / 0)
        desk.decide(desk.record({"type": "Hold", "data": {}}, key=ORDERS[0]))
    assert parked(desk.table.data.changes(1)) == 1
    assert [event["type"] for event in messages(fire(desk), "order-events")] == ["OrderLate"]


def test_a_reservation_that_expires_serves_the_next_in_line() -> None:
    desk = Desk()
    tell_time(desk, NOW)
    desk.tell("ReceiveStock", {"quantity": 3})
    desk.tell("ReserveStock", {"orderId": "a/1", "quantity": 3, "expiresAt": SOON})
    desk.tell("ReserveStock", {"orderId": "b", "lineId": "1", "quantity": 2})
    key = timer_key(SOON, b"%b/a%%2F1/manual" % segment(BOOTS))
    assert timers(desk) == [key]
    tell_time(desk, NOW + 61)
    decided = fire(desk)
    released, reserved = messages(decided, "inventory-events")
    assert (released["type"], released["data"]["quantity"], released["data"]["expiredAt"]) == ("StockReleased", 3, SOON)
    assert (reserved["type"], reserved["data"]["orderId"], reserved["data"]["quantity"]) == ("StockReserved", "b", 2)
    assert messages(decided, "order-commands")[0]["data"]["reserved"] == 2
    assert timers(desk) == []
    assert fire(desk).fired == []


def test_the_time_of_a_reservation_moves_its_timer_and_its_end_deletes_it() -> None:
    desk = Desk()
    tell_time(desk, NOW)
    desk.tell("ReceiveStock", {"quantity": 9})
    later = instant_of(NOW + 120)
    for at in (SOON, later, None):
        desk.tell("ReserveStock", {"orderId": "a", "quantity": 1, "expiresAt": at})
    assert timers(desk) == [timer_key(later, b"%b/a/manual" % segment(BOOTS))]
    desk.tell("ReleaseStock", {"orderId": "a", "keep": 0})
    assert timers(desk) == []
    desk.tell("ReserveStock", {"orderId": "a", "quantity": 1})
    assert timers(desk) == []


def test_times_never_run_backwards_although_the_clock_does(desk: Desk) -> None:
    (placed,) = messages(place(desk, "2020-01-01"), "order-events")
    tell_time(desk, 1_700_000_000)  # before Kafka received the order
    (event,) = messages(fire(desk), "order-events")
    assert event["time"] == placed["time"]
