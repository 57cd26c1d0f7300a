"""What a request says and this API does not know is refused, never ignored; what the earlier system took still is."""

from collections.abc import Callable
from typing import Any

import pytest
from system import Api

Body = Callable[..., dict[str, Any]]
Unique = Callable[[str], str]


async def errors_of(api: Api, method: str, path: str, body: Any = None, code: str = "VALIDATION_FAILED") -> Any:
    status, answer, _ = await api(method, path, body)
    assert (status, answer["success"], answer["error"]) == (400, False, code), answer
    return answer["errors"]


@pytest.mark.parametrize(
    ("method", "path", "body", "field", "meant"),
    [
        ("POST", "/orders/{}/shipments", {"items": [{"lineId": "1", "quantity": 1}]}, "items", "lines"),
        ("POST", "/orders/{}/returns/r/receive", {"items": []}, "items", "lines"),
        ("POST", "/orders/{}/shipments/s/deliver", {"line": {"lineId": "1", "quantity": 1}}, "line", "lines"),
        ("POST", "/orders/{}/hold", {"note": "x"}, "note", "reason"),
        ("PUT", "/orders/{}/status", {"status": "SHIPPED", "shipment": "s"}, "shipment", "shipmentId"),
        ("DELETE", "/orders/{}", {"reasn": "x"}, "reasn", "reason"),
        ("PUT", "/inventory/{}", {"quantity": 1, "expectedVersion": 3}, "expectedVersion", None),
        ("POST", "/inventory/{}/allocate", {"orderId": "o", "quantity": 1, "policy": "PARTIAL"}, "policy", None),
        ("POST", "/letters/order/{}/discard", {"reason": "x", "command": "c"}, "command", "commandId"),
        ("POST", "/letters/order/{}/retry", {"limit": 1}, "limit", None),
    ],
)
async def test_an_unknown_field_is_400_and_does_nothing(
    api: Api, unique: Unique, method: str, path: str, body: Any, field: str, meant: str | None
) -> None:
    if "discard" in path:
        body = body | {"commandId": "c"}
    said = (await errors_of(api, method, path.format(unique("strict")), body))[field]
    assert said.startswith(f"unknown field `{field}`")
    assert f"did you mean `{meant}`?" in said if meant else "did you mean" not in said


async def test_an_unknown_field_ships_nothing(api: Api, unique: Unique) -> None:
    product = unique("boots")
    await api.stock(product, 3)
    order = await api.place((product, 3))
    await api.order(order["id"], lambda found: found["allocationStatus"] == "ALLOCATED")
    await errors_of(api, "POST", f"/orders/{order['id']}/shipments", {"items": [{"lineId": "1", "quantity": 1}]})
    status, answer, _ = await api(
        "POST", f"/orders/{order['id']}/shipments", {"lines": [{"lineId": "1", "quantity": 1}]}
    )
    assert (status, answer["data"]["status"]) == (201, "PARTIALLY_SHIPPED")


@pytest.mark.parametrize(
    ("changes", "field", "meant"),
    [
        ({"lines": []}, "lines", "items"),
        ({"customer_id": "x"}, "customer_id", "customerId"),
        ({"id": "x"}, "id", "orderId"),
        ({"discount": 1}, "discount", None),
    ],
)
async def test_an_unknown_field_of_an_order_is_named(
    api: Api, order: Body, changes: Any, field: str, meant: str | None
) -> None:
    said = (await errors_of(api, "POST", "/orders", order(**changes), "INVALID_ORDER"))[field]
    assert f"did you mean `{meant}`?" in said if meant else "known are `orderId`" in said


async def test_unknown_fields_within_an_order_are_named_by_their_path(api: Api, order: Body) -> None:
    body = order()
    body["items"][0] |= {"sku": "x"}
    body["shippingAddress"] = body["shippingAddress"] | {"streeet": "x"}
    errors = await errors_of(api, "POST", "/orders", body, "INVALID_ORDER")
    assert errors == {
        "items.0.sku": "unknown field `sku`: did you mean `productId`?",
        "shippingAddress.streeet": "unknown field `streeet`: did you mean `street`?",
    }


async def test_what_the_earlier_system_showed_may_be_sent_back(api: Api, order: Body, unique: Unique) -> None:
    product, number = unique("boots"), unique("order")
    stale = {"id": product, "productId": product, "availableQuantity": 7, "allocatedQuantity": 2, "status": "AVAILABLE"}
    status, answer, _ = await api("PUT", f"/inventory/{product}", {"quantity": 5, **stale})
    assert (status, answer["data"]["availableQuantity"]) == (200, 5)
    body = order(product, status="REGISTERED", createdAt="2020-01-01", orderId=number)
    status, answer, _ = await api("POST", "/orders", body)
    assert (status, answer["data"]["id"]) == (201, number)
    status, answer, _ = await api("PUT", f"/orders/{number}/status", {"orderId": number, "status": "CANCELLED"})
    assert (status, answer["data"]["status"]) == (200, "CANCELLED")
