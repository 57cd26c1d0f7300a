"""Commands in every form CloudEvents has on Kafka: the same command in each, and ambiguous ones are refused."""

import base64
import json
from typing import Any

import pytest

from domain.inventory.commands import SetStock
from domain.orders.commands import CreateShipment
from streams.messages.cloudevents import glimpse
from streams.messages.codec import INVENTORY_COMMANDS, ORDER_COMMANDS, BadMessage, RecordAt, decode_command
from streams.messages.envelope import CONTENT_TYPE, CommandMessage
from streams.messages.strict import read_command

Headers = list[tuple[str, bytes | None]]
ATTRIBUTES = {
    "specversion": "1.0",
    "id": "c-1",
    "type": "SetStock",
    "source": "/erp/é",
    "subject": "boots",
    "time": "2026-11-23T11:00:00+01:00",
    "correlationid": "flow-1",
    "causationid": "cause-1",
    "expectedversion": 3,
}
DATA = {"quantity": 5}
SENT = CommandMessage(
    "c-1",
    "boots",
    SetStock(quantity=5),
    "2026-11-23T10:00:00.000Z",
    "/erp/é",
    "flow-1",
    "cause-1",
    3,
    "2025-11-13T02:13:20.123Z",
)
STRUCTURED: Headers = [("content-type", b"application/cloudevents+json; charset=UTF-8")]


def binary(**changes: Any) -> Headers:
    """Return the headers of the binary mode; a value of None leaves one out."""
    attributes = ATTRIBUTES | changes
    return [(f"ce_{name}", str(value).encode()) for name, value in attributes.items() if value is not None]


def read(value: Any, headers: Any = (), key: bytes | None = b"boots") -> CommandMessage:
    raw = value if isinstance(value, bytes | None) else json.dumps(value).encode()
    at = RecordAt("inventory-commands", 3, 7, 1_763_000_000.123, key)
    return decode_command(raw, at, INVENTORY_COMMANDS, "productId", headers)


def refused(value: Any, headers: Any = (), key: bytes | None = b"boots") -> BadMessage:
    with pytest.raises(BadMessage) as bad:
        read(value, headers, key)
    return bad.value


def based(data: Any) -> str:
    return base64.b64encode(data if isinstance(data, bytes) else json.dumps(data).encode()).decode()


@pytest.mark.parametrize(
    ("value", "headers"),
    [
        (ATTRIBUTES | {"data": DATA}, ()),
        (ATTRIBUTES | {"data": DATA}, tuple(CONTENT_TYPE)),
        (ATTRIBUTES | {"data": DATA}, STRUCTURED),
        (ATTRIBUTES | {"data": DATA}, [("content-type", b"application/json"), ("traceparent", b"\xff")]),
        (ATTRIBUTES | {"data": DATA}, [*STRUCTURED, ("ce_type", b"SetStock"), ("ce_id", b"c-1")]),
        (ATTRIBUTES | {"data": DATA}, binary()),
        (ATTRIBUTES | {"data": DATA, "datacontenttype": "application/json", "dataschema": "urn:x"}, STRUCTURED),
        (ATTRIBUTES | {"data": DATA, "datacontenttype": "application/vnd.shop+json;charset=utf-8"}, STRUCTURED),
        (ATTRIBUTES | {"data": DATA, "traceparent": "00-1-2-3", "sampledrate": 3, "partitionkey": "x"}, STRUCTURED),
        (ATTRIBUTES | {"data_base64": based(DATA)}, STRUCTURED),
        (ATTRIBUTES | {"data_base64": based(DATA), "data": None}, STRUCTURED),
        ({name: ATTRIBUTES[name] for name in ("id", "source", "subject")} | {"data": DATA}, binary()),
        (DATA, binary()),
        (DATA, [*binary(), ("content-type", b"application/json")]),
        (DATA, [("Content-Type", b'application/json; charset="UTF-8"'), *binary(specversion=None)]),
        (DATA, [*binary(traceparent="00-1-2-3"), ("other", None)]),
        (DATA, [(name.replace("ce_", "ce-"), value) for name, value in binary()]),
        (DATA, [(name.upper(), value) for name, value in binary()]),
    ],
)
def test_a_command_is_the_same_in_every_shape(value: Any, headers: Any) -> None:
    assert read(value, headers) == SENT
    assert glimpse(json.dumps(value).encode(), headers)["id"] == "c-1"


def test_an_event_of_the_binary_mode_may_leave_out_what_any_may() -> None:
    command = read(DATA, [("ce_type", b"SetStock")])
    assert (command.key, command.source, command.expected_version) == ("boots", "kafka", None)
    assert command == read({"type": "SetStock", "data": DATA})
    assert read(None, [("ce_type", b"ReactivateProduct")]).type == "ReactivateProduct"
    assert refused(b"", [("ce_type", b"DiscontinueProduct")]).details == {"data": "is missing"}


@pytest.mark.parametrize(
    ("headers", "names"),
    [
        (binary(type="AdjustStock"), ("'AdjustStock'", "'SetStock'")),
        (binary(id="c-2"), ("'c-2'", "'c-1'")),
        (binary(expectedversion=4), ("4", "3")),
        ([*STRUCTURED, ("ce_subject", b"socks")], ("'socks'", "'boots'")),
    ],
)
def test_headers_that_contradict_the_envelope_are_refused(headers: Any, names: tuple[str, str]) -> None:
    bad = refused(ATTRIBUTES | {"data": DATA}, headers)
    assert bad.code == "INVALID_MESSAGE"
    assert all(name in bad.message for name in names)


