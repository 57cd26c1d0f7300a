"""Unknown parts of a request are refused, never ignored, except fields that the previous system accepted."""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from system import Api

from web.documents.openapi import document

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
async def test_an_unknown_field_is_400_and_changes_nothing(
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


async def test_fields_that_the_previous_system_showed_may_be_sent_back(api: Api, order: Body, unique: Unique) -> None:
    product, number = unique("boots"), unique("order")
    stale = {"id": product, "productId": product, "availableQuantity": 7, "allocatedQuantity": 2, "status": "AVAILABLE"}
    status, answer, _ = await api("PUT", f"/inventory/{product}", {"quantity": 5, **stale})
    assert (status, answer["data"]["availableQuantity"]) == (200, 5)
    body = order(product, status="REGISTERED", createdAt="2020-01-01", orderId=number)
    status, answer, _ = await api("POST", "/orders", body)
    assert (status, answer["data"]["id"]) == (201, number)
    status, answer, _ = await api("PUT", f"/orders/{number}/status", {"orderId": number, "status": "CANCELLED"})
    assert (status, answer["data"]["status"]) == (200, "CANCELLED")


async def test_the_whole_address_is_kept_and_shown_everywhere(api: Api, order: Body, unique: Unique) -> None:
    sent = {"recipient": "Zoë Ó Súilleabháin", "company": "Acme Ltd", "addressLine1": "1 High St", "street2": "Flat 2",
            "city": "Dubai", "country": "AE", "phoneNumber": "+971 4 000 0000", "email": "zoe@example.com"}  # fmt: skip
    kept = {"name": "Zoë Ó Súilleabháin", "company": "Acme Ltd", "street": "1 High St", "street2": "Flat 2",
            "city": "Dubai", "state": "", "zipCode": "", "country": "AE", "phone": "+971 4 000 0000",
            "email": "zoe@example.com"}  # fmt: skip
    product = unique("boots")
    await api.stock(product, 1)
    status, answer, _ = await api("POST", "/orders", order(product, shippingAddress=sent, billingAddress=None))
    assert status == 201, answer
    order_id = answer["data"]["id"]
    shown = await api.order(order_id, lambda found: found["version"] >= 2)
    assert shown["shippingAddress"] == shown["billingAddress"] == kept
    _, past, _ = await api("GET", f"/orders/{order_id}?version=1")
    assert past["data"]["shippingAddress"] == kept
    _, history, _ = await api("GET", f"/orders/{order_id}/events")
    assert history["data"][0]["data"]["shippingAddress"] == kept
    assert (await api("POST", "/orders", order(product, shippingAddress=sent, orderId=order_id)))[0] == 409
    whole = order(product, shippingAddress=kept, billingAddress=kept, orderId=order_id)
    assert (await api("POST", "/orders", whole))[0] == 201
    errors = await errors_of(api, "POST", "/orders", order(shippingAddress=sent | {"country": "GB"}), "INVALID_ORDER")
    assert errors == {"shippingAddress.zipCode": "Field required"}


# --- ids


@pytest.mark.parametrize("odd", ["..", " ", "a\u200bb", "a\u00a0b", "cafe\u0301", "\u202ea"])
async def test_ids_that_can_be_mistaken_for_others_are_refused_by_name(
    api: Api, order: Body, unique: Unique, odd: str
) -> None:
    for changes, field in (({"orderId": odd}, "orderId"), ({"customerId": odd}, "customerId"),
                           ({"product": odd}, "items.0.productId")):  # fmt: skip
        errors = await errors_of(api, "POST", "/orders", order(**changes), "INVALID_ID")
        assert list(errors) == [field]
    if odd != "..":  # clients never send it in a path
        errors = await errors_of(api, "PUT", f"/inventory/{quote(odd)}", {"quantity": 1}, "INVALID_ID")
        assert list(errors) == ["productId"]
        assert (await api("GET", f"/inventory/{quote(odd)}"))[0] == 404
    product = unique("boots")
    await api.stock(product, 1)
    placed = await api.place((product, 1))
    await api.order(placed["id"], lambda found: found["allocationStatus"] == "ALLOCATED")
    errors = await errors_of(api, "POST", f"/orders/{placed['id']}/shipments", {"shipmentId": odd}, "INVALID_ID")
    assert list(errors) == ["shipmentId"]
    by_hand = {"orderId": odd, "quantity": 1}
    assert list(await errors_of(api, "POST", f"/inventory/{product}/allocate", by_hand, "INVALID_ID")) == ["orderId"]


async def test_ids_may_have_slashes_and_any_script(api: Api, order: Body, unique: Unique) -> None:
    for name in ("a/b?c#d%20", "été 漢🧦", "..."):
        name = f"{name}-{unique('id')}"
        status, answer, _ = await api("POST", "/orders", order(name, orderId=name, customerId=name))
        assert (status, answer["data"]["id"]) == (201, name)
        assert (await api.order(quote(name, safe="")))["customerId"] == name


# --- query parameters

IDS = {"orderId": "o", "lineId": "1", "shipmentId": "s", "returnId": "r", "holdId": "h", "productId": "p",
       "customerId": "c", "transferId": "t", "location": "l", "commandId": "c", "aggregate": "order",
       "key": "k", "topic": "order-events", "messageId": "m", "letterId": "0-0",
       "webhookId": "w"}  # fmt: skip
OPERATIONS = [
    (method.upper(), path.removeprefix("/api/v1").format_map(IDS), operation)
    for path, operations in document()["paths"].items()
    for method, operation in operations.items()
    if path.startswith("/api/v1")
]


def queries(operation: Any) -> dict[str, Any]:
    """Return parameter → schema."""
    return {each["name"]: each["schema"] for each in operation.get("parameters", []) if each["in"] == "query"}


@pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS, ids=[f"{m} {p}" for m, p, _ in OPERATIONS])
async def test_every_path_refuses_unknown_parameters(api: Api, method: str, path: str, operation: Any) -> None:
    known = queries(operation)
    for name in ("surprise", "customerId[$ne]", "$where", ""):
        said = (await errors_of(api, method, f"{path}?{name}=1"))[name]
        assert said.startswith(f"unknown parameter `{name}`")
    for name, schema in known.items():
        assert "is empty" in (await errors_of(api, method, f"{path}?{name}="))[name]
        assert "is empty" in (await errors_of(api, method, f"{path}?{name}"))[name]
        unlike = name.upper() + "_"
        assert f"did you mean `{name}`?" in (await errors_of(api, method, f"{path}?{unlike}=1"))[unlike]
        twice = "&".join([f"{name}=1"] * (51 if schema.get("type") == "array" else 2))
        assert "times; send" in (await errors_of(api, method, f"{path}?{twice}"))[name]
        if allowed := schema.get("items", schema).get("enum"):
            assert allowed[0] in (await errors_of(api, method, f"{path}?{name}=FLYING"))[name]


