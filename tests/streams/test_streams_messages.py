"""The envelope: CloudEvents that others can read."""

import base64
import json
import uuid
from typing import Any

import pytest

from domain.inventory.commands import ReceiveStock
from domain.orders.events import OrderHeld
from parking.letter import DeadLetter
from streams.messages.envelope import CommandMessage, EventMessage, Outcome, derived_id, instant_of, new_id, type_of

TIME = "2026-11-23T10:00:00.000Z"


def command(**more: Any) -> CommandMessage:
    return CommandMessage("id", "boots", ReceiveStock(quantity=5), TIME, "web", "c", **more)


def outcome(**more: Any) -> Outcome:
    said = {"command_id": "cmd/1", "aggregate": "order", "aggregate_id": "o", "time": TIME} | more
    return Outcome(command_type="PlaceOrder", status="accepted", correlation_id="c", **said)


def letter(**more: Any) -> DeadLetter:
    fields: dict[str, Any] = {
        "kind": "invalid",
        "topic": "order-commands",
        "partition": 3,
        "offset": 12,
        "key": b"o",
        "value": b"{",
        "headers": (),
        "code": "INVALID_MESSAGE",
        "message": "not JSON",
        "time": TIME,
    }
    return DeadLetter(**(fields | more))


@pytest.mark.parametrize(
    "encoded",
    [
        command().encode(),
        EventMessage("e", "o", OrderHeld(reason="r"), 3, TIME, "order", "c", "d").encode(),
        outcome().encode(),
        outcome(code="X", message="m").encode(),
        letter().encode(),
    ],
)
def test_every_message_is_a_cloud_event(encoded: bytes) -> None:
    """https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md: attributes and their names."""
    message = json.loads(encoded)
    assert message["specversion"] == "1.0"
    for required in ("id", "source", "type"):
        assert isinstance(message[required], str)
        assert message[required]
    assert all(name.isalnum() and name.islower() and len(name) <= 20 for name in message)
    assert message["time"] == TIME
    assert isinstance(message["data"], dict)


def test_a_command_contains_the_known_attributes_and_no_others() -> None:
    assert json.loads(command().encode()) == {
        "specversion": "1.0",
        "id": "id",
        "type": "ReceiveStock",
        "source": "web",
        "subject": "boots",
        "time": TIME,
        "correlationid": "c",
        "data": {"quantity": 5},
    }
    more = json.loads(command(causation_id="b", expected_version=0).encode())
    assert (more["causationid"], more["expectedversion"]) == ("b", 0)


def test_an_event_has_a_sequence_and_a_version() -> None:
    message = json.loads(EventMessage("e", "o", OrderHeld(reason="r"), 3, TIME, "order", "c", "d").encode())
    assert (message["sequence"], message["schemaversion"], message["causationid"]) == (3, 1, "d")
    assert message["data"] == {"reason": "r"}


@pytest.mark.parametrize(
    "sent",
    [
        outcome(),
        outcome(version=3, events=({"id": "e", "type": "OrderPlaced", "sequence": 3},), result={"status": "PENDING"}),
        Outcome(
            "c/2", "Hold", "order", "o", "rejected", TIME, "c", 2, (), "ORDER_ON_HOLD", "no: é", {"reason": "é"}, True
        ),
        Outcome("c/3", "None", "inventory", "", "rejected", TIME, "c", code="X", message="m", details={}),
    ],
)
def test_an_outcome_is_read_as_it_was_written(sent: Outcome) -> None:
    assert Outcome.decode(sent.encode()) == sent


def test_a_repeated_answer_keeps_its_id_and_every_other_answer_has_another_one() -> None:
    first = json.loads(outcome(command_source="web").encode())
    again = json.loads(outcome(command_source="web", time="2030-01-01T00:00:00.000Z").encode())
    assert (first["id"], first["type"]) == (again["id"], "CommandAccepted")
    others = [
        {"command_source": "shop"}, {"command_source": "web", "aggregate_id": "another"},
        {"command_source": "web", "aggregate": "inventory"}, {"command_source": "web", "version": 9},
        {"command_source": "web", "code": "ALLOCATION_PENDING"}, {"command_id": "cmd", "command_source": "1/web"},
    ]  # fmt: skip
    ids = [outcome(**each).id for each in others]
    assert len({first["id"], *ids}) == 1 + len(others)


def test_a_dead_letter_keeps_text_as_text() -> None:
    data = json.loads(letter(key="é".encode(), value=b'{"a":1}').encode())["data"]
    assert (data["key"], data["value"]) == ("é", '{"a":1}')
    assert (data["topic"], data["partition"], data["offset"]) == ("order-commands", 3, 12)
    assert "traceback" not in data


def test_a_dead_letter_keeps_every_byte() -> None:
    every = bytes(range(256))
    data = json.loads(letter(key=b"\xff", value=every, traceback="t").encode())["data"]
    assert base64.b64decode(data["keyBase64"]) == b"\xff"
    assert base64.b64decode(data["valueBase64"]) == every
    assert "key" not in data
    assert "value" not in data
    assert data["traceback"] == "t"


def test_a_dead_letter_distinguishes_no_value_from_an_empty_one() -> None:
    data = json.loads(letter(key=None, value=b"").encode())["data"]
    assert (data["key"], data["value"]) == (None, "")


def test_a_letter_keeps_every_header_of_a_name() -> None:
    sent = (("h", b"1"), ("h", b"\xff"), ("empty", b""), ("none", None))
    assert json.loads(letter(headers=sent).encode())["data"]["headers"] == [
        {"name": "h", "value": "1"},
        {"name": "h", "valueBase64": "/w=="},
        {"name": "empty", "value": ""},
        {"name": "none", "value": None},
    ]


def test_our_ids_are_version_7_and_derived_ones_version_5() -> None:
    assert uuid.UUID(new_id()).version == 7
    assert uuid.UUID(derived_id("a", 1)).version == 5
    assert derived_id("a", 1) == derived_id("a", 1) != derived_id("a", 2)


def test_times_are_utc_with_milliseconds() -> None:
    assert instant_of(0) == "1970-01-01T00:00:00.000Z"
    assert instant_of(1_763_000_000.1239) == "2025-11-13T02:13:20.123Z"


def test_the_type_of_an_event_is_read_without_decoding_it() -> None:
    event = EventMessage(derived_id("o", 1), "o", OrderHeld(reason="r"), 3, TIME, "order", "c", "d")
    assert type_of(event.encode()) == "OrderHeld"
    assert type_of(json.dumps(json.loads(event.encode())).encode()) is None, "from another producer"
    assert type_of(b"") is None
