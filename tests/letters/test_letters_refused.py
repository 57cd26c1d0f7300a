"""A command that Kafka refuses alone: it is parked if that is possible, and rejected otherwise."""

import json
from dataclasses import replace
from typing import Any

import pytest
from letters_desk import TOPIC, Broken, Desk, keys

from agents.deciding import Decided
from agents.refusing import Refusal, Resort
from streams.kafka.brokers import Refused
from streams.kafka.transactions import RefusedByKafka
from streams.kafka.wire import Code

BOOTS, OTHER = keys(2)
(ELSEWHERE,) = keys(1, partition=2)
SENT = {"type": "SetStock", "id": "c", "source": "shop", "correlationid": "flow", "data": {"quantity": 7}}


def kafka_refuses(code: Code = Code.MESSAGE_TOO_LARGE) -> RefusedByKafka:
    return RefusedByKafka(Refused(code, "inventory-events/1", "inventory-events"))


def refused(
    desk: Desk, resort: Resort, message: Any = SENT, key: str | None = BOOTS, code: Code = Code.MESSAGE_TOO_LARGE
) -> Decided:
    """Handle a command by a resort, because Kafka refused it alone."""
    return desk.decide([desk.record(key, message)], refusal=Refusal(resort, kafka_refuses(code)))


def letter(desk: Desk, decided: Decided) -> dict[str, Any]:
    (record,) = desk.messages("dead-letters", decided)
    return dict(record["data"])


def outcome(desk: Desk, decided: Decided) -> dict[str, Any]:
    (message,) = desk.messages("command-outcomes", decided)
    return message | message["data"]


@pytest.fixture
def desk() -> Desk:
    desk = Desk()
    desk.tell(("ReceiveStock", BOOTS, {"quantity": 5}))
    return desk


def test_it_is_first_handled_as_usual(desk: Desk) -> None:
    decided = refused(desk, Resort.SINGLY)
    assert desk.events(BOOTS) == [(1, "StockReceived"), (2, "StockAdjusted")]
    assert decided.commands == {("SetStock", "accepted"): 1}


def test_then_it_is_parked_with_the_reason_and_handled_by_a_retry(desk: Desk) -> None:
    decided = refused(desk, Resort.ASIDE)
    assert desk.events(BOOTS) == [(1, "StockReceived")]
    assert desk.messages("command-outcomes", decided) == []
    parked = letter(desk, decided)
    assert (parked["kind"], parked["code"], parked["attempts"]) == ("parked", "PROCESSING_FAILED", 1)
    assert (parked["commandId"], parked["commandType"], parked["aggregateId"]) == ("c", "SetStock", BOOTS)
    assert parked["message"].startswith("RefusedByKafka: MESSAGE_TOO_LARGE: inventory-events/1")
    assert json.loads(parked["value"]) == SENT
    assert decided.commands == {("SetStock", "parked"): 1}
    assert decided.letters == {(TOPIC, "parked"): 1}
    desk.tell(("RetryLetters", BOOTS, {}))
    assert desk.events(BOOTS)[1:] == [(2, "StockAdjusted")]


def test_a_refused_command_is_parked_once_however_often_it_is_sent(desk: Desk) -> None:
    refused(desk, Resort.ASIDE)
    assert refused(desk, Resort.ASIDE).commands == {("SetStock", "parked"): 1}
    assert desk.letters(BOOTS) == ["c"]


@pytest.mark.parametrize(
    ("why", "code"),
    [
        (Code.MESSAGE_TOO_LARGE, "MESSAGE_TOO_LARGE"),
        (Code.RECORD_LIST_TOO_LARGE, "MESSAGE_TOO_LARGE"),
        (Code.INVALID_RECORD, "REFUSED_BY_KAFKA"),
    ],
)
def test_finally_it_is_rejected_and_its_letter_says_where_it_is(desk: Desk, why: Code, code: str) -> None:
    decided = refused(desk, Resort.REJECTED, code=why)
    said = outcome(desk, decided)
    assert (said["type"], said["code"], said["aggregateId"]) == ("CommandRejected", code, BOOTS)
    identity = (said["commandId"], said["commandType"], said["commandSource"], said["correlationid"])
    assert identity == ("c", "SetStock", "shop", "flow")
    assert said["message"].startswith(f"Kafka refuses the results of this command: {why.name}: inventory-events/1")
    invalid = letter(desk, decided)
    assert (invalid["kind"], invalid["code"], invalid["commandId"]) == ("invalid", code, "c")
    assert invalid["commandType"] == "SetStock"
    assert (invalid["key"], invalid["value"], invalid["headers"]) == (None, None, [])
    place = f"the message of {len(json.dumps(SENT))} bytes is only at {TOPIC}/1@{desk.offset}"
    assert invalid["message"] == f"{said['message']}; {place}"
    assert decided.commands == {("SetStock", code): 1}
    assert desk.parked == 0
    assert desk.events(BOOTS) == [(1, "StockReceived")]


