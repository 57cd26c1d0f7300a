"""Parking, retrying and discarding as decisions: in order, once, up to the limit, without loss."""

import json
from dataclasses import replace
from typing import Any

import pytest
from letters_desk import TOPIC, Broken, Desk, keys
from msgspec.structs import replace as replace_struct
from prometheus_client import REGISTRY

from parking.book import Letterbook
from parking.letter import DeadLetter
from parking.queue import Letter, Letters, kind, parked_bytes
from streams.kafka.transactions import ANY_PARTITION
from streams.keys import segment
from streams.messages.envelope import CONTENT_TYPE
from streams.runtime.settings import Settings

BOOTS, OTHER, THIRD = keys(3)


def receive(key: str = BOOTS) -> tuple[str, str, dict[str, Any]]:
    return "ReceiveStock", key, {"quantity": 5}


def set_stock(quantity: int, key: str = BOOTS) -> tuple[str, str, dict[str, Any]]:
    return "SetStock", key, {"quantity": quantity}


def outcome(desk: Desk, command_id: str) -> dict[str, Any]:
    (found,) = (o["data"] for o in desk.messages("command-outcomes") if o["data"]["commandId"] == command_id)
    return dict(found)


def kinds(desk: Desk) -> list[tuple[str, str]]:
    return [(m["data"]["kind"], m["data"]["commandId"]) for m in desk.messages("dead-letters")]


@pytest.fixture
def desk() -> Desk:
    """Three commands of one product are parked, because the first failed."""
    desk = Desk()
    desk.tell(receive())
    with Broken("SetStock"):
        desk.tell(set_stock(1), id="a")
        desk.tell(receive(), receive(OTHER), id="b")
        desk.tell(set_stock(3), id="c")
    return desk


def test_later_commands_of_the_product_wait_and_other_products_continue(desk: Desk) -> None:
    assert desk.letters(BOOTS) == ["a", "b", "c"]
    assert desk.parked == 3
    assert desk.events(OTHER) == [(1, "StockReceived")]
    assert desk.events(BOOTS) == [(1, "StockReceived")]
    assert kinds(desk) == [("parked", "a"), ("parked", "b"), ("parked", "c")]
    first, *behind = (message["data"] for message in desk.messages("dead-letters"))
    assert (first["code"], first["attempts"]) == ("PROCESSING_FAILED", 1)
    for letter in behind:  # they were not tried
        assert (letter["code"], letter["message"]) == ("PARKED_BEHIND", "it waits behind a command that failed")
        assert "attempts" not in letter
    assert not [o for o in desk.messages("command-outcomes") if o["data"]["commandId"] in ("a", "c")]


def test_letters_and_commands_are_counted_after_the_commit() -> None:
    def counted() -> list[float]:
        letters = {"topic": TOPIC, "kind": "parked"}, "fulfillment_letters_total"
        commands = {"type": "SetStock", "outcome": "parked"}, "fulfillment_commands_total"
        return [REGISTRY.get_sample_value(name, labels) or 0.0 for labels, name in (letters, commands)]

    desk, before = Desk(), counted()
    with Broken("SetStock"):
        decided = desk.tell(set_stock(1), set_stock(2), merge=False)
    assert counted() == before
    decided.merge()
    assert counted() == [count + 2 for count in before]


def test_a_parked_command_without_a_key_is_told_under_its_product() -> None:
    desk = Desk()
    with Broken("SetStock"):
        decided = desk.decide([desk.record(None, {"type": "SetStock", "data": {"quantity": 1, "productId": BOOTS}})])
    (write,) = (each for each in decided.writes if each.topic == "dead-letters")
    assert (write.partition, write.key, write.headers) == (ANY_PARTITION, BOOTS.encode(), CONTENT_TYPE)
    first, second, *_ = json.loads(write.value)["data"]["traceback"].splitlines()
    assert first == "Traceback (most recent call last):"
    assert second.startswith("  File ")


