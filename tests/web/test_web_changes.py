"""Changes and corrections of orders, from the request to the read models."""

from collections.abc import Callable
from functools import partial
from typing import Any

from system import ADDRESS, Api, eventually

Unique = Callable[[str], str]


def line(order: dict[str, Any], line_id: str) -> Any:
    return next((item for item in order["items"] if item["lineId"] == line_id), {})


async def figure(api: Api, product: str, name: str) -> Any:
    return (await api("GET", f"/inventory/{product}"))[1]["data"][name]


async def test_lines_are_changed_and_stock_follows(api: Api, unique: Unique) -> None:
    boots, socks, shoes = unique("boots"), unique("socks"), unique("shoes")
    for product in (boots, socks, shoes):
        await api.stock(product, 10)
    order = (await api.place((boots, 2)))["id"]
    path = f"/orders/{order}/lines"
    add = {"lineId": "s", "productId": socks, "quantity": 2, "price": 5}
    for _ in range(2):
        assert (await api("POST", path, add))[0] == 201
    status, answer, _ = await api("PUT", f"{path}/1/quantity", {"quantity": 5, "totalCost": 1})
    assert (status, answer["error"]) == (422, "TOTAL_MISMATCH")
    assert (await api("PUT", f"{path}/1/quantity", {"quantity": 5}))[0] == 200
    assert (await api("PUT", f"{path}/1/quantity", {"quantity": 4}))[0] == 200
    status, answer, _ = await api("POST", f"{path}/s/replace", {"productId": shoes, "quantity": 1, "price": "7.50"})
    assert status == 201, answer
    new = answer["data"]["lineId"]
    wanted = {"1": 2, "1.2": 2, "s": 0, new: 1}
    shown = await api.order(order, lambda order: all(line(order, i).get("allocated") == n for i, n in wanted.items()))
    assert {item["lineId"]: item["quantity"] for item in shown["items"]} == wanted
    assert line(shown, "1.2")["partOf"] == "1"
    cost = sum(item["quantity"] * float(item["price"]["value"]) for item in shown["items"])
    assert float(shown["totalCost"]["value"]) == cost
    for product, allocated in ((boots, 4), (socks, 0), (shoes, 1)):
        assert await eventually(partial(figure, api, product, "allocatedQuantity"), allocated.__eq__) == allocated


async def test_the_address_and_the_policy_are_changed(api: Api, unique: Unique) -> None:
    product, elsewhere = unique("p"), {**ADDRESS, "street": "2 Low Street"}
    await api.stock(product, 1)
    order = (await api.place((product, 3)))["id"]
    assert (await api("PUT", f"/orders/{order}/shipping-address", {"shippingAddress": elsewhere}))[0] == 200
    await api.order(order, lambda order: line(order, "1")["backordered"] == 2)
    assert (await api("PUT", f"/orders/{order}/policy", {"policy": "PARTIAL"}))[0] == 200
    shown = await api.order(order, lambda order: order["policy"] == "PARTIAL" and line(order, "1")["cancelled"] == 2)
    assert shown["shippingAddress"]["street"] == "2 Low Street"
    assert shown["billingAddress"]["street"] == ADDRESS["street"]
    assert line(shown, "1")["allocated"] == 1


async def test_lost_units_are_sent_again(api: Api, unique: Unique) -> None:
    product = unique("p")
    await api.stock(product, 10)
    order = (await api.place((product, 3)))["id"]
    part = {"lines": [{"lineId": "1", "quantity": 1}]}
    for path, body in (("shipments", {"shipmentId": "s"}), ("shipments/s/deliver", part)):
        assert (await api("POST", f"/orders/{order}/{path}", body))[0] < 300
    status, answer, _ = await api("POST", f"/orders/{order}/shipments/s/close", {"rest": "RESEND"})
    assert (status, answer["data"]["status"]) == (200, "PARTIALLY_DELIVERED")
    shown = await api.order(order, lambda order: line(order, "1.2").get("allocated") == 2)
    assert (line(shown, "1")["lost"], shown["shipments"][0]["status"]) == (2, "CLOSED")
    assert (await api("POST", f"/orders/{order}/shipments", {"shipmentId": "t"}))[0] == 201
    status, answer, _ = await api("POST", f"/orders/{order}/shipments/t/deliver")
    assert (status, answer["data"]["status"]) == (200, "DELIVERED")
    assert await eventually(partial(figure, api, product, "onHandQuantity"), (5).__eq__) == 5