def test_the_subject_of_the_binary_mode_and_the_key_are_compared() -> None:
    assert refused(DATA, binary(subject="socks")).message.startswith("the Kafka key is 'boots' and subject is 'socks'")
    assert read(DATA, binary(), key=None).key == "boots"


@pytest.mark.parametrize(
    ("headers", "sentence"),
    [
        ([*binary(), ("ce_id", b"c-1")], "the header ce_id occurs twice"),
        ([*binary(), ("CE_ID", b"c-2")], "the header ce_id occurs twice"),
        ([*STRUCTURED, *STRUCTURED], "the header content-type occurs twice"),
        ([*binary(), ("ce_tag", b"M\xfcnchen")], "the header 'ce_tag' is not UTF-8"),
        ([("content-type", b"\xff")], "the header 'content-type' is not UTF-8"),
        ([*binary(), ("ce_M\udcfcnchen", b"x")], "is not a CloudEvents attribute"),
        ([*binary(), ("ce_data", b"{}")], "send data as the value"),
        ([("content-type", b"application/cloudevents-batch+json")], "send one command per record"),
        ([("content-type", b"application/cloudevents+avro")], "send JSON"),
        ([*binary(), ("content-type", b"application/x-protobuf")], "send JSON"),
        ([*binary(), ("content-type", b"application/json; charset=latin1")], "send UTF-8"),
        (binary(specversion="0.3"), "specversion '0.3' is not supported"),
        (binary(expectedversion="three"), "expectedversion must be a whole number"),
        (binary(expectedversion="9" * 40), "expectedversion must be a whole number"),
        (binary(id=""), "ids are strings"),
    ],
)
def test_headers_that_are_not_understood_are_refused(headers: Any, sentence: str) -> None:
    bad = refused(DATA, headers)
    assert bad.code == "INVALID_MESSAGE"
    assert sentence in bad.message


@pytest.mark.parametrize("value", [b"\x00\x01", b"quantity=5", b"[5]", b'"quantity"'])
def test_data_that_is_not_a_json_object_is_refused_under_its_own_id(value: bytes) -> None:
    bad = refused(value, binary())
    assert (bad.code, bad.envelope["id"], bad.envelope["type"]) == ("INVALID_MESSAGE", "c-1", "SetStock")
    assert glimpse(value, binary())["correlationid"] == "flow-1"


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"data_base64": based(b"\xff")}, "data_base64 is not JSON in base64"),
        ({"data_base64": "{}"}, "data_base64 is not JSON in base64"),
        ({"data_base64": 5}, "data_base64 is not JSON in base64"),
        ({"data_base64": based([1])}, "data must be a JSON object"),
        ({"data": {}, "data_base64": based({})}, "either data or data_base64"),
        ({"data": json.dumps({})}, "data must be a JSON object"),
        ({"data": {}, "datacontenttype": "application/xml"}, "datacontenttype 'application/xml' is not understood"),
        ({"data": {}, "datacontenttype": "application/json; charset=utf-16"}, "send UTF-8"),
        ({"data": {}, "datacontenttype": 5}, "datacontenttype 5 is not a content type"),
        ({"data": {}, "dataschema": 5}, "dataschema must be a URI"),
        ({"data": {}, "specversion": "0.3"}, "specversion '0.3' is not supported"),
        ({"data": {}, "specversion": 1.0}, "specversion 1.0 is not supported"),
        ({"Data": {"lines": []}}, "'Data' is not a CloudEvents attribute; did you mean data?"),
        ({"data": {}, "expectedVersion": 3}, "did you mean expectedversion?"),
        ({"data": {}, "correlation_id": "x"}, "did you mean correlationid?"),
        ({"data": {}, "payload": {"lines": []}}, "'payload' is an object; it goes into data"),
        ({"data": {}, "parts": []}, "'parts' is an array; it goes into data"),
        ({"data": {}, "lines": [{"lineId": "1", "quantity": 1}]}, "'lines' is beside data; lines goes into it"),
        ({"data": {}, "carrier": "DHL"}, "'carrier' is beside data; carrier goes into it"),
        ({"data": {}, "trackingnumber": "1"}, "'trackingnumber' is beside data; trackingNumber goes into it"),
        ({"data": {}, "orderId": "o2"}, "'orderId' is beside data; orderId goes into it"),
    ],
)
def test_a_shipment_that_means_less_than_everything_never_ships_everything(more: Any, sentence: str) -> None:
    at = RecordAt("order-commands", 3, 7, 1_763_000_000.123, b"o1")
    with pytest.raises(BadMessage) as bad:
        decode_command(json.dumps({"type": "CreateShipment"} | more).encode(), at, ORDER_COMMANDS, "orderId")
    assert bad.value.code == "INVALID_MESSAGE"
    assert sentence in bad.value.message


def test_data_in_base64_is_what_it_says() -> None:
    at = RecordAt("order-commands", 3, 7, 1_763_000_000.123, b"o1")
    data = {"shipmentId": "s", "lines": [{"lineId": "1", "quantity": 1}]}
    value = json.dumps({"type": "CreateShipment", "data_base64": based(data)}).encode()
    command = decode_command(value, at, ORDER_COMMANDS, "orderId").command
    assert command == read_command(CreateShipment, data)


def test_unreadable_bytes_give_an_empty_glimpse() -> None:
    assert glimpse(None, None) == glimpse(b"no JSON", [("h", b"\xff")]) == glimpse(b"[]") == {}
    assert glimpse(b'{"type": "Hold"}', [("content-type", b"text/plain")]) == {"type": "Hold"}