def test_a_retry_handles_parked_commands_in_order(desk: Desk) -> None:
    desk.restart()
    decided = desk.tell(("RetryLetters", BOOTS, {}), id="retry", source="operator", time="2025-01-01T00:00:00.000Z")
    assert desk.events(BOOTS)[1:] == [(2, "StockAdjusted"), (3, "StockReceived"), (4, "StockAdjusted")]
    assert {write.partition for write in decided.writes if write.topic == "inventory-events"} == {1}
    assert decided.commands == {("RetryLetters", "accepted"): 1}
    said = outcome(desk, "retry")
    assert (said["result"], said["version"], said["commandSource"]) == ({"retried": 3, "left": 0}, 4, "operator")
    assert desk.messages("command-outcomes", decided)[-1]["producertime"] == "2025-01-01T00:00:00.000Z"
    assert outcome(desk, "c")["status"] == "accepted"
    assert kinds(desk)[3:] == [("retried", "a"), ("retried", "b"), ("retried", "c")]
    assert desk.parked == 0
    assert desk.entries.rows.keys(b"/parked") == []


def test_a_retry_stops_at_the_first_that_fails_again(desk: Desk) -> None:
    with Broken("ReceiveStock"):
        decided = desk.tell(("RetryLetters", BOOTS, {}), id="retry")
    why = {"commandId": "b", "code": "PROCESSING_FAILED", "message": "Injected: an injected fault: ReceiveStock"}
    assert outcome(desk, "retry")["result"] == {"retried": 1, "left": 2, "failed": why}
    assert decided.commands == {("RetryLetters", "accepted"): 1}
    assert desk.letters(BOOTS) == ["b", "c"]
    *_, again = (m for m in desk.messages("dead-letters") if m["data"]["commandId"] == "b")
    assert (again["data"]["kind"], again["data"]["attempts"], again["data"]["aggregateId"]) == ("parked", 1, BOOTS)
    assert "an injected fault: ReceiveStock" in again["data"]["traceback"]
    desk.tell(("RetryLetters", BOOTS, {}), id="again")
    assert outcome(desk, "again")["result"] == {"retried": 2, "left": 0}


def test_retrying_twice_changes_nothing(desk: Desk) -> None:
    desk.tell(("RetryLetters", BOOTS, {}), id="retry")
    before = list(desk.events(BOOTS))
    desk.tell(("RetryLetters", BOOTS, {}), id="again")
    assert outcome(desk, "again")["result"] == {"retried": 0, "left": 0}
    assert desk.events(BOOTS) == before


@pytest.mark.parametrize(
    ("name", "data"), [("RetryLetters", {}), ("DiscardLetter", {"commandId": "a", "reason": "wrong"})]
)
def test_a_command_about_letters_that_comes_too_late_changes_nothing(desk: Desk, name: str, data: Any) -> None:
    decided = desk.tell((name, BOOTS, data), id="late", validuntil="2020-01-01T00:00:00Z")
    said = outcome(desk, "late")
    assert (said["status"], said["code"]) == ("rejected", "COMMAND_EXPIRED")
    assert said["details"] == {"validUntil": "2020-01-01T00:00:00.000Z"}
    assert decided.commands == {(name, "COMMAND_EXPIRED"): 1}
    assert desk.letters(BOOTS) == ["a", "b", "c"]
    desk.tell((name, BOOTS, data), id="in-time", validuntil="9999-01-01T00:00:00Z")
    assert outcome(desk, "in-time")["status"] == "accepted"


def test_a_parked_command_that_is_sent_again_is_parked_once(desk: Desk) -> None:
    desk.tell(set_stock(1), id="a")
    desk.tell(receive(), id="b")
    assert desk.letters(BOOTS) == ["a", "b", "c"]
    desk.tell(("RetryLetters", BOOTS, {}))
    desk.tell(set_stock(1), id="a")  # and answered as it was, later
    assert len(desk.events(BOOTS)) == 4


