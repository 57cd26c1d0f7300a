"""Time travel and histories over HTTP."""

from collections.abc import Callable
from typing import Any

import pytest
from system import ADDRESS, Api, eventually

Unique = Callable[[str], str]
ITEM = {"quantity": 1, "price": "10.00"}
BODY = {"customerId": "c-1", "shippingAddress": ADDRESS, "billingAddress": ADDRESS}


async def held_order(api: Api, unique: Unique) -> tuple[str, list[Any]]:
    """Return an order that was placed, allocated and held, and what the API showed in between."""
    product, seen = unique("boots"), []
    await api.stock(product, 3)
    order = (await api.place((product, 2)))["id"]
    seen.append(await api.order(order, lambda found: found["allocationStatus"] == "ALLOCATED"))
    _, _, headers = await api("POST", f"/orders/{order}/hold", {"reason": "fraud check"})
    token = {"Consistency-Token": headers["Consistency-Token"]}
    seen.append((await api("GET", f"/orders/{order}", headers=token))[1]["data"])
    return order, seen


async def test_an_order_as_it_was(api: Api, unique: Unique) -> None:
    order, seen = await held_order(api, unique)
    for document in seen:
        for moment in (f"version={document['version']}", f"asOf={document['updatedAt']}"):
            if moment.startswith("asOf") and document["updatedAt"] == seen[0]["createdAt"]:
                continue  # placed and allocated have the same time: that of the command
            status, answer, headers = await api("GET", f"/orders/{order}?{moment}")
            assert (status, answer["data"]) == (200, document)
            assert headers["ETag"] == f'"{document["version"]}"'
    status, answer, _ = await api("GET", f"/orders/{order}?version=1")
    assert (answer["data"]["allocationStatus"], answer["data"]["hold"]) == ("PENDING", None)
    etag = {"If-None-Match": '"1"'}
    assert (await api("GET", f"/orders/{order}?version=1", headers=etag))[0] == 304


async def test_a_product_as_it_was(api: Api, unique: Unique) -> None:
    product = unique("boots")
    await api.stock(product, 3)
    _, _, headers = await api("POST", f"/inventory/{product}/receive", {"quantity": 4})
    token = {"Consistency-Token": headers["Consistency-Token"]}
    _, today, _ = await api("GET", f"/inventory/{product}", headers=token)
    _, was, _ = await api("GET", f"/inventory/{product}?version=1")
    assert (was["data"]["availableQuantity"], today["data"]["availableQuantity"]) == (3, 7)
    assert was["data"].keys() == today["data"].keys()
    assert (await api("GET", f"/inventory/{product}?version=2"))[1] == today
    assert (await api("GET", f"/inventory/{product}?asOf={today['data']['updatedAt']}"))[1] == today


@pytest.mark.parametrize(
    ("asked", "status", "code", "says"),
    [
        ("version=99", 404, "VERSION_NOT_FOUND", "has no version 99 yet"),
        ("asOf=2001-01-01", 404, "VERSION_NOT_FOUND", "it was created at"),
        ("version=0", 400, "VALIDATION_FAILED", "a whole number from 1"),
        ("version=-1", 400, "VALIDATION_FAILED", "a whole number from 1"),
        ("version=", 400, "VALIDATION_FAILED", "is empty"),
        ("version=1.5", 400, "VALIDATION_FAILED", "a whole number from 1"),
        ("version=99999999999999999999", 400, "VALIDATION_FAILED", "a whole number from 1"),
        ("asOf=yesterday", 400, "VALIDATION_FAILED", "must be a time"),
        ("asOf=", 400, "VALIDATION_FAILED", "is empty"),
        ("version=1&asOf=2026-01-01", 400, "VALIDATION_FAILED", "cannot be combined with version"),
    ],
)
async def test_an_invalid_moment_is_refused(
    api: Api, unique: Unique, asked: str, status: int, code: str, says: str
) -> None:
    product = unique("boots")
    await api.stock(product, 1)
    order = (await api.place((product, 1)))["id"]
    await api.order(order)
    for path in (f"/orders/{order}", f"/inventory/{product}"):
        found, answer, _ = await api("GET", f"{path}?{asked}")
        assert (found, answer["error"]) == (status, code), answer
        assert says in answer["message"]


async def test_an_unknown_document_has_no_past(api: Api, unique: Unique) -> None:
    assert (await api("GET", f"/orders/{unique('o')}?version=1"))[1]["error"] == "ORDER_NOT_FOUND"
    assert (await api("GET", f"/inventory/{unique('p')}?asOf=2026-01-01"))[1]["error"] == "PRODUCT_NOT_FOUND"


async def test_histories_name_the_commands_and_their_causes(api: Api, unique: Unique) -> None:
    product, order = unique("boots"), unique("order")
    await api.stock(product, 1)
    flow = {"Correlation-Id": unique("flow")}
    await api("POST", "/orders", {**BODY, "orderId": order, "items": [ITEM | {"productId": product}]}, headers=flow)
    await api.order(order, lambda found: found["allocationStatus"] == "ALLOCATED")

    async def histories() -> Any:
        return [
            (await api("GET", f"{path}"))[1]["data"]
            for path in (f"/orders/{order}/events", f"/inventory/{product}/ledger")
        ]

    (placed, recorded), (counted, reserved) = await eventually(
        histories, lambda found: all(entries[0]["commandType"] for entries in found)
    )
    assert [each["commandType"] for each in (placed, counted)] == ["PlaceOrder", "SetStock"]
    assert [each["commandType"] for each in (recorded, reserved)] == [None, None]  # their outcomes are not kept
    assert [each["type"] for each in (placed, recorded, counted, reserved)] == [
        "OrderPlaced",
        "AllocationRecorded",
        "StockAdjusted",
        "StockReserved",
    ]
    for entry in (placed, recorded, reserved):
        assert entry["correlationId"] == flow["Correlation-Id"]
        assert entry["commandId"] == entry["causationId"]
