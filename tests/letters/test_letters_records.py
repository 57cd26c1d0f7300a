"""The record of a dead letter: what it contains, and that it is read as it was written."""

import json
from typing import Any

import pytest
from msgspec.structs import replace

from parking.letter import KINDS, DeadLetter, letter_in, skip_key
from parking.queue import Letter, decoded, encoded
from streams.messages.envelope import derived_id

NAME = b"M\xfcnchen".decode("utf-8", "surrogateescape")
SHORT = DeadLetter(
    kind="invalid",
    topic="order-commands",
    partition=3,
    offset=17,
    key=None,
    value=None,
    headers=(),
    code="UNKNOWN_TYPE",
    message="no such type",
    time="2026-11-23T10:00:00.000Z",
)
LONG = replace(
    SHORT,
    kind="parked",
    key=b"o-1",
    value=b"\xff{}",
    headers=((NAME, b"\xff"), ("n", None), ("t", b"text")),
    traceback="Traceback",
    aggregate="order",
    aggregate_id="o-1",
    command_id="c-1",
    command_type="Hold",
    attempts=2,
    reason="sent by mistake",
    role="projector",
)


def test_a_short_letter_has_only_what_is_known() -> None:
    record = json.loads(SHORT.encode())
    assert record == {
        "specversion": "1.0",
        "id": derived_id("order-commands", 3, 17, "dead-letter"),
        "type": "DeadLetter",
        "source": "order-commands",
        "time": "2026-11-23T10:00:00.000Z",
        "data": {
            "kind": "invalid",
            "topic": "order-commands",
            "partition": 3,
            "offset": 17,
            "code": "UNKNOWN_TYPE",
            "message": "no such type",
            "key": None,
            "value": None,
            "headers": [],
        },
    }


def test_bytes_that_are_not_text_are_written_in_base64() -> None:
    assert json.loads(LONG.encode())["data"] == {
        "kind": "parked",
        "topic": "order-commands",
        "partition": 3,
        "offset": 17,
        "code": "UNKNOWN_TYPE",
        "message": "no such type",
        "key": "o-1",
        "valueBase64": "/3t9",
        "headers": [
            {"name": "M\ufffdnchen", "nameBase64": "TfxuY2hlbg==", "valueBase64": "/w=="},
            {"name": "n", "value": None},
            {"name": "t", "value": "text"},
        ],
        "traceback": "Traceback",
        "aggregate": "order",
        "aggregateId": "o-1",
        "commandId": "c-1",
        "commandType": "Hold",
        "attempts": 2,
        "reason": "sent by mistake",
        "role": "projector",
    }


@pytest.mark.parametrize("letter", [SHORT, LONG, replace(SHORT, key=b"", value=b"")])
def test_a_letter_is_read_as_it_was_written(letter: DeadLetter) -> None:
    assert letter_in(letter.encode()) == letter
    assert repr(letter_in(letter.encode())) == repr(letter)


def test_each_record_about_a_message_has_an_id_of_its_own() -> None:
    """The first one has the id that it has always had."""
    changes = [replace(SHORT, kind=kind, attempts=attempts) for kind in KINDS for attempts in (0, 1, 2)]
    later = replace(LONG, kind="retried", attempts=0, time="2026-11-23T10:00:01.000Z")
    ids = [json.loads(each.encode())["id"] for each in (*changes, later)]
    first = derived_id("order-commands", 3, 17, "dead-letter")
    assert [number for number, each in enumerate(ids) if each == first] == [0, 3], "parked and invalid, untried"
    assert len(set(ids)) == len(ids) - 1


@pytest.mark.parametrize("value", [None, b"", b"{", b"[]", b"{}", b'{"data":{}}', b'"letter"'])
def test_a_record_without_a_letter_is_not_one(value: bytes | None) -> None:
    assert letter_in(value) is None


@pytest.mark.parametrize(
    ("where", "wrong"),
    [(name, wrong) for name in ("kind", "topic", "code", "message") for wrong in (None, 1)]
    + [(name, wrong) for name in ("partition", "offset") for wrong in (None, "1")]
    + [(name, 1) for name in ("traceback", "aggregate", "aggregateId", "commandId", "commandType", "reason", "role")],
)
def test_a_record_whose_fields_have_other_types_is_not_a_letter(where: str, wrong: Any) -> None:
    record = json.loads(LONG.encode())
    record["data"][where] = wrong
    assert letter_in(json.dumps(record).encode()) is None


def test_a_record_without_a_time_is_not_a_letter() -> None:
    record = json.loads(LONG.encode())
    assert letter_in(json.dumps(record | {"time": 7}).encode()) is None


PARKED = Letter(
    command_id="c-1",
    command_type=None,
    topic="order-commands",
    partition=3,
    offset=17,
    timestamp=1_763_000_000.5,
    key=None,
    value=b"???>>>",
    headers=((NAME, b"\xff"), ("n", None)),
    code="PARKED_BEHIND",
    message="",
)


def test_a_parked_letter_is_stored_in_base64() -> None:
    assert json.loads(encoded(PARKED)) == {
        "command_id": "c-1",
        "command_type": None,
        "topic": "order-commands",
        "partition": 3,
        "offset": 17,
        "timestamp": 1_763_000_000.5,
        "key": None,
        "value": "Pz8_Pj4-",
        "headers": [["\0base64:TfxuY2hlbg==", "_w=="], ["n", None]],
        "code": "PARKED_BEHIND",
        "message": "",
    }
    later = replace(PARKED, key=b"o>>>", attempts=2, traceback="T", source="shop", digest="d")
    assert json.loads(encoded(later))["key"] == "bz4-Pg=="
    for each in (PARKED, later):
        assert repr(decoded(encoded(each))) == repr(each)


def test_the_key_of_a_skip_names_the_role_and_the_record() -> None:
    assert skip_key("projector", "order-events", 3, 17) == b"projector/order-events/3@17"