def test_the_sender_learns_of_a_discarded_command_and_the_rest_waits(desk: Desk) -> None:
    time = desk.entries.get(segment(BOOTS)).time
    decided = desk.tell(("DiscardLetter", BOOTS, {"commandId": "a", "reason": "sent by mistake"}), id="discard")
    assert decided.commands == {("DiscardLetter", "accepted"): 1}
    assert outcome(desk, "discard")["version"] == 1
    assert outcome(desk, "discard")["result"] == {"discarded": 1, "left": 2}
    said = outcome(desk, "a")
    assert (said["status"], said["code"], said["message"]) == ("rejected", "DISCARDED", "discarded: sent by mistake")
    assert (said["commandType"], said["commandSource"], said["version"]) == ("SetStock", "kafka", 1)
    assert desk.entries.get(segment(BOOTS)).time == time
    assert desk.letters(BOOTS) == ["b", "c"]
    (record,) = (m["data"] for m in desk.messages("dead-letters") if m["data"]["kind"] == "discarded")
    assert (record["reason"], record["commandId"]) == ("sent by mistake", "a")
    desk.tell(("RetryLetters", BOOTS, {}), id="retry")
    assert desk.events(BOOTS)[1:] == [(2, "StockReceived"), (3, "StockAdjusted")]
    again = desk.tell(set_stock(1), id="a")  # it is not handled after all
    assert desk.messages("command-outcomes", again)[0]["data"]["code"] == "DISCARDED"
    assert len(desk.events(BOOTS)) == 3


def test_commands_of_other_sources_and_contents_with_a_parked_id_are_parked_too(desk: Desk) -> None:
    """No command is lost because of its id: the first `a` of shop is decided, and another `a` is refused later."""
    for source, quantity in [("shop", 1), ("kafka", 9), ("shop", 1), ("kafka", 1)]:  # the last two are repeats
        desk.tell(set_stock(quantity), id="a", source=source)
    assert desk.letters(BOOTS) == ["a", "b", "c", "a", "a"]
    book = Letterbook()
    parked = desk.messages("dead-letters")
    for number, message in enumerate(parked):
        book.add(DeadLetter.decode(json.dumps(message).encode()), 0, number, 0)
    waiting = [entry.letter.command_id for entry in book.letters(("inventory", BOOTS))]
    assert waiting == ["a", "b", "c", "a", "a"]
    desk.restart()
    desk.tell(("DiscardLetter", BOOTS, {"commandId": "a", "reason": "the first"}), id="discard")
    assert desk.letters(BOOTS) == ["b", "c", "a", "a"]
    desk.tell(("RetryLetters", BOOTS, {}), id="retry")
    told = [o["data"] for o in desk.messages("command-outcomes") if o["data"]["commandId"] == "a"]
    assert [(each["commandSource"], each["status"], each.get("code")) for each in told] == [
        ("kafka", "rejected", "DISCARDED"),
        ("shop", "accepted", None),
        ("kafka", "rejected", "COMMAND_ID_REUSED"),
    ]
    assert desk.parked == 0
    assert desk.entries.rows.keys(b"/parked") == []
    for number, message in enumerate(desk.messages("dead-letters")[len(parked) :], len(parked)):
        book.add(DeadLetter.decode(json.dumps(message).encode()), 0, number, 0)
    assert (book.keys, book.of_command("a")) == ([], None)


def test_the_first_of_several_commands_with_one_id_is_discarded_first(desk: Desk) -> None:
    for source, quantity in [("shop", 7), ("web", 8)]:
        desk.tell(set_stock(quantity), id="a", source=source)
        desk.tell(("DiscardLetter", BOOTS, {"commandId": "a", "reason": "one of them"}))
    desk.tell(("RetryLetters", BOOTS, {}))
    told = [o["data"] for o in desk.messages("command-outcomes") if o["data"]["commandId"] == "a"]
    assert [(each["commandSource"], each.get("code")) for each in told] == [
        ("kafka", "DISCARDED"), ("shop", "DISCARDED"), ("web", None),
    ]  # fmt: skip


def test_a_command_to_an_unknown_product_is_discarded_without_creating_it() -> None:
    desk = Desk()
    with Broken("ReceiveStock"):
        desk.tell(receive(), id="a")
    desk.tell(("DiscardLetter", BOOTS, {"commandId": "a", "reason": "r"}), id="discard")
    assert (outcome(desk, "a")["version"], outcome(desk, "discard")["version"]) == (0, 0)
    assert desk.entries.get(segment(BOOTS)) is None


def breaks(*_: Any) -> Any:
    raise OverflowError("date value out of range")


