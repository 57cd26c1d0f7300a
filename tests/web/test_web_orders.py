"""An order's life over HTTP, and every no it can get."""

from collections.abc import Callable
from typing import Any

import pytest
from system import Api

Unique = Callable[[str], str]
Body = Callable[..., dict[str, Any]]


async def test_the_seed_systems_order_is_placed_and_shipped_at_once(api: Api, unique: Unique) -> None:
    boots, laces = unique("boots"), unique("laces")
    await api.stock(boots, 100)
    await api.stock(laces, 100)
    address = {"street": "1 High St", "city": "Bath", "state": "SOM", "zipcode": "BA1", "country": "GB"}
    items = [
        {"productId": boots, "quantity": 5, "price": 19.99},
        {"productId": laces, "quantity": 1, "price": 10.59},
    ]
    body = {"customerId": "c-1", "items": items, "shippingAddress": address, "billingAddress": address}
    body |= {"totalCost": "110.53999999999999", "issuedAt": "2026-11-23T10:00:00.000Z"}
    status, answer, headers = await api("POST", "/orders", body)
    assert (status, answer["success"]) == (201, True)
    assert set(answer["data"]) >= {"id", "commandId", "version", "status"}
    assert headers["Location"] == f"/api/v1/orders/{answer['data']['id']}"
    status, shipped, headers = await api("PUT", f"/orders/{answer['data']['id']}/status", {"status": "SHIPPED"})
    assert (status, shipped["data"]["status"]) == (200, "SHIPPED")
    token = {"Consistency-Token": headers["Consistency-Token"]}
    _, found, headers = await api("GET", f"/orders/{answer['data']['id']}", headers=token)
    order = found["data"]
    assert (order["status"], order["totalCost"]) == ("SHIPPED", {"currency": "EUR", "value": "110.54"})
    assert order["shippingAddress"]["zipCode"] == "BA1"
    assert headers["ETag"] == f'"{order["version"]}"'


async def shipped(api: Api, unique: Unique, quantity: int = 2) -> tuple[str, str]:
    """Place and ship an order; return its id and its shipment's."""
    product = unique("p")
    await api.stock(product, 10)
    order = await api.place((product, quantity))
    status, answer, _ = await api("POST", f"/orders/{order['id']}/shipments", {"carrier": "DHL"})
    assert status == 201, answer
    return order["id"], answer["data"]["shipmentId"]


async def test_a_shipment_is_delivered_in_parts_returned_and_counted_in(api: Api, unique: Unique) -> None:
    order, shipment = await shipped(api, unique)
    one = {"lines": [{"lineId": "1", "quantity": 1}]}
    status, answer, _ = await api("POST", f"/orders/{order}/shipments/{shipment}/deliver", one)
    assert (status, answer["data"]["status"]) == (200, "PARTIALLY_DELIVERED")
    status, answer, _ = await api("POST", f"/orders/{order}/shipments/{shipment}/deliver")
    assert (status, answer["data"]["status"]) == (200, "DELIVERED")
    status, answer, _ = await api("POST", f"/orders/{order}/returns", {**one, "reason": "too small"})
    assert status == 201
    counted = {"lines": [{"lineId": "1", "received": 1, "damaged": 1}]}
    status, _, _ = await api("POST", f"/orders/{order}/returns/{answer['data']['returnId']}/receive", counted)
    assert status == 200
    found = await api.order(order, lambda order: order["returnStatus"] == "PARTIALLY_RETURNED")
    assert found["items"][0]["returned"] == 1


async def test_a_return_arrives_in_several_parcels(api: Api, unique: Unique) -> None:
    product = unique("p")
    await api.stock(product, 3)
    order = (await api.place((product, 3)))["id"]
    for path, body in (("shipments", {"shipmentId": "s"}), ("shipments/s/deliver", {})):
        assert (await api("POST", f"/orders/{order}/{path}", body))[0] < 300
    lines = {"lines": [{"lineId": "1", "quantity": 3}]}
    assert (await api("POST", f"/orders/{order}/returns", {**lines, "returnId": "r"}))[0] == 201
    one, receive = {"lines": [{"lineId": "1", "received": 1}]}, f"/orders/{order}/returns/r/receive"
    for parcel in ({**one, "receiptId": "a"}, {**one, "receiptId": "a"}, {**one, "receiptId": "b"}, {}, {}):
        status, answer, _ = await api("POST", receive, parcel)
        assert (status, bool(answer["data"]["receiptId"])) == (200, True)
    found = await api.order(order, lambda order: order["returnStatus"] == "RETURNED")
    assert [line["received"] for line in found["returns"][0]["lines"]] == [3]


