"""Bad inputs get a sentence, never a trace."""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from system import Api

Body = Callable[..., dict[str, Any]]
JSON = {"Content-Type": "application/json"}


async def send(api: Api, data: bytes, path: str = "orders", method: str = "POST", **headers: str) -> tuple[int, Any]:
    async with api.session.request(method, path, data=data, headers=JSON | headers) as response:
        return response.status, await response.json()


@pytest.mark.parametrize("data", [b"{", b"nope", b"\xff", b'"\\ud800"', b"NaN", b"[]", b"1", b"[" * 100_000])
async def test_a_body_other_than_a_json_object_is_400(api: Api, data: bytes) -> None:
    status, answer = await send(api, data)
    assert (status, answer["success"], answer["error"]) == (400, False, "NOT_JSON")


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
async def test_another_content_type_than_json_is_415(api: Api, kind: str) -> None:
    async with api.session.post("orders", data=b"{}", headers={"Content-Type": kind}) as response:
        assert (response.status, (await response.json())["error"]) == (415, "UNSUPPORTED_MEDIA_TYPE")


async def test_a_megabyte_is_413(api: Api) -> None:
    status, answer = await send(api, b'{"a":"' + b"x" * (1 << 20) + b'"}')
    assert (status, answer["error"]) == (413, "BODY_TOO_LARGE")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"items": []}, "items"),
        ({"items": [{"productId": "p", "quantity": 1, "price": 1}] * 201}, "items"),
        ({"items": "p"}, "items"),
        ({"customerId": ""}, "customerId"),
        ({"customerId": "a\x00b"}, "customerId"),
        ({"customerId": 7}, "customerId"),
        ({"customerId": "x" * 129}, "customerId"),
        ({"customerId": None}, "customerId"),
        ({"shippingAddress": {}}, "shippingAddress.street"),
        ({"shippingAddress": None}, "shippingAddress"),
        ({"currency": "XXX"}, "currency"),
        ({"currency": "USD", "totalCost": {"currency": "EUR", "value": 1}}, "totalCost"),
        ({"totalCost": -1}, "totalCost"),
        ({"totalCost": 1e30}, "totalCost"),
        ({"policy": "MAYBE"}, "policy"),
        ({"issuedAt": "yesterday"}, "issuedAt"),
        ({"orderId": "a\u2028b"}, "orderId"),
        ({"quantity": -1}, "items.0.quantity"),
        ({"quantity": 1.5}, "items.0.quantity"),
        ({"quantity": True}, "items.0.quantity"),
        ({"price": -1}, "items.0.price"),
        ({"price": 0.004, "quantity": 1000}, "items.0.price"),
        ({"price": 100.5, "currency": "JPY"}, "items.0.price"),
        ({"totalCost": "10.001"}, "totalCost"),
        ({"price": {"currency": "XXX", "value": 1}}, "items.0.price"),
    ],
)
async def test_an_invalid_order_is_400_and_names_the_field(api: Api, order: Body, changes: Any, field: str) -> None:
    status, answer, _ = await api("POST", "/orders", order(**changes))
    assert (status, answer["success"], field in answer["errors"]) == (400, False, True), answer


def cursor(sort: str, value: Any) -> str:
    """Return a forged cursor."""
    return base64.urlsafe_b64encode(json.dumps([sort, value, "o-1"]).encode()).rstrip(b"=").decode()


@pytest.mark.parametrize(
    ("method", "path", "body", "field"),
    [
        ("PUT", "/inventory/A", {"productId": "B", "quantity": 1}, "productId"),
        ("POST", "/inventory/A/receive", {"productId": "B", "quantity": 1}, "productId"),
        ("POST", "/orders/A/hold", {"orderId": "B"}, "orderId"),
        ("DELETE", "/orders/A?reason=A", {"reason": "B"}, "reason"),
        ("POST", "/orders/o/shipments/A/deliver", {"shipmentId": "B"}, "shipmentId"),
        ("POST", "/orders/o/returns/A/receive", {"returnId": "B"}, "returnId"),
    ],
)
async def test_a_body_that_contradicts_the_path_is_400_and_names_both(
    api: Api, method: str, path: str, body: Any, field: str
) -> None:
    status, answer, _ = await api(method, path, body)
    assert (status, list(answer["errors"])) == (400, [field])
    assert "'A'" in answer["errors"][field]
    assert "'B'" in answer["errors"][field]