def test_the_sender_of_a_command_that_cannot_be_read_learns_that_it_is_discarded(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("parking.retrying.decode_command", breaks)
    desk.tell(("DiscardLetter", BOOTS, {"commandId": "a", "reason": "r"}), source="operator")
    said = outcome(desk, "a")
    assert (said["code"], said["commandType"], said["commandSource"]) == ("DISCARDED", "SetStock", "kafka")


def test_letters_are_discarded_although_their_product_cannot_be_read(desk: Desk) -> None:
    desk.entries.rows.write({segment(BOOTS): b"{"}, None)
    desk.restart()
    desk.tell(("DiscardLetter", BOOTS, {"commandId": "a", "reason": "r"}), id="discard")
    assert (outcome(desk, "a")["code"], outcome(desk, "a")["version"]) == ("DISCARDED", 0)
    assert (outcome(desk, "discard")["result"], outcome(desk, "discard")["version"]) == ({"discarded": 1, "left": 2}, 0)


def test_a_change_of_a_letter_has_the_time_of_the_operators_command(desk: Desk) -> None:
    desk.written.clear()
    with Broken("SetStock"):
        for name, data in [("DiscardLetter", {"commandId": "a", "reason": "r"}), ("RetryLetters", {})]:
            desk.decide([replace(desk.record(BOOTS, {"type": name, "data": data}), timestamp=1_763_000_060_000)])
    told = [(message["data"]["kind"], message["data"]["commandId"]) for message in desk.messages("dead-letters")]
    assert told == [("discarded", "a"), ("retried", "b"), ("parked", "c")]
    assert {message["time"] for message in desk.messages("dead-letters")} == {"2025-11-13T02:14:20.000Z"}


def test_a_letter_that_an_older_release_parked_is_parked_once(desk: Desk) -> None:
    """It has neither the source nor the digest of its command, and perhaps not its type."""
    for key, raw in desk.entries.rows.items():
        if kind(key) is Letter:
            entry = json.loads(raw)
            del entry["source"], entry["digest"]
            entry["command_type"] = None
            desk.entries.rows.write({key: json.dumps(entry).encode()}, None)
    desk.restart()
    desk.tell(set_stock(1), id="a", source="shop")
    assert desk.letters(BOOTS) == ["a", "b", "c"]
    desk.tell(("DiscardLetter", BOOTS, {"commandId": "a", "reason": "r"}))
    assert outcome(desk, "a")["commandType"] == ""


def test_letters_with_one_id_that_an_older_release_parked_are_all_handled(desk: Desk) -> None:
    """Their places are told apart by their offsets."""
    changes = desk.table.data.changes(1)
    (a, *_), letters = Letters(changes, BOOTS), Letters(changes, THIRD)
    older = [replace_struct(a, source=None, digest=None, offset=offset) for offset in (1, 2, 3)]
    for each in older:
        letters.append(each, 0.0)
    for each in older:
        assert letters.first() == each
        letters.remove(each)
    assert letters.queue is None


def test_a_command_in_the_middle_can_be_discarded_and_repeating_it_changes_nothing(desk: Desk) -> None:
    for name in ("discard", "again"):
        desk.tell(("DiscardLetter", BOOTS, {"commandId": "b", "reason": "r"}), id=name)
    assert outcome(desk, "again")["result"] == {"discarded": 0, "left": 2}
    desk.tell(("RetryLetters", BOOTS, {}), id="retry")
    assert outcome(desk, "retry")["result"] == {"retried": 2, "left": 0}


def test_when_the_last_command_is_discarded_nothing_waits(desk: Desk) -> None:
    for command_id in "cab":
        desk.tell(("DiscardLetter", BOOTS, {"commandId": command_id, "reason": "r"}))
    assert desk.parked == 0
    desk.tell(receive())
    assert len(desk.events(BOOTS)) == 2


def test_the_outcome_of_a_retry_is_written_when_all_commands_are_handled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parking.retrying.AT_ONCE", 2)
    desk = Desk()
    with Broken("ReceiveStock"):
        for number in range(5):
            desk.tell(receive(), id=f"r-{number}")
    rest = [desk.tell(("RetryLetters", BOOTS, {}), id="retry", validuntil="9999-01-01T00:00:00Z")]
    desk.deciding.answering.now = lambda: 253_400_000_000.0  # the time has passed, and the retry continues
    while goes_on := [write for write in rest[-1].writes if write.topic == "inventory-commands"]:
        rest.append(desk.decide([desk.record(BOOTS, goes_on[0].value)]))
        assert (goes_on[0].partition, goes_on[0].key, goes_on[0].headers) == (1, BOOTS.encode(), CONTENT_TYPE)
    assert len(rest) == 3
    assert [decided.commands["RetryLetters", "accepted"] for decided in rest] == [1, 1, 1]
    assert outcome(desk, "retry")["result"] == {"retried": 5, "left": 0}
    assert [sequence for sequence, _ in desk.events(BOOTS)] == [1, 2, 3, 4, 5]


# --- the limit


def full() -> Desk:
    """A partition whose queue is full: two letters of one product, one of another."""
    desk = Desk(parked_limit=3)
    with Broken("SetStock"):
        desk.tell(set_stock(1), set_stock(2))
        desk.tell(set_stock(3, OTHER))
    assert desk.parked == 3
    return desk


def test_a_full_queue_stops_the_partition_and_drops_nothing() -> None:
    desk = full()
    with Broken("SetStock"):
        decided = desk.tell(receive(THIRD), set_stock(4), receive(THIRD))
    ((tp, stop),) = decided.stops.items()
    assert (tp.topic, tp.partition, stop.record.offset) == ("inventory-commands", 1, 5)
    assert "3 letters are parked" in str(stop.why)
    assert decided.offsets[tp] == 5  # the first of the three was handled
    assert decided.commands == {("ReceiveStock", "accepted"): 1}
    assert desk.events(THIRD) == [(1, "StockReceived")]
    assert desk.parked == 3


def test_a_full_queue_does_not_block_commands_that_are_not_parked() -> None:
    desk = full()
    assert not desk.tell(receive(THIRD), receive(THIRD)).stops


def test_fixed_code_empties_a_full_queue_and_continues_where_it_was_blocked() -> None:
    desk = full()
    with Broken("SetStock"):
        assert desk.tell(set_stock(4)).stops
    desk.restart()
    decided = desk.tell(set_stock(4))
    assert not decided.stops
    assert {write.partition for write in decided.writes if write.topic == "inventory-events"} == {1}
    assert desk.parked == 0
    assert [sequence for sequence, _ in desk.events(BOOTS)] == [1, 2, 3]
    assert len(desk.events(OTHER)) == 1


def test_only_commands_that_are_fixed_make_room() -> None:
    desk = full()
    desk.restart()
    with Broken("ReceiveStock"):
        decided = desk.tell(receive(THIRD), id="new")
    assert not decided.stops
    assert desk.events(BOOTS) == [(1, "StockAdjusted"), (2, "StockAdjusted")]
    assert {write.partition for write in decided.writes if write.topic == "inventory-events"} == {1}
    assert (desk.letters(THIRD), desk.parked) == (["new"], 1)


def test_no_letters_are_tried_to_make_room_while_there_is_room(desk: Desk) -> None:
    with Broken("ReceiveStock"):
        desk.tell(receive(THIRD), id="d")
    assert desk.letters(BOOTS) == ["a", "b", "c"]


def test_letters_handled_to_make_room_are_written_although_the_partition_stops() -> None:
    desk = Desk()
    with Broken("SetStock"):
        desk.tell(set_stock(1), receive())
    desk.settings = Settings(partitions=4, parked_limit=1)
    desk.restart()
    with Broken("ReceiveStock"):
        (stop,) = desk.tell(receive(THIRD)).stops.values()
    assert "1 letter is parked" in str(stop.why)
    assert ". Fix the bug and restart the worker" in str(stop.why)
    assert desk.events(BOOTS) == [(1, "StockAdjusted")]
    assert desk.parked == 1


@pytest.mark.parametrize(("letters", "size", "tried"), [(2, 9e9, False), (3, 9e9, True), (9, 0, False), (9, 1, True)])
def test_letters_are_tried_some_at_a_time_until_each_was_tried_once(
    letters: int, size: float, tried: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`size`: the number of bytes beyond the first two letters."""
    desk = full()
    first = sum(letter.size for letter in Letters(desk.table.data.changes(1), BOOTS))
    monkeypatch.setattr("parking.handling.RELIEF", letters)
    monkeypatch.setattr("parking.handling.AT_ONCE_BYTES", first + size)
    desk.restart()
    with Broken("ReceiveStock"):
        assert not desk.tell(receive(THIRD)).stops
        assert desk.letters(BOOTS) == []
        assert (desk.letters(OTHER) == []) is tried
    with Broken("SetStock", "ReceiveStock"):
        desk.tell(*[set_stock(number) for number in range(3 - desk.parked)])  # it is full again
    with Broken("ReceiveStock"):
        assert bool(desk.tell(receive(THIRD), receive(BOOTS)).stops) is tried, "each letter is tried once"
    assert desk.letters(OTHER) == []


def test_a_partition_is_full_when_it_has_as_many_bytes_as_it_may() -> None:
    for spare, stops in ((0, True), (1, False)):
        desk = Desk()
        with Broken("SetStock"):
            desk.tell(set_stock(1))
            desk.settings = Settings(partitions=4, parked_bytes=parked_bytes(desk.entries) + spare)
            desk.restart()
            assert bool(desk.tell(set_stock(2)).stops) is stops


# --- commands that cannot be decoded


def test_a_bug_in_reading_a_command_parks_it_under_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk()

    def breaks(*_: Any) -> Any:
        raise OverflowError("date value out of range")

    with monkeypatch.context() as patch:
        patch.setattr("streams.messages.codec.source_of", breaks)
        desk.tell(receive())
        desk.decide([desk.record(None, {"type": "ReceiveStock", "data": {"quantity": 1, "productId": OTHER}})])
    assert desk.parked == 1
    assert [m["data"]["kind"] for m in desk.messages("dead-letters")] == ["parked", "invalid"]
    desk.tell(receive(), id="behind")
    desk.tell(("RetryLetters", BOOTS, {}), id="retry")
    assert outcome(desk, "retry")["result"] == {"retried": 2, "left": 0}
    assert [sequence for sequence, _ in desk.events(BOOTS)] == [1, 2]


def test_every_record_about_a_letter_has_its_own_id(desk: Desk) -> None:
    for _ in range(2):
        with Broken("ReceiveStock"):
            desk.tell(("RetryLetters", BOOTS, {}), time=f"2026-11-23T10:00:00.{desk.offset:03}Z")
    ids = [m["id"] for m in desk.messages("dead-letters")]
    assert len(ids) == len(set(ids)) == 6


def test_headers_and_bytes_are_kept_unchanged(desk: Desk) -> None:
    for message in desk.messages("dead-letters"):
        assert message["data"]["headers"] == [{"name": "h", "valueBase64": "/w=="}, {"name": "n", "value": None}]
        assert '"quantity"' in message["data"]["value"]


DAY = 86_400.0
PARKED_AT = 1_763_000_000.0  # the time of every record of the desk


@pytest.mark.parametrize("days", [11, 40, -400])
def test_letters_are_written_again_before_the_topic_deletes_them(desk: Desk, days: int) -> None:
    now = PARKED_AT + days * DAY
    for at in (PARKED_AT + 10 * DAY, now, now + 10 * DAY, now + 11 * DAY):
        desk.written.clear()
        desk.restart()  # the time of the last write is kept
        desk.deciding.parking.now = lambda at=at: at
        desk.tell(receive(OTHER))
        due = at in (now, now + 11 * DAY)
        assert kinds(desk) == ([("parked", "a"), ("parked", "b"), ("parked", "c")] if due else [])
    book = Letterbook()
    for offset, message in enumerate(desk.messages("dead-letters")):
        book.add(DeadLetter.decode(json.dumps(message).encode()), 1, offset, 0)
    assert [each.letter.command_id for each in book.letters(("inventory", BOOTS))] == ["a", "b", "c"]
    assert book.summary(("inventory", BOOTS))["commandId"] == "a"
    desk.tell(("RetryLetters", BOOTS, {}), id="retry")
    assert outcome(desk, "retry")["result"] == {"retried": 3, "left": 0}


def test_a_letter_that_waits_since_recently_is_not_written_again_with_others(desk: Desk) -> None:
    desk.deciding.parking.now = lambda: PARKED_AT + 5 * DAY
    with Broken("SetStock"):
        desk.tell(set_stock(1, THIRD), id="d")
    desk.written.clear()
    desk.deciding.parking.now = lambda: PARKED_AT + 11 * DAY
    desk.tell(receive(OTHER))
    assert kinds(desk) == [("parked", "a"), ("parked", "b"), ("parked", "c")]


def test_many_letters_are_told_again_some_at_a_time(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parking.telling.REMINDED", 1)
    with Broken("SetStock"):
        desk.tell(set_stock(1, THIRD), id="d")
    desk.deciding.parking.now = lambda: PARKED_AT + 11 * DAY
    desk.written.clear()
    told = []
    for _ in range(3):
        desk.tell(receive(OTHER))
        told.append(len(kinds(desk)))
    assert sorted({told[0], told[1] - told[0]}) == [1, 3]
    assert told[2] == 4


def test_a_book_that_has_lost_old_letters_keeps_the_order(desk: Desk) -> None:
    letters = [DeadLetter.decode(json.dumps(message).encode()) for message in desk.messages("dead-letters")]
    book = Letterbook()
    for offset, letter in enumerate((*letters[1:], *letters)):
        book.add(letter, 1, offset, 0)
    assert [each.letter.command_id for each in book.letters(("inventory", BOOTS))] == ["a", "b", "c"]


def padded(key: str, command_id: str, size: int = 400_000) -> bytes:
    """Return a command that is valid, and large."""
    envelope = {"type": "SetStock", "id": command_id, "subject": key, "data": {"quantity": 7}}
    return json.dumps(envelope).encode() + b" " * size


def test_a_partition_parks_up_to_a_number_of_bytes_and_then_stops() -> None:
    desk = Desk(parked_bytes=1_000_000)
    desk.tell(receive(), receive(OTHER))
    with Broken("SetStock"):
        decided = desk.decide([desk.record(BOOTS, padded(BOOTS, f"large-{n}")) for n in range(5)])
        assert desk.letters(BOOTS) == ["large-0", "large-1", "large-2"]
        ((tp, stop),) = decided.stops.items()
        assert "letters of 1,200,2" in str(stop.why)
        assert "FULFILLMENT_PARKED_BYTES" in str(stop.why)
        assert [record.offset for record in decided.handled[tp].records] == [3, 4, 5]
        assert desk.tell(receive(OTHER)).stops == {}  # a command that need not be parked is handled
        desk.restart()
        assert list(desk.decide([desk.record(BOOTS, padded(BOOTS, "large-3"))], merge=False).stops) == [tp]
    desk.restart()  # with the bug fixed
    assert desk.decide([desk.record(BOOTS, padded(BOOTS, "large-3"))]).stops == {}
    assert [name for _, name in desk.events(BOOTS)] == ["StockReceived", "StockAdjusted"]
    assert parked_bytes(desk.entries) == desk.parked == 0


def test_the_bytes_of_the_parked_commands_are_counted(desk: Desk) -> None:
    def size() -> int:
        return sum(letter.size for letter in Letters(desk.table.data.changes(1), BOOTS))

    whole = size()
    numbered = [key for key in desk.entries.rows.keys(b"/") if kind(key) is Letter]
    assert numbered == [b"/parked/%b/%d" % (segment(BOOTS), number) for number in range(3)]
    assert parked_bytes(desk.entries) == whole > 0
    desk.tell(("DiscardLetter", BOOTS, {"commandId": "a", "reason": "r"}))
    assert parked_bytes(desk.entries) == size() < whole


@pytest.mark.parametrize(("limit", "left"), [(2 * 400_000, ["large-2"]), (2 * 400_000 + 1, [])])
def test_a_transaction_retries_letters_up_to_a_number_of_bytes(
    limit: int, left: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk()
    with Broken("SetStock"):
        desk.decide([desk.record(BOOTS, padded(BOOTS, f"large-{n}")) for n in range(3)])
    (first, *_) = Letters(desk.table.data.changes(1), BOOTS)
    monkeypatch.setattr("parking.retrying.AT_ONCE_BYTES", limit + 2 * (first.size - 400_000))
    desk.tell(("RetryLetters", BOOTS, {}))
    assert desk.letters(BOOTS) == left


def test_large_letters_are_retried_in_several_transactions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parking.retrying.AT_ONCE_BYTES", 1_000_000)
    desk = Desk()
    with Broken("SetStock"):
        desk.decide([desk.record(BOOTS, padded(BOOTS, f"large-{n}")) for n in range(5)])
    decided = desk.tell(("RetryLetters", BOOTS, {}), id="retry")
    assert desk.letters(BOOTS) == ["large-3", "large-4"]
    (rest,) = desk.messages(TOPIC, decided)
    assert (rest["type"], rest["data"]) == ("RetryLetters", {"handled": 3})
    desk.decide([desk.record(BOOTS, rest)])
    assert outcome(desk, "retry")["result"] == {"retried": 5, "left": 0}


def test_letters_that_an_older_release_parked_are_not_counted_in_bytes(desk: Desk) -> None:
    assert parked_bytes(desk.entries) > 0
    desk.entries.rows.write({b"/parked": b'{"letters":3,"said":1763000000.0}'}, None)
    desk.restart()
    assert parked_bytes(desk.entries) == 0
    desk.tell(("DiscardLetter", BOOTS, {"commandId": "b", "reason": "r"}))
    assert (desk.parked, parked_bytes(desk.entries)) == (2, 0)
    desk.tell(("RetryLetters", BOOTS, {}), id="retry")
    assert outcome(desk, "retry")["result"] == {"retried": 2, "left": 0}
    assert b"/parked" not in desk.entries.rows


def test_a_parked_command_in_binary_mode_is_retried_unchanged() -> None:
    desk = Desk()
    desk.tell(receive())
    headers = (("content-type", b"application/json"), ("ce_type", b"SetStock"), ("ce_id", b"binary"),
               ("ce_correlationid", b"flow"), ("ce_expectedversion", b"1"))  # fmt: skip
    with Broken("SetStock"):
        desk.decide([replace(desk.record(BOOTS, {"quantity": 9}), headers=headers)])
        desk.tell(("RetryLetters", BOOTS, {}), id="in-vain")
    *_, again = desk.messages("dead-letters")
    assert DeadLetter.decode(json.dumps(again).encode()).headers == headers
    assert (again["data"]["commandType"], again["data"]["value"]) == ("SetStock", '{"quantity": 9}')
    desk.restart()
    desk.tell(("RetryLetters", BOOTS, {}), id="retry")
    (event,) = (each for each in desk.messages("inventory-events") if each["causationid"] == "binary")
    assert (event["type"], event["correlationid"], event["sequence"]) == ("StockAdjusted", "flow", 2)


def test_a_command_of_the_binary_mode_is_forwarded_whole() -> None:
    desk, (elsewhere,) = Desk(), keys(1, partition=2)
    headers = (("ce_type", b"SetStock"), ("ce_id", b"binary"), ("ce_expectedversion", b"0"))
    decided = desk.decide([replace(desk.record(elsewhere, {"quantity": 9}), headers=headers)])
    (moved,) = (write for write in decided.writes if write.topic == TOPIC)
    sent = json.loads(moved.value or b"")
    assert (moved.partition, sent["id"], sent["expectedversion"], sent["data"]) == (2, "binary", 0, {"quantity": 9})


def test_letters_name_the_operator_who_retried_or_discarded_them(desk: Desk) -> None:
    desk.tell(("DiscardLetter", BOOTS, {"commandId": "a", "reason": "r"}), principal="admin")
    desk.restart()
    desk.tell(("RetryLetters", BOOTS, {}), principal="oidc:ann")
    found = [(each["data"]["kind"], each["data"].get("principal")) for each in desk.messages("dead-letters")]
    assert [each for each in found if each[0] != "parked"] == [
        ("discarded", "admin"), ("retried", "oidc:ann"), ("retried", "oidc:ann")
    ]  # fmt: skip
    assert {each[1] for each in found if each[0] == "parked"} == {None}