async def test_an_id_belongs_to_one_shipment_and_to_one_return(api: Api, unique: Unique) -> None:
    product = unique("p")
    await api.stock(product, 10)
    order = (await api.place((product, 3)))["id"]
    one, two = ({"lines": [{"lineId": "1", "quantity": units}]} for units in (1, 2))
    for content, wanted in ((one, 201), (one, 201), (two, 409), ({}, 409), ({**one, "carrier": "DHL"}, 409)):
        status, answer, _ = await api("POST", f"/orders/{order}/shipments", {**content, "shipmentId": "s"})
        assert status == wanted, answer
    assert answer["error"] == "SHIPMENT_EXISTS"
    assert answer["details"]["lines"] == [{"lineId": "1", "quantity": 1}]
    assert (answer["details"]["status"], answer["details"]["carrier"]) == ("SHIPPED", None)
    for content, wanted in ((one, 200), ({}, 200), (two, 422)):
        status, answer, _ = await api("POST", f"/orders/{order}/shipments/s/deliver", content)
        assert status == wanted, answer
    for content, wanted in ((one, 201), (one, 201), ({**one, "reason": "late"}, 409), (two, 409)):
        status, answer, _ = await api("POST", f"/orders/{order}/returns", {**content, "returnId": "r"})
        assert status == wanted, answer
    assert (answer["error"], answer["details"]["status"]) == ("RETURN_EXISTS", "OPEN")
    whole, none = ({"lines": [{"lineId": "1", "received": units}]} for units in (1, 0))
    for counted, wanted in ((whole, 200), (whole, 200), ({}, 200), (none, 409)):
        status, answer, headers = await api("POST", f"/orders/{order}/returns/r/receive", counted)
        assert status == wanted, answer
    assert answer["error"] == "RETURN_ALREADY_RECEIVED"
    assert answer["details"]["lines"] == [{"lineId": "1", "received": 1, "damaged": 0}]
    _, shown, _ = await api("GET", f"/orders/{order}", headers={"Consistency-Token": headers["Consistency-Token"]})
    version = shown["data"]["version"]
    assert (await api("PUT", f"/orders/{order}/status", {"status": "SHIPPED"}))[1]["data"]["version"] == version + 1


async def test_units_of_a_cancelled_shipment_return_to_the_shelf(api: Api, unique: Unique) -> None:
    order, shipment = await shipped(api, unique)
    status, answer, _ = await api("DELETE", f"/orders/{order}/shipments/{shipment}")
    assert (status, answer["data"]["status"]) == (200, "REGISTERED")
    deliver = await api("POST", f"/orders/{order}/shipments/{shipment}/deliver")
    assert (deliver[0], deliver[1]["error"]) == (422, "SHIPMENT_IS_CANCELLED")


async def test_a_held_order_is_not_shipped_until_it_is_released(api: Api, unique: Unique) -> None:
    product = unique("p")
    await api.stock(product, 1)
    order = (await api.place((product, 1)))["id"]
    assert (await api("POST", f"/orders/{order}/hold", {"reason": "fraud check"}))[0] == 200
    status, answer, _ = await api("POST", f"/orders/{order}/shipments", {})
    assert (status, answer["error"], answer["details"]["reason"]) == (422, "ORDER_ON_HOLD", "fraud check")
    assert (await api("DELETE", f"/orders/{order}/hold"))[0] == 200
    assert (await api("POST", f"/orders/{order}/shipments", {}))[0] == 201


async def test_several_holds_are_released_one_by_one(api: Api, unique: Unique) -> None:
    product = unique("p")
    await api.stock(product, 1)
    order = (await api.place((product, 1)))["id"]
    path = f"/orders/{order}/hold"
    assert (await api("POST", path, {"holdId": "fraud", "reason": "fraud check"}))[1]["data"]["holdId"] == "fraud"
    other = (await api("POST", path, {"reason": "the address is incomplete"}))[1]["data"]["holdId"]
    status, answer, _ = await api("DELETE", path)
    assert (status, answer["error"]) == (409, "SEVERAL_HOLDS")
    assert [hold["holdId"] for hold in answer["details"]["holds"]] == ["fraud", other]
    shown = await api.order(order, lambda order: len(order.get("holds", ())) == 2)
    assert shown["holds"] == answer["details"]["holds"]
    assert shown["hold"] == {"reason": "the address is incomplete"}
    assert (await api("DELETE", f"{path}s/fraud"))[0] == 200
    assert (await api("POST", f"/orders/{order}/shipments", {}))[1]["error"] == "ORDER_ON_HOLD"
    assert (await api("DELETE", f"{path}s/{other}"))[0] == 200
    assert (await api("POST", f"/orders/{order}/shipments", {}))[0] == 201
    await api.order(order, lambda order: order["hold"] is None and "holds" not in order)


