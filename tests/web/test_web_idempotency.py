"""`Idempotency-Key`: nothing is done twice, whatever happened in between."""

import asyncio
import signal
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import orjson
import pytest
from system import Api, System, eventually

from projections.mongo.client import Mongo
from projections.mongo.idempotency import Claim, IdempotencyKeys
from streams.messages import new_id
from streams.settings import Settings

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


async def test_a_rejection_is_kept_too(api: Api, unique: Unique, order: Body) -> None:
    key, body = unique("key"), order(totalCost="99.00")
    first, again = await send(api, key, body), await send(api, key, body)
    assert (first[0], first[1]) == (422, again[1])
    assert again[2]["Idempotency-Replayed"] == "true"


async def test_another_body_or_path_under_the_same_key_is_refused(api: Api, unique: Unique, order: Body) -> None:
    key, body = unique("key"), order(unique("p"))
    placed = await send(api, key, body)
    hold = f"orders/{placed[1]['data']['id']}/hold"
    for other in (await send(api, key, body | {"customerId": "c-2"}), await send(api, key, body, hold)):
        assert (other[0], other[1]["error"]) == (422, "IDEMPOTENCY_KEY_REUSED")


async def test_the_key_is_looked_at_before_if_match(api: Api, unique: Unique) -> None:
    placed, key = await api.place((unique("p"), 1)), unique("key")
    path, seen = f"orders/{placed['id']}/hold", {"If-Match": "0"}
    assert (await send(api, key, {}, path))[0] == 200
    assert (await send(api, key, {}, path, **seen))[0] == 200
    assert (await send(api, unique("key"), {}, path, **seen))[0] == 412


async def test_a_request_in_flight_is_409(api: Api, mongo: Mongo, unique: Unique, order: Body) -> None:
    key, body = unique("key"), order(unique("p"))
    await IdempotencyKeys(mongo).claim(claim(key, body), 15)  # a much longer one is of a clock that was set back
    status, answer, headers = await send(api, key, body)
    assert (status, answer["error"]) == (409, "IDEMPOTENCY_KEY_IN_FLIGHT")
    assert "Retry-After" in headers


async def test_after_a_crash_the_request_goes_on_under_its_ids(
    api: Api, mongo: Mongo, unique: Unique, order: Body
) -> None:
    key, body = unique("key"), order(unique("p"))
    left = claim(key, body)
    await IdempotencyKeys(mongo).claim(left, -1)  # whoever had it died before anything was sent
    status, answer, _ = await send(api, key, body)
    assert (status, answer["data"]["id"], answer["data"]["commandId"]) == (201, left.order_id, left.command_id)


async def test_after_a_crash_behind_the_decision_nothing_is_done_twice(
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


async def test_after_a_crash_nothing_is_done_twice_that_the_aggregate_has_forgotten(
    api: Api, mongo: Mongo, unique: Unique
) -> None:
    key, product = unique("key"), unique("p")
    receive = f"inventory/{product}/receive"
    first = await send(api, key, {"quantity": 7}, receive)
    for _ in range(Settings().recent_commands):
        assert (await send(api, unique("other"), {"quantity": 1}, receive))[0] == 200
    command = first[1]["data"]["commandId"]
    await eventually(lambda: mongo.collection("commands_v1").find_one({"_id": command}), bool, 20)
    forgotten = {"$set": {"answer": None, "leasedUntil": first_instant()}}
    await mongo.collection("idempotency").update_one({"_id": key}, forgotten)  # as if it died before it answered
    again = await send(api, key, {"quantity": 7}, receive)
    assert again[:2] == first[:2]
    _, stock, _ = await api(
        "GET", f"/inventory/{product}", headers={"Consistency-Token": again[2]["Consistency-Token"]}
    )
    assert stock["data"]["onHandQuantity"] == 7 + Settings().recent_commands


async def test_after_a_crash_it_is_not_done_again_while_the_read_model_is_behind(
    system: System, api: Api, mongo: Mongo, unique: Unique
) -> None:
    key, product = unique("key"), unique("p")
    receive = f"inventory/{product}/receive"
    system.kill("projector-0", signal.SIGSTOP)
    try:
        first = await send(api, key, {"quantity": 7}, receive)
        forgotten = {"$set": {"answer": None, "leasedUntil": first_instant()}}
        await mongo.collection("idempotency").update_one({"_id": key}, forgotten)  # as if it died before it answered
        again = await send(api, key, {"quantity": 7}, receive)
    finally:
        system.kill("projector-0", signal.SIGCONT)
    assert (again[0], again[1]["error"], again[2]["Retry-After"]) == (503, "READ_MODEL_BEHIND", "5")
    answer = await eventually(lambda: send(api, key, {"quantity": 7}, receive), lambda found: found[0] != 503, 30)
    assert answer[:2] == first[:2]


async def test_a_shipment_that_waited_for_stock_is_made_once(
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
    assert (pending[0], pending[1]["error"]) == (409, "ALLOCATION_PENDING")
    await api.order(placed["id"], lambda order: order["allocationStatus"] == "ALLOCATED")
    made = await send(api, key, {}, path, Prefer="wait=1")
    assert made[0] < 300, made
    command = made[1]["data"]["commandId"]
    await eventually(lambda: mongo.collection("commands_v1").find_one({"_id": command, "status": "accepted"}), bool, 20)
    forgotten = {"$set": {"answer": None, "leasedUntil": first_instant()}}
    await mongo.collection("idempotency").update_one({"_id": key}, forgotten)  # as if it died before it answered
    assert (await send(api, key, {}, path))[:2] == made[:2]


def first_instant() -> Any:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(0, UTC)


async def test_many_at_once_place_one_order(api: Api, unique: Unique, order: Body) -> None:
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
async def test_a_pending_answer_is_kept_too(api: Api, unique: Unique, order: Body, prefer: str) -> None:
    key, body = unique("key"), order(unique("p"))
    first, again = await send(api, key, body, Prefer=prefer), await send(api, key, body)
    assert (first[0], again[0], first[1]) == (202, 202, again[1])
