"""Deadlines over HTTP: orders that must ship by a time, and commands that are valid until a time."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from system import Api, eventually

from streams.messages.envelope import instant_of

Unique = Callable[[str], str]


def soon(seconds: float) -> str:
    return instant_of(time.time() + seconds)


async def work(api: Api, customer: str) -> dict[str, Any]:
    """Return the late orders of a customer that can be picked."""
    _, found, _ = await api("GET", "/work-queue", params={"customerId": customer, "late": "true"})
    return {each["orderId"]: each for each in found["data"]}


async def test_an_order_that_has_not_shipped_in_time_is_late(api: Api, unique: Unique) -> None:
    product, customer = unique("p"), unique("c")
    await api.stock(product, 10)
    times = {"urgent": soon(1.5), "calm": soon(3_600), "any": None}
    placed = {name: await api.place((product, 1), customerId=customer, shipBy=at) for name, at in times.items()}
    order = await api.order(placed["urgent"]["id"], lambda order: order.get("late"))
    assert (order["shipBy"], order["whenLate"], order["status"]) == (times["urgent"], "KEEP", "REGISTERED")
    queue = await eventually(lambda: work(api, customer), bool)
    assert queue.keys() == {placed["urgent"]["id"]}
    assert queue[placed["urgent"]["id"]]["shipBy"] == times["urgent"]
    assert not (await api.order(placed["calm"]["id"]))["late"]
    assert "late" not in await api.order(placed["any"]["id"])
    _, events, _ = await api("GET", f"/orders/{placed['urgent']['id']}/events")
    assert [each["type"] for each in events["data"]].count("OrderLate") == 1
    await eventually(lambda: api("GET", "/summary"), lambda found: found[1]["data"]["orders"]["late"] >= 1)
    await api("POST", f"/orders/{placed['urgent']['id']}/shipments", {})
    await eventually(lambda: work(api, customer), lambda queue: not queue)


async def test_units_that_are_late_can_be_cancelled(api: Api, unique: Unique) -> None:
    product = unique("p")
    await api.stock(product, 1)
    placed = await api.place((product, 1), shipBy=soon(-1), whenLate="CANCEL")
    next_one = await api.place((product, 1))
    await api.order(placed["id"], lambda order: order["status"] == "CANCELLED")
    await api.order(next_one["id"], lambda order: order["allocationStatus"] == "ALLOCATED")


async def test_a_hold_ends_by_itself(api: Api, unique: Unique) -> None:
    product = unique("p")
    await api.stock(product, 10)
    orders = [(await api.place((product, 1)))["id"] for _ in range(2)]
    for order_id, when_over in zip(orders, ("RELEASE", "CANCEL"), strict=True):
        await api.order(order_id, lambda order: order["allocationStatus"] == "ALLOCATED")
        hold = {"holdId": "h", "reason": "check", "until": soon(1), "whenOver": when_over}
        assert (await api("POST", f"/orders/{order_id}/hold", hold))[0] == 200
    # Its version tells the end of the hold from the time before the read model has the hold: placed, allocated, held.
    await api.order(orders[0], lambda order: order["hold"] is None and order["version"] > 3)
    assert (await api("POST", f"/orders/{orders[0]}/shipments", {}))[0] == 201
    await api.order(orders[1], lambda order: order["status"] == "CANCELLED")
    _, events, _ = await api("GET", f"/orders/{orders[1]}/events")
    assert events["data"][-1]["data"]["reason"] == "HOLD_UNTIL"


async def test_a_reservation_expires(api: Api, unique: Unique) -> None:
    product = unique("p")
    await api.stock(product, 2)
    body = {"orderId": unique("basket"), "quantity": 2, "expiresAt": soon(1)}
    assert (await api("POST", f"/inventory/{product}/allocate", body))[0] in (200, 201)
    waiting = await api.place((product, 2))

    async def reserved() -> Any:
        return (await api("GET", f"/inventory/{product}/reservations"))[1]["data"]

    await api.order(waiting["id"], lambda order: order["allocationStatus"] == "ALLOCATED")
    found = await eventually(reserved, lambda found: [each["orderId"] for each in found] == [waiting["id"]])
    assert "expiresAt" not in found[0]


async def test_a_command_that_comes_too_late_changes_nothing(api: Api, unique: Unique) -> None:
    product = unique("p")
    await api.stock(product, 5)
    headers = {"Valid-Until": soon(-1)}
    status, body, _ = await api("PUT", f"/inventory/{product}", {"quantity": 9}, headers=headers)
    assert (status, body["error"]) == (422, "COMMAND_EXPIRED")
    status, body, _ = await api("PUT", f"/inventory/{product}", {"quantity": 9}, headers={"Valid-Until": soon(600)})
    assert (status, body["data"]["version"]) == (200, 2)
    envelope = {"type": "SetStock", "subject": product, "data": {"quantity": 3}, "validuntil": soon(-1)}
    _, sent, _ = await api("POST", "/commands", envelope)

    async def outcome() -> Any:
        return (await api("GET", sent["data"]["location"].removeprefix("/api/v1")))[1]["data"]

    found = await eventually(outcome, lambda found: found["status"] != "pending")
    assert (found["status"], found["code"]) == ("rejected", "COMMAND_EXPIRED")


@pytest.mark.parametrize(
    ("path", "header"), [("/inventory/p", {"Valid-Until": "soon"}), ("/work-queue?late=false", {})]
)
async def test_other_values_are_refused(api: Api, path: str, header: dict[str, str]) -> None:
    method, body = ("PUT", {"quantity": 1}) if header else ("GET", None)
    status, found, _ = await api(method, path, body, headers=header)
    assert (status, found["error"]) == (400, "VALIDATION_FAILED")