@pytest.mark.parametrize("how", ["body", "query", "nothing"])
async def test_cancelling_twice_is_cancelling_once(api: Api, unique: Unique, how: str) -> None:
    order = (await api.place((unique("unknown"), 1)))["id"]
    path = f"/orders/{order}?reason=late" if how == "query" else f"/orders/{order}"
    for _ in range(2):
        status, answer, _ = await api("DELETE", path, {"reason": "late"} if how == "body" else None)
        assert (status, answer["data"]["status"]) == (200, "CANCELLED")
    status, answer, _ = await api("PUT", f"/orders/{order}/status", {"status": "SHIPPED"})
    assert (status, answer["error"]) == (422, "CANCELLED_ORDER_MODIFICATION")


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("DELETE", "", None, 422, "ORDER_CANNOT_BE_CANCELLED"),
        ("PUT", "/status", {"status": "REGISTERED"}, 422, "INVALID_STATUS_TRANSITION"),
        ("POST", "/lines/cancel", {"lines": [{"lineId": "1", "quantity": 1}]}, 422, "MORE_THAN_UNSHIPPED"),
        ("POST", "/lines/cancel", {"lines": [{"lineId": "9", "quantity": 1}]}, 404, "LINE_NOT_FOUND"),
        ("POST", "/shipments", {"lines": [{"lineId": "1", "quantity": 1}]}, 422, "NOT_ALLOCATED"),
        ("POST", "/shipments/{s}/deliver", {"lines": [{"lineId": "1", "quantity": 9}]}, 422, "MORE_THAN_SHIPPED"),
        ("POST", "/shipments/nope/deliver", None, 404, "SHIPMENT_NOT_FOUND"),
        ("DELETE", "/shipments/nope", None, 404, "SHIPMENT_NOT_FOUND"),
        ("POST", "/returns", {"lines": [{"lineId": "1", "quantity": 1}]}, 422, "MORE_THAN_DELIVERED"),
        ("POST", "/returns/nope/receive", {}, 404, "RETURN_NOT_FOUND"),
    ],
)
async def test_a_shipped_order_rejects_cancellations(
    api: Api, unique: Unique, method: str, path: str, body: Any, status: int, code: str
) -> None:
    order, shipment = await shipped(api, unique)
    got, answer, headers = await api(method, f"/orders/{order}{path.format(s=shipment)}", body)
    assert (got, answer["success"], answer["error"]) == (status, False, code)
    assert answer["message"]
    assert "Consistency-Token" in headers


async def test_a_delivered_shipment_is_not_cancelled(api: Api, unique: Unique) -> None:
    order, shipment = await shipped(api, unique)
    assert (await api("POST", f"/orders/{order}/shipments/{shipment}/deliver"))[0] == 200
    status, answer, _ = await api("DELETE", f"/orders/{order}/shipments/{shipment}")
    assert (status, answer["error"]) == (422, "SHIPMENT_ALREADY_DELIVERED")


@pytest.mark.parametrize("path", ["", "/hold", "/shipments/s"])
async def test_commands_to_an_unknown_order_are_404(api: Api, unique: Unique, path: str) -> None:
    status, answer, _ = await api("DELETE", f"/orders/{unique('nope')}{path}")
    assert (status, answer["error"]) == (404, "ORDER_NOT_FOUND")


async def test_an_id_belongs_to_one_order(api: Api, unique: Unique, order: Body) -> None:
    mine = order(unique("p"), orderId=unique("mine"))
    assert [(await api("POST", "/orders", mine))[0] for _ in range(2)] == [201, 201]
    status, answer, _ = await api("POST", "/orders", mine | {"customerId": "another"})
    assert (status, answer["error"]) == (409, "ORDER_EXISTS")


async def test_a_wrong_total_is_refused(api: Api, order: Body) -> None:
    status, answer, _ = await api("POST", "/orders", order(totalCost="11.00"))
    assert (status, answer["error"]) == (422, "TOTAL_MISMATCH")