def test_a_refused_command_of_another_partition_is_rejected_because_it_cannot_be_parked_here(desk: Desk) -> None:
    decided = refused(desk, Resort.ASIDE, key=ELSEWHERE)
    assert outcome(desk, decided)["code"] == "MESSAGE_TOO_LARGE"
    assert desk.parked == 0


def test_a_refused_retry_handles_one_letter_at_a_time(desk: Desk) -> None:
    with Broken("SetStock"):
        desk.tell(("SetStock", BOOTS, {"quantity": 1}), id="a")
        desk.tell(("SetStock", BOOTS, {"quantity": 2}), id="b")
    retry = {"type": "RetryLetters", "id": "retry", "data": {}}
    decided = refused(desk, Resort.ASIDE, retry)
    assert desk.letters(BOOTS) == ["b"]
    (write,) = (each for each in decided.writes if each.topic == TOPIC)
    (rest,) = desk.messages(TOPIC, decided)
    assert write.partition == 1
    assert (rest["type"], rest["data"], rest["id"]) == ("RetryLetters", {"handled": 1}, "retry")
    assert decided.commands == {("RetryLetters", "accepted"): 1}


def test_a_letter_whose_retry_is_finally_refused_has_failed_again(desk: Desk) -> None:
    with Broken("SetStock"):
        desk.tell(("SetStock", BOOTS, {"quantity": 1}), id="a")
    decided = refused(desk, Resort.REJECTED, {"type": "RetryLetters", "id": "retry", "data": {"handled": 3}})
    said = outcome(desk, decided)["result"]
    assert (said["retried"], said["left"]) == (3, 1)
    assert (said["failed"]["commandId"], said["failed"]["code"]) == ("a", "PROCESSING_FAILED")
    again = letter(desk, decided)
    assert (again["kind"], again["commandId"], again["attempts"]) == ("parked", "a", 2)
    assert "MESSAGE_TOO_LARGE" in again["message"]
    assert desk.letters(BOOTS) == ["a"]


@pytest.mark.parametrize(("resort", "whole"), [(Resort.SINGLY, True), (Resort.ASIDE, False), (Resort.REJECTED, False)])
def test_an_invalid_message_whose_letter_is_refused_is_not_quoted(desk: Desk, resort: Resort, whole: bool) -> None:
    decided = refused(desk, resort, {"type": "Nonsense", "id": "c", "data": {}})
    assert outcome(desk, decided)["code"] == "UNKNOWN_TYPE"
    invalid = letter(desk, decided)
    assert (invalid["value"] is not None, invalid["key"] is not None, invalid["headers"] != []) == (whole,) * 3
    assert ("bytes is only at" in invalid["message"]) is not whole
    assert decided.commands == {("unread", "UNKNOWN_TYPE"): 1}


def test_the_details_of_an_invalid_message_are_not_repeated_once_kafka_refuses_them(desk: Desk) -> None:
    """They quote the message, and so may be what is too large."""
    wrong = {"type": "SetStock", "id": "c", "data": {"quantity": -1}}
    assert outcome(desk, refused(desk, Resort.SINGLY, wrong))["details"]
    said = outcome(desk, refused(desk, Resort.ASIDE, wrong))
    assert (said["details"], said["commandId"], said["commandType"]) == ({}, "c", "SetStock")


# --- a command that cannot be read because of a bug


def breaks(*_: Any) -> Any:
    raise OverflowError("date value out of range")


@pytest.fixture
def broken_reading(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.deciding.decode_command", breaks)


@pytest.mark.usefixtures("broken_reading")
def test_a_command_that_a_bug_keeps_from_being_read_is_parked_as_unread(desk: Desk) -> None:
    decided = desk.decide([desk.record(BOOTS, SENT)])
    parked = letter(desk, decided)
    assert (parked["kind"], parked["commandType"], parked["aggregateId"]) == ("parked", "unread", BOOTS)
    assert parked["message"] == "OverflowError: date value out of range"
    assert "OverflowError" in parked["traceback"]
    assert decided.commands == {("unread", "parked"): 1}


@pytest.mark.usefixtures("broken_reading")
def test_an_unread_command_of_another_partition_is_forwarded_unchanged(desk: Desk) -> None:
    record = desk.record(ELSEWHERE, SENT)
    decided = desk.decide([record])
    (write,) = [each for each in decided.writes if each.topic == TOPIC]
    assert (write.partition, write.key, write.value) == (2, record.key, record.value)
    assert write.headers == list(record.headers)
    assert decided.commands == {("unread", "forwarded"): 1}
    assert desk.parked == 0


@pytest.mark.usefixtures("broken_reading")
@pytest.mark.parametrize(("key", "shown"), [(None, ""), (b"", ""), (b"\xff", "\ufffd")])
def test_an_unread_command_without_a_valid_key_is_refused(desk: Desk, key: bytes | None, shown: str) -> None:
    decided = desk.decide([replace(desk.record(None, SENT), key=key)])
    said = outcome(desk, decided)
    assert (said["code"], said["message"]) == ("PROCESSING_FAILED", "OverflowError: date value out of range")
    assert (said["aggregateId"], said["commandType"]) == (shown, "")
    assert letter(desk, decided)["kind"] == "invalid"
    assert desk.parked == 0