@pytest.mark.parametrize("path", ["/openapi.json", "/asyncapi.json"])
async def test_the_api_documents_accept_no_parameters(api: Api, path: str) -> None:
    async with api.session.get(path, params={"format": "yaml"}) as response:
        assert (response.status, list((await response.json())["errors"])) == (400, ["format"])


@pytest.mark.parametrize("path", ["/", "/livez", "/readyz", "/metrics", "/api-docs", "/static/app.js"])
async def test_pages_and_probes_accept_any_parameter(api: Api, path: str) -> None:
    async with api.session.get(path, params={"utm_source": "x"}) as response:
        assert response.status == 200


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("/orders?customerid=x", "customerid: unknown parameter `customerid`: did you mean `customerId`?"),
        ("/orders?status=FLYING", "status: must be one of REGISTERED, PARTIALLY_SHIPPED, SHIPPED, PARTIALLY_DELIVERED, "
                                  "DELIVERED, CANCELLED, not 'FLYING'"),
        ("/orders?status=SHIPPED,DELIVERED", "not 'SHIPPED,DELIVERED'"),
        ("/orders?allocationStatus=allocated", "must be one of PENDING, ALLOCATED,"),
        ("/inventory?status=SHIPPED", "must be one of AVAILABLE, OUT_OF_STOCK, DISCONTINUED, not 'SHIPPED'"),
        ("/orders?archived=TRUE", "archived: must be one of false, true, not 'TRUE'"),
        ("/orders?page=2", "unknown parameter `page`: did you mean `cursor`?"),
        ("/orders?limit=5&limit=6", "limit: was sent 2 times; send it once"),
        ("/orders/o?version=1&version=2", "version: was sent 2 times; send it once"),
        ("/letters?kind=invalid&cursor=order/x", "cursor: must be the nextCursor"),
        ("/events?types=OrderPlaced&types=Nope", "types: unknown event types: Nope"),
        ("/events?aggregate=orders", "aggregate: must be one of order, inventory, not 'orders'"),
    ],
)  # fmt: skip
async def test_the_error_in_a_query_is_described(api: Api, path: str, sentence: str) -> None:
    status, answer, _ = await api("GET", path)
    assert (status, answer["error"]) == (400, "VALIDATION_FAILED")
    assert sentence in answer["message"]


async def test_a_repeated_filter_means_any_of_its_values(api: Api, unique: Unique) -> None:
    product, ada, bob, eve = unique("boots"), unique("ada"), unique("bob"), unique("eve")
    await api.stock(product, 9)
    orders = {customer: (await api.place((product, 1), customerId=customer))["id"] for customer in (ada, bob, eve)}
    await api("DELETE", f"/orders/{orders[bob]}")
    await api.order(orders[bob], lambda found: found["status"] == "CANCELLED")
    for order_id in orders.values():
        await api.order(order_id)

    async def found(query: str) -> set[str]:
        status, answer, _ = await api("GET", f"/orders?{query}")
        assert status == 200, answer
        return {each["customerId"] for each in answer["data"]}

    both = f"customerId={ada}&customerId={bob}"
    assert await found(both) == {ada, bob}
    assert await found(f"{both}&customerId={ada}") == {ada, bob}
    assert await found(f"{both}&status=SHIPPED&status=CANCELLED") == {bob}
    assert await found(f"{both}&status=CANCELLED&status=REGISTERED") == {ada, bob}


async def test_a_cursor_is_valid_only_with_its_filters(api: Api, unique: Unique) -> None:
    customer, product = unique("ada"), unique("boots")
    for _ in range(3):
        await api.order((await api.place((product, 1), customerId=customer))["id"])
    _, first, _ = await api("GET", f"/orders?customerId={customer}&limit=2")
    cursor = first["nextCursor"]
    _, second, _ = await api("GET", f"/orders?customerId={customer}&limit=5&cursor={cursor}")
    assert (len(first["data"]), len(second["data"]), second["nextCursor"]) == (2, 1, None)
    for other in ("", f"customerId={unique('bob')}&", f"customerId={customer}&status=REGISTERED&"):
        errors = await errors_of(api, "GET", f"/orders?{other}cursor={cursor}")
        assert errors == {"cursor": "must be the nextCursor of an earlier answer to the same request"}
    assert "cursor" in await errors_of(api, "GET", f"/customers/{customer}/orders?cursor={cursor}")