async def test_a_body_may_repeat_the_path(api: Api) -> None:
    body = {"shipmentId": "A", "orderId": "nope"}
    status, answer, _ = await api("POST", "/orders/nope/shipments/A/deliver", body)
    assert (status, answer["error"]) == (404, "ORDER_NOT_FOUND")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nope", 404, "NOT_FOUND"),
        ("PATCH", "/orders", 405, "METHOD_NOT_ALLOWED"),
        ("GET", "/orders/nope", 404, "ORDER_NOT_FOUND"),
        ("GET", "/inventory/nope", 404, "PRODUCT_NOT_FOUND"),
        ("GET", "/commands/nope", 404, "COMMAND_NOT_FOUND"),
        ("GET", "/orders/a%00b", 400, "VALIDATION_FAILED"),
        ("GET", "/orders/" + "x" * 129, 400, "VALIDATION_FAILED"),
        ("GET", "/orders?limit=0", 400, "VALIDATION_FAILED"),
        ("GET", "/orders?cursor=nonsense", 400, "VALIDATION_FAILED"),
        ("GET", f"/orders?cursor={cursor('-createdAt', 2**63)}", 400, "VALIDATION_FAILED"),
        ("GET", f"/orders?cursor={cursor('-createdAt', 2**64)}", 400, "VALIDATION_FAILED"),
        ("GET", f"/orders?cursor={cursor('-createdAt', True)}", 400, "VALIDATION_FAILED"),
        ("GET", f"/orders?limit={'0' * 8}1{'9' * 30}", 400, "VALIDATION_FAILED"),
        ("GET", f"/orders/nope?version=1{'0' * 30}", 400, "VALIDATION_FAILED"),
        ("GET", f"/orders/nope?version={2**53}", 400, "VALIDATION_FAILED"),
        ("GET", f"/events?recent={'0' * 9}9{'9' * 30}", 400, "VALIDATION_FAILED"),
        ("GET", f"/events?lastEventId={'.'.join(['9' * 19] * 8)}-0.0.0.0.0.0.0.0", 400, "VALIDATION_FAILED"),
        ("GET", "/orders?sort=secret", 400, "VALIDATION_FAILED"),
        ("GET", "/orders?from=yesterday", 400, "VALIDATION_FAILED"),
        ("GET", "/orders?status=a%00b", 400, "VALIDATION_FAILED"),
    ],
)
async def test_an_unknown_path_or_method_gets_json(api: Api, method: str, path: str, status: int, code: str) -> None:
    got, answer, _ = await api(method, path)
    assert (got, answer["success"], answer["error"]) == (status, False, code)


async def test_a_path_that_is_not_utf8_is_400(api: Api) -> None:
    from yarl import URL

    url = URL(f"{str(api.session._base_url).rstrip('/')}/orders/%ff%fe", encoded=True)
    async with api.session.get(url) as response:
        assert response.status in (400, 404)
        assert (await response.json())["success"] is False


@pytest.mark.parametrize(
    "headers",
    [{"If-Match": "x"}, {"Consistency-Token": "x"}, {"Correlation-Id": "x" * 129}, {"Idempotency-Key": "x" * 129}],
)
async def test_an_invalid_header_is_400_and_named(api: Api, headers: dict[str, str]) -> None:
    method = "GET" if "Consistency-Token" in headers else "DELETE"
    status, answer, _ = await api(method, "/orders/nope", headers=headers)
    assert (status, list(answer["errors"])) == (400, list(headers))
