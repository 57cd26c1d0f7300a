"""`Idempotency-Key`: nothing is done twice, whatever happened in between."""

import asyncio
import gzip
import signal
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import orjson
import pytest
from kafka import messages
from raw import raw
from system import Api, System, eventually

from projections.mongo.client import Mongo
from projections.mongo.idempotency import Claim, IdempotencyKeys
from streams.messages.envelope import new_id
from streams.runtime.settings import Settings

Unique = Callable[[str], str]
Body = Callable[..., dict[str, Any]]


async def send(api: Api, key: str, body: Any, path: str = "orders", **headers: str) -> tuple[int, Any, Any]:
    headers |= {"Idempotency-Key": key, "Content-Type": "application/json"}
    async with api.session.post(path, data=orjson.dumps(body), headers=headers) as response:
        return response.status, await response.json(), response.headers


def claim(key: str, body: Any) -> Claim:
    digest = sha256(orjson.dumps(body)).hexdigest()
    return Claim(key, "POST", "/api/v1/orders", digest, command_id=new_id(), order_id=new_id())


async def test_the_same_request_again_gets_the_same_answer(api: Api, unique: Unique, order: Body) -> None:
    key, body = unique("key"), order(unique("p"))
    first, again = await send(api, key, body), await send(api, key, body)
    assert first[:2] == again[:2]
    assert first[0] == 201
    assert again[2]["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first[2]
    for header in ("Location", "Consistency-Token", "Correlation-Id"):
        assert first[2][header] == again[2][header]


async def test_a_rejection_is_stored_too(api: Api, unique: Unique, order: Body) -> None:
    key, body = unique("key"), order(totalCost="99.00")
    first, again = await send(api, key, body), await send(api, key, body)
    assert (first[0], first[1]) == (422, again[1])
    assert again[2]["Idempotency-Replayed"] == "true"


async def test_another_body_or_path_under_the_same_key_is_refused(api: Api, unique: Unique, order: Body) -> None:
    key, body = unique("key"), order(unique("p"))
    placed = await send(api, key, body)
    hold = f"orders/{placed[1]['data']['id']}/hold"
    for other in (await send(api, key, body | {"customerId": "c-2"}), await send(api, key, {}, hold)):
        assert (other[0], other[1]["error"]) == (422, "IDEMPOTENCY_KEY_REUSED")


async def test_another_condition_under_the_same_key_is_refused(api: Api, unique: Unique) -> None:
    product, key = unique("p"), unique("key")
    await api.stock(product, 1)
    placed = await api.place((product, 1))
    order = await api.order(placed["id"], lambda order: order["allocationStatus"] == "ALLOCATED")  # nothing follows
    path, seen = f"orders/{placed['id']}/hold", {"If-Match": f'"{order["version"]}"'}
    done, again = await send(api, key, {}, path, **seen), await send(api, key, {}, path, **seen)
    assert (done[0], again[:2], again[2]["Idempotency-Replayed"]) == (200, done[:2], "true")
    for other in ({}, {"If-Match": '"9"'}, {"If-None-Match": "*"}):
        status, answer, _ = await send(api, key, {}, path, **other)
        assert (status, answer["error"]) == (422, "IDEMPOTENCY_KEY_REUSED"), other


async def test_the_values_of_parameters_matter_and_their_order_does_not(api: Api, unique: Unique) -> None:
    placed, key = await api.place((unique("p"), 1)), unique("key")

    async def cancel(query: str) -> tuple[int, Any, Any]:
        headers = {"Idempotency-Key": key}
        return await api("DELETE", f"/orders/{placed['id']}?{query}", headers=headers)

    first, again, other = await cancel("reason=late"), await cancel("reason=%6Cate"), await cancel("reason=other")
    assert (first[0], again[:2], other[1]["error"]) == (200, first[:2], "IDEMPOTENCY_KEY_REUSED")


async def test_a_compressed_body_is_the_same_request(api: Api, unique: Unique, order: Body) -> None:
    key, body = unique("key"), order(unique("p"))
    first = await send(api, key, body)
    headers = {"Idempotency-Key": key, "Content-Type": "application/json", "Content-Encoding": "gzip"}
    async with api.session.post("orders", data=gzip.compress(orjson.dumps(body)), headers=headers) as response:
        assert (response.status, await response.json()) == first[:2]


@pytest.mark.parametrize("key", ["", "x" * 129, "a\tb", "\u2028", "\x85", "\udcff"])
async def test_a_key_with_odd_characters_or_length_is_400(address: str, key: str) -> None:
    lines = ["POST /api/v1/orders/nope/hold HTTP/1.1", "Host: localhost", "Connection: close"]
    sent = "\r\n".join([*lines, f"Idempotency-Key: {key}", "", ""])
    status, _, answer = await raw(address, sent.encode(errors="surrogateescape"))
    assert (status, list(answer["errors"])) == (400, ["Idempotency-Key"])


async def test_two_keys_are_400(api: Api, order: Body) -> None:
    headers = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    async with api.session.post("orders", json=order(), headers=headers) as response:
        assert (response.status, list((await response.json())["errors"])) == (400, ["Idempotency-Key"])


async def test_a_request_in_flight_is_409(api: Api, mongo: Mongo, unique: Unique, order: Body) -> None:
    key, body = unique("key"), order(unique("p"))
    await IdempotencyKeys(mongo).claim(claim(key, body), 120)  # a much longer one is of a clock that was set back
    status, answer, headers = await send(api, key, body)
    assert (status, answer["error"]) == (409, "IDEMPOTENCY_KEY_IN_FLIGHT")
    assert "Retry-After" in headers


async def test_after_a_crash_the_request_continues_with_the_same_ids(
    api: Api, mongo: Mongo, unique: Unique, order: Body
) -> None:
    key, body = unique("key"), order(unique("p"))
    left = claim(key, body)
    await IdempotencyKeys(mongo).claim(left, -1)  # its process died before it sent anything
    status, answer, _ = await send(api, key, body)
    assert (status, answer["data"]["id"], answer["data"]["commandId"]) == (201, left.order_id, left.command_id)


async def test_after_a_crash_that_follows_the_decision_nothing_is_done_twice(
    api: Api, mongo: Mongo, unique: Unique, order: Body
) -> None:
    key, product = unique("key"), unique("p")
    await api.stock(product, 10)
    body = order(product, 3)
    first = await send(api, key, body)
    forgotten = {"$set": {"answer": None, "leasedUntil": first_instant()}}
    await mongo.collection("idempotency").update_one({"_id": key}, forgotten)  # as if it died before it answered
    again = await send(api, key, body)
    assert (again[0], again[1]["data"]["id"]) == (201, first[1]["data"]["id"])
    assert again[1]["data"]["version"] == 1
    await api.order(first[1]["data"]["id"], lambda order: order["allocationStatus"] == "ALLOCATED")
    _, stock, _ = await api("GET", f"/inventory/{product}")
    assert stock["data"]["allocatedQuantity"] == 3


async def test_after_a_crash_a_command_that_the_aggregate_forgot_is_not_done_twice(
    api: Api, mongo: Mongo, unique: Unique
) -> None:
    key, product = unique("key"), unique("p")
    receive = f"inventory/{product}/receive"
    first = await send(api, key, {"quantity": 7}, receive)
    for _ in range(Settings().recent_commands):
        assert (await send(api, unique("other"), {"quantity": 1}, receive))[0] == 200
    command = first[1]["data"]["commandId"]
    await eventually(lambda: mongo.collection("commands_v1").find_one({"id": command}), bool)
    forgotten = {"$set": {"answer": None, "leasedUntil": first_instant()}}
    await mongo.collection("idempotency").update_one({"_id": key}, forgotten)  # as if it died before it answered
    again = await send(api, key, {"quantity": 7}, receive)
    assert again[:2] == first[:2]
    _, stock, _ = await api(
        "GET", f"/inventory/{product}", headers={"Consistency-Token": again[2]["Consistency-Token"]}
    )
    assert stock["data"]["onHandQuantity"] == 7 + Settings().recent_commands


async def test_after_a_crash_it_is_not_repeated_while_the_read_model_lags(
    system: System, api: Api, impatient: Api, mongo: Mongo, unique: Unique
) -> None:
    key, product = unique("key"), unique("p")
    receive = f"inventory/{product}/receive"
    system.kill("projector-0", signal.SIGSTOP)
    try:
        first = await send(api, key, {"quantity": 7}, receive)
        forgotten = {"$set": {"answer": None, "leasedUntil": first_instant()}}
        await mongo.collection("idempotency").update_one({"_id": key}, forgotten)  # as if it died before it answered
        again = await send(impatient, key, {"quantity": 7}, receive)
    finally:
        system.kill("projector-0", signal.SIGCONT)
    assert (again[0], again[1]["error"], again[2]["Retry-After"]) == (503, "READ_MODEL_BEHIND", "5")
    answer = await eventually(lambda: send(api, key, {"quantity": 7}, receive), lambda found: found[0] != 503)
    assert answer[:2] == first[:2]


async def test_a_shipment_that_waited_for_stock_is_created_once(
    system: System, api: Api, mongo: Mongo, unique: Unique
) -> None:
    key, product = unique("key"), unique("p")
    await api.stock(product, 10)
    system.kill("inventory-0", signal.SIGSTOP)
    try:
        placed = await api.place((product, 3))
        path = f"orders/{placed['id']}/shipments"
        pending = await send(api, key, {}, path, Prefer="wait=2")
    finally:
        system.kill("inventory-0", signal.SIGCONT)
    assert (pending[0], pending[1].get("error")) in ((409, "ALLOCATION_PENDING"), (202, None))  # the last attempt
    await api.order(placed["id"], lambda order: order["allocationStatus"] == "ALLOCATED")
    made = await eventually(
        lambda: send(api, key, {}, path), lambda found: found[0] not in (202, 409)
    )  # no longer pending
    assert made[0] == 201, made
    command = made[1]["data"]["commandId"]
    await eventually(lambda: mongo.collection("commands_v1").find_one({"id": command, "status": "accepted"}), bool)
    forgotten = {"$set": {"answer": None, "leasedUntil": first_instant()}}
    await mongo.collection("idempotency").update_one({"_id": key}, forgotten)  # as if it died before it answered
    assert (await send(api, key, {}, path))[:2] == made[:2]


def first_instant() -> Any:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(0, UTC)


async def test_simultaneous_requests_place_one_order(api: Api, unique: Unique, order: Body) -> None:
    key, customer = unique("key"), unique("customer")
    body = order(unique("p"), customerId=customer)
    answers = await asyncio.gather(*(send(api, key, body) for _ in range(20)))
    assert {answer[0] for answer in answers} <= {201, 409}
    placed = [answer for answer in answers if answer[0] == 201]
    assert len({answer[1]["data"]["id"] for answer in placed}) == 1
    token = {"Consistency-Token": placed[0][2]["Consistency-Token"]}
    _, listed, _ = await api("GET", f"/customers/{customer}/orders", headers=token)
    assert len(listed["data"]) == 1


@pytest.mark.parametrize("prefer", ["respond-async", "wait=0"])
async def test_a_repeat_after_a_202_gets_the_outcome(api: Api, unique: Unique, order: Body, prefer: str) -> None:
    key, body = unique("key"), order(unique("p"))
    first = await send(api, key, body, Prefer=prefer)
    again, kept = await send(api, key, body), await send(api, key, body)
    ids = {name: first[1]["data"][name] for name in ("id", "commandId")}
    assert (first[0], first[1]["data"]["status"]) == (202, "pending")
    assert again[0] == 201, again
    assert ids.items() <= again[1]["data"].items()
    assert again[2]["Consistency-Token"]
    assert "Idempotency-Replayed" not in again[2]
    assert (kept[:2], kept[2]["Idempotency-Replayed"]) == (again[:2], "true")


async def test_a_repeat_after_a_202_gets_the_rejection(api: Api, unique: Unique) -> None:
    key, path = unique("key"), f"orders/{unique('nope')}/hold"
    first, again = await send(api, key, {}, path, Prefer="respond-async"), await send(api, key, {}, path)
    assert (first[0], again[0], again[1]["error"]) == (202, 404, "ORDER_NOT_FOUND")
    assert again[1]["details"]["commandId"] == first[1]["data"]["commandId"]


async def test_a_repeat_before_the_decision_is_202_and_sends_nothing(
    system: System, api: Api, mongo: Mongo, unique: Unique
) -> None:
    key, product = unique("key"), unique("p")
    path, body = f"inventory/{product}/receive", {"quantity": 7}
    system.kill("inventory-0", signal.SIGSTOP)
    try:
        answers = [await send(api, key, body, path, Prefer=prefer) for prefer in ("respond-async", "wait=1", "wait=0")]
        assert [answer[0] for answer in answers] == [202, 202, 202]
        (command,) = {answer[1]["data"]["commandId"] for answer in answers}
        waiting = asyncio.create_task(send(api, key, body, path))
        await eventually(lambda: mongo.collection("idempotency").find_one({"_id": key}), leased)
        at_once = await send(api, key, body, path)
        assert (at_once[0], at_once[1]["error"]) == (409, "IDEMPOTENCY_KEY_IN_FLIGHT")
    finally:
        system.kill("inventory-0", signal.SIGCONT)
    await waiting
    answer = await eventually(lambda: send(api, key, body, path), lambda found: found[0] != 202)
    assert (answer[0], answer[1]["data"]["commandId"]) == (200, command)
    sent = [
        each["id"] for each in messages(system.settings, "inventory-commands", lambda it: it.get("subject") == product)
    ]
    assert sent == [command]
    assert answer[1]["data"]["version"] == 1


async def test_a_command_that_the_aggregate_forgot_is_not_repeated_after_a_202(api: Api, unique: Unique) -> None:
    key, product = unique("key"), unique("p")
    receive = f"inventory/{product}/receive"
    first = await send(api, key, {"quantity": 7}, receive, Prefer="respond-async")
    for _ in range(Settings().recent_commands + 1):
        assert (await send(api, unique("other"), {"quantity": 1}, receive))[0] == 200
    again = await send(api, key, {"quantity": 7}, receive)
    assert (first[0], again[0], again[1]["data"]["version"]) == (202, 200, 1)
    status, stock, _ = await api("POST", f"/{receive}", {"quantity": 1})
    assert (status, stock["data"]["onHandQuantity"]) == (200, 7 + Settings().recent_commands + 2)


async def test_a_repeat_continues_with_the_next_attempt_while_stock_was_pending(
    system: System, api: Api, unique: Unique
) -> None:
    key, product = unique("key"), unique("p")
    await api.stock(product, 10)
    system.kill("inventory-0", signal.SIGSTOP)
    try:
        placed = await api.place((product, 3))
        path = f"orders/{placed['id']}/shipments"
        first = await send(api, key, {}, path, Prefer="respond-async")
        # the first attempt has been decided: stock is pending, and the next one is on its way
        again = await send(api, key, {}, path, Prefer="wait=1")
        assert (first[0], again[0]) in ((202, 202), (202, 409)), again
    finally:
        system.kill("inventory-0", signal.SIGCONT)
    made = await eventually(lambda: send(api, key, {}, path), lambda found: found[0] not in (202, 409))
    assert made[0] == 201, made
    order = await api.order(placed["id"], lambda order: order["status"] == "SHIPPED")
    assert [each["shipmentId"] for each in order["shipments"]] == [made[1]["data"]["shipmentId"]]


async def test_a_202_that_an_earlier_version_stored_is_not_replayed(
    api: Api, mongo: Mongo, unique: Unique, order: Body
) -> None:
    key, body = unique("key"), order(unique("p"))
    first = await send(api, key, body, Prefer="respond-async")
    stored = {
        "status": 202,
        "body": orjson.dumps(first[1]).decode(),
        "headers": {"Location": first[2]["Location"]},
        "correlationId": first[2]["Correlation-Id"],
    }
    change = {"$set": {"answer": stored}, "$unset": {"sent": "", "condition": ""}}
    await mongo.collection("idempotency").update_one({"_id": key}, change)
    again = await send(api, key, body)
    assert (again[0], again[1]["data"]["commandId"]) == (201, first[1]["data"]["commandId"])


def leased(claim: Any) -> bool:
    return bool(claim["leasedUntil"] > first_instant())
