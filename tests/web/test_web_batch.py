"""POST /commands: what would be sent to Kafka, over HTTP."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import orjson
import pytest
from kafka import messages
from system import ADDRESS, Api, System, eventually

from projections.mongo.client import Mongo
from streams.messages.envelope import new_id

Unique = Callable[[str], str]


def stock(product: str, quantity: Any = 5) -> dict[str, Any]:
    return {"type": "SetStock", "data": {"productId": product, "quantity": quantity}}


async def outcome(api: Api, command_id: str) -> Any:
    async def ask() -> Any:
        status, answer, _ = await api("GET", f"/commands/{command_id}")
        assert status == 200
        return answer["data"]

    return await eventually(ask, lambda found: found["status"] != "pending")


async def test_one_command(api: Api, unique: Unique) -> None:
    product = unique("p")
    status, answer, headers = await api("POST", "/commands", stock(product))
    assert status == 202
    assert headers["Location"] == f"/api/v1/commands/{answer['data']['id']}"
    found = await outcome(api, answer["data"]["id"])
    assert (found["status"], found["aggregateId"], found["version"]) == ("accepted", product, 1)


async def test_an_order_is_placed_under_the_id_in_its_data(api: Api, unique: Unique) -> None:
    order = unique("o")
    line = {"productId": "p", "quantity": 1, "price": {"amount": 1, "currency": "EUR"}}
    data = {"customerId": "c", "lines": [line], "shippingAddress": ADDRESS, "billingAddress": ADDRESS}
    for sent in (data | {"orderId": order}, data):
        status, answer, _ = await api("POST", "/commands", {"type": "PlaceOrder", "data": sent})
        assert status == 202
        assert (answer["data"]["aggregateId"] == order) == ("orderId" in sent)


async def test_a_command_in_binary_mode(api: Api, unique: Unique) -> None:
    product, command = unique("é"), unique("command")
    headers = {"ce-specversion": "1.0", "ce-type": "SetStock", "ce-id": command, "ce-source": "/erp",
               "ce-subject": quote(product)}  # fmt: skip
    status, answer, _ = await api("POST", "/commands", {"quantity": 3}, headers=headers)
    assert (status, answer["data"]["id"], answer["data"]["aggregateId"]) == (202, command, product)
    assert (await outcome(api, command))["result"]["availableQuantity"] == 3
    key = {"Idempotency-Key": unique("key")}
    del headers["ce-id"]
    _, first, _ = await api("POST", "/commands", {"quantity": 4}, headers=headers | key)
    _, again, _ = await api("POST", "/commands", {"quantity": 4}, headers=headers | key)
    assert first["data"]["id"] == again["data"]["id"]
    _, other, _ = await api("POST", "/commands", {"quantity": 4}, headers=headers | key | {"ce-type": "ReceiveStock"})
    assert other["error"] == "IDEMPOTENCY_KEY_REUSED"
    status, answer, _ = await api("POST", "/commands", stock(product), headers=headers | {"ce-type": "AdjustStock"})
    assert (status, answer["error"]) == (400, "INVALID_MESSAGE")
    assert "'AdjustStock'" in answer["message"]
    assert "'SetStock'" in answer["message"]


async def test_ids_and_correlation_are_kept(api: Api, unique: Unique) -> None:
    mine = {"id": unique("command"), "correlationid": "mine", **stock(unique("p"))}
    _, answer, _ = await api("POST", "/commands", mine)
    assert answer["data"]["id"] == mine["id"]
    assert (await outcome(api, mine["id"]))["correlationId"] == "mine"


@pytest.mark.parametrize("kind", ["array", "lines"])
async def test_each_of_many_commands_gets_an_id_or_an_error(api: Api, unique: Unique, kind: str) -> None:
    sent = [stock(unique("p")), {"type": "Nonsense"}, stock(unique("p"), -1), stock(unique("p"))]
    if kind == "array":
        body, header = orjson.dumps(sent), "application/json"
    else:
        body, header = b"\n".join(map(orjson.dumps, sent)) + b"\n{\n", "application/x-ndjson"
    async with api.session.post("commands", data=body, headers={"Content-Type": header}) as response:
        answer = await response.json()
    assert response.status == 202
    codes = [each.get("code") for each in answer["data"]]
    assert codes[:4] == [None, "UNKNOWN_TYPE", "INVALID_QUANTITY", None]
    assert codes[4:] == ([] if kind == "array" else ["INVALID_MESSAGE"])
    assert (await outcome(api, answer["data"][3]["commandId"]))["status"] == "accepted"


async def test_an_unknown_id_of_the_last_minute_is_pending(api: Api) -> None:
    status, answer, _ = await api("GET", f"/commands/{new_id()}")
    assert (status, answer["data"]["status"]) == (200, "pending")
    for unknown in (str(uuid4()), "0190a000-0000-7000-8000-000000000000"):
        assert (await api("GET", f"/commands/{unknown}"))[0] == 404


async def test_a_rejection_is_found_under_the_commands_id(api: Api, unique: Unique) -> None:
    release = {"type": "Release", "data": {"orderId": unique("nope")}}
    _, answer, _ = await api("POST", "/commands", release)
    found = await outcome(api, answer["data"]["id"])
    assert (found["status"], found["code"]) == ("rejected", "ORDER_NOT_FOUND")


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ({"type": "Nonsense"}, "UNKNOWN_TYPE"),
        ({}, "UNKNOWN_TYPE"),
        ({"type": ["SetStock"]}, "UNKNOWN_TYPE"),
        ({"type": "SetStock", "data": 1}, "INVALID_MESSAGE"),
        ({"type": "SetStock", "data": {"quantity": 1}}, "MISSING_KEY"),
        ({"type": "SetStock", "data": {"productId": "p"}}, "INVALID_QUANTITY"),
        ({"type": "SetStock", "id": "\x00", "data": {"productId": "p", "quantity": 1}}, "INVALID_MESSAGE"),
        ({"type": "SetStock", "time": "late", "data": {"productId": "p", "quantity": 1}}, "INVALID_MESSAGE"),
        ({"type": "SetStock", "subject": "q", "data": {"productId": "p", "quantity": 1}}, "INVALID_MESSAGE"),
        ({"type": "SetStock", "id": "", "subject": "q", "data": {"quantity": 1}}, "INVALID_MESSAGE"),
        ({"type": "SetStock", "specversion": "0.3", "subject": "q", "data": {"quantity": 1}}, "INVALID_MESSAGE"),
        ({"type": "CreateShipment", "subject": "o", "Data": {"lines": []}}, "INVALID_MESSAGE"),
        (1, "INVALID_MESSAGE"),
    ],
)
async def test_an_invalid_command_is_400(api: Api, sent: Any, code: str) -> None:
    status, answer, _ = await api("POST", "/commands", sent)
    assert (status, answer["success"], answer["error"]) == (400, False, code)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\n\n"])
async def test_an_empty_body_is_400(api: Api, body: bytes) -> None:
    async with api.session.post("commands", data=body, headers={"Content-Type": "application/json"}) as response:
        assert response.status == 400


@pytest.mark.parametrize("after", [b"\rgarbage", b"\r\r{"])
async def test_only_line_feeds_separate_commands(api: Api, unique: Unique, after: bytes) -> None:
    body = orjson.dumps(stock(product := unique("p"))) + after
    async with api.session.post("commands", data=body, headers={"Content-Type": "application/json"}) as response:
        assert (response.status, (await response.json())["error"]) == (400, "NOT_JSON")
    assert (await api("GET", f"/inventory/{product}"))[0] == 404


# --- Idempotency-Key and preconditions


async def test_a_batch_sent_again_under_its_key_is_done_once(system: System, api: Api, unique: Unique) -> None:
    product, headers = unique("p"), {"Idempotency-Key": unique("key")}
    receive = {"type": "ReceiveStock", "data": {"productId": product, "quantity": 2}}
    sent = [receive, {"type": "Nonsense"}, receive]
    first = await api("POST", "/commands", sent, headers=headers)
    again = await api("POST", "/commands", sent, headers=headers)
    assert (first[0], again[:2], again[2]["Idempotency-Replayed"]) == (202, first[:2], "true")
    ids = [each["commandId"] for each in first[1]["data"] if each["status"] == "pending"]
    assert len(set(ids)) == 2
    for command in ids:
        assert (await outcome(api, command))["status"] == "accepted"
    records = messages(system.settings, "inventory-commands", lambda each: each["subject"] == product)
    assert [each["id"] for each in records] == ids
    other = await api("POST", "/commands", sent[:2], headers=headers)
    assert (other[0], other[1]["error"]) == (422, "IDEMPOTENCY_KEY_REUSED")


async def test_after_a_crash_a_batch_continues_with_the_same_ids(
    system: System, api: Api, mongo: Mongo, unique: Unique
) -> None:
    product, customer, key = unique("p"), unique("customer"), unique("key")
    line = {"productId": product, "quantity": 1, "price": {"amount": 100, "currency": "EUR"}}
    addresses = {"shippingAddress": ADDRESS, "billingAddress": ADDRESS}
    order = {"customerId": customer, "lines": [line], **addresses}
    sent = [stock(product), {"type": "PlaceOrder", "data": order}]
    first = await api("POST", "/commands", sent, headers={"Idempotency-Key": key})
    assert first[0] == 202
    for each in first[1]["data"]:
        await outcome(api, each["commandId"])
    forgotten = {"$set": {"answer": None, "leasedUntil": datetime.fromtimestamp(0, UTC)}}
    await mongo.collection("idempotency").update_one({"_id": key}, forgotten)  # as if it died before it answered
    again = await api("POST", "/commands", sent, headers={"Idempotency-Key": key})
    assert again[:2] == first[:2]
    placed = messages(system.settings, "order-commands", lambda each: each["data"].get("customerId") == customer)
    assert [each["subject"] for each in placed] == [first[1]["data"][1]["aggregateId"]]  # decided: not sent again


async def test_the_key_of_a_single_command_is_its_id(api: Api, unique: Unique) -> None:
    headers = {"Idempotency-Key": unique("key")}
    first, again = [await api("POST", "/commands", stock(unique("p")), headers=headers) for _ in range(2)]
    assert again[1]["error"] == "IDEMPOTENCY_KEY_REUSED"  # another product
    assert first[2]["Location"] == f"/api/v1/commands/{first[1]['data']['commandId']}"


@pytest.mark.parametrize(
    ("headers", "accepted"),
    [({"If-Match": '"1"'}, True), ({"If-Match": '"7", "1"'}, True), ({"If-Match": "*"}, True),
     ({"If-Match": '"2"'}, False), ({"If-None-Match": "*"}, False)],
)  # fmt: skip
async def test_a_precondition_applies_to_the_single_command(
    api: Api, unique: Unique, headers: dict[str, str], accepted: bool
) -> None:
    product = unique("p")
    await api.stock(product, 1)
    status, answer, _ = await api("POST", "/commands", [stock(product, 9)], headers=headers)
    found = await outcome(api, answer["data"][0]["commandId"])
    assert (status, found["status"]) == (202, "accepted" if accepted else "rejected")
    assert accepted or found["code"] == "STALE_VERSION"


async def test_a_precondition_for_several_commands_or_against_the_envelope_is_400(api: Api, unique: Unique) -> None:
    seen = {"If-Match": '"1"'}
    several = await api("POST", "/commands", [stock(unique("p")), stock(unique("p"))], headers=seen)
    assert (several[0], list(several[1]["errors"])) == (400, ["If-Match"])
    against = await api("POST", "/commands", {"expectedversion": 2, **stock(unique("p"))}, headers=seen)
    assert (against[0], "expectedversion is 2" in against[1]["message"]) == (400, True)
    assert (await api("POST", "/commands", {"expectedversion": "1", **stock(unique("p"))}, headers=seen))[0] == 202
