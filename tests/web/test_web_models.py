"""Bodies that place an order."""

import json
from typing import Any

import orjson
import pytest
from system import ADDRESS

from domain.orders.commands import PlaceOrder
from web.commands import bodies
from web.commands.bodies import order_in
from web.errors import Problem


def read(*items: dict[str, Any], **changes: Any) -> PlaceOrder:
    body = {"customerId": "c-1", "items": list(items) or [item()], "shippingAddress": ADDRESS} | changes
    return order_in(json.dumps(body).encode())[1]


def item(price: Any = 10, quantity: Any = 1, product: str = "boots") -> dict[str, Any]:
    return {"productId": product, "quantity": quantity, "price": price}


@pytest.mark.parametrize(
    ("sent", "units"),
    [
        (19.99, 1999),
        ("19.99", 1999),
        (20, 2000),
        (-0.0, 0),
        ("19.990000000000002", 1999),
        ("007.50", 750),
        (1e2, 10000),
        (0, 0),
        ("110.53999999999999", 11054),
        ({"currency": "EUR", "value": "19.99"}, 1999),
        ({"currency": "EUR", "value": 19.99}, 1999),
    ],
)
def test_an_amount_is_read_exactly_except_for_the_noise_of_floats(sent: Any, units: int) -> None:
    command = read(item(price=sent), totalCost=sent)
    assert command.lines[0].price.amount == units
    assert command.total_cost is not None
    assert command.total_cost.amount == units


@pytest.mark.parametrize(
    "sent",
    [-1, "-1", True, None, "", "ten", "1,5", "1e3", " 1", "1 ", " 12.50 ", "+1", "1_000",
     "٣", "１", "0x10", "1.", ".5", "-0", "NaN", "Infinity", "1" * 1_000_000, "0." + "1" * 1_000_000, "1\n", "€1", [],
     {},
     {"value": 1}, 1e300, "9" * 17, 10**40, -1e-9, {"currency": "eur", "value": 1}, {"currency": "EUR", "amount": 100},
     {"currency": "EUR", "value": 1, "cents": 0}, {"currency": "E" * 100_000, "value": 1},
     {"currency": "XXX", "value": 1}, {"currency": 1, "value": 1}, {"currency": "EUR"}, float("nan"), float("inf")],
)  # fmt: skip
def test_an_invalid_amount_is_refused_by_field(sent: Any) -> None:
    with pytest.raises(Problem) as error:
        read(item(price=sent))
    assert error.value.status == 400
    if error.value.code != "NOT_JSON":
        assert list(error.value.errors or {}) == ["items.0.price"]


@pytest.mark.parametrize("sent", [0, -1, 1.0, 1.5, "1", True, None, 1_000_001])
def test_an_invalid_quantity_is_refused_by_field(sent: Any) -> None:
    with pytest.raises(Problem) as error:
        read(item(quantity=sent))
    assert list(error.value.errors or {}) == ["items.0.quantity"]


@pytest.mark.parametrize(
    ("changes", "currency"),
    [({}, "EUR"), ({"currency": "USD"}, "USD"), ({"totalCost": {"currency": "JPY", "value": 10}}, "JPY")],
)
def test_an_order_has_one_currency(changes: dict[str, Any], currency: str) -> None:
    assert read(**changes).lines[0].price.currency == currency


def test_different_currencies_are_refused_by_field() -> None:
    with pytest.raises(Problem) as error:
        read(item({"currency": "EUR", "value": 1}), item({"currency": "USD", "value": 1}))
    assert error.value.status == 400
    assert list(error.value.errors or {}) == ["items.1.price"]


@pytest.mark.parametrize(
    ("price", "currency"),
    [(0.004, "EUR"), ("0.005", "EUR"), (100.5, "JPY"), ("19.999", "USD"), ({"currency": "JPY", "value": 1.5}, "JPY")],
)
def test_an_amount_finer_than_its_currency_is_refused_by_field(price: Any, currency: str) -> None:
    for body, field in (({"items": [item(price)]}, "items.0.price"), ({"totalCost": price}, "totalCost")):
        with pytest.raises(Problem) as error:
            read(**body, currency=currency)
        assert list(error.value.errors or {}) == [field]
        assert f"is finer than {currency}" in error.value.message


def test_an_amount_above_the_maximum_is_refused_by_field() -> None:
    with pytest.raises(Problem) as error:
        read(item("9999999999999"))
    assert list(error.value.errors or {}) == ["items.0.price"]


def test_a_missing_billing_address_is_the_shipping_address() -> None:
    command = read()
    assert command.billing_address == command.shipping_address


def test_an_order_has_1_to_200_lines() -> None:
    assert len(read(*[item()] * 200).lines) == 200
    for wrong in ([], [item()] * 201):
        with pytest.raises(Problem) as error:
            read(items=wrong)
        assert list(error.value.errors or {}) == ["items"]


USUAL: dict[str, Any] = {
    "orderId": "o-1", "customerId": "c-1", "totalCost": 42.48, "policy": "ALL_OR_NOTHING",
    "issuedAt": "2026-11-23T10:00:00.000Z", "shippingAddress": ADDRESS, "billingAddress": ADDRESS,
    "items": [{"productId": "boots", "quantity": 2, "price": 19.99, "lineId": "a"},
              {"productId": "laces", "quantity": 1, "price": {"currency": "EUR", "value": "2.50"}}],
}  # fmt: skip


@pytest.mark.parametrize(
    "changes", [{}, {"issuedAt": None, "billingAddress": None, "currency": "EUR", "orderId": None}]
)
def test_a_usual_body_is_decoded_once_and_means_the_same_as_to_the_model(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    sent = {**USUAL, **changes}
    explained = order_in(orjson.dumps({**sent, "status": "accepted and ignored"}))

    def refuse(*_: object) -> None:
        raise AssertionError("the body was read again by the model")

    monkeypatch.setattr(bodies, "checked", refuse)
    decoded = order_in(orjson.dumps(sent))
    assert decoded == explained
    zipcode = {("zipcode" if name == "zipCode" else name): value for name, value in ADDRESS.items()}
    assert order_in(orjson.dumps({**sent, "shippingAddress": zipcode, "billingAddress": zipcode}))[0] == sent["orderId"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [({"customerId": ""}, "customerId"), ({"customerId": "\u2028"}, "customerId"),
     ({"customerId": "\x01"}, "customerId"),
     ({"customerId": "x" * 129}, "customerId"), ({"customerId": 7}, "customerId"), ({"customerId": " x"}, "customerId"),
     ({"orderId": "a//../b"}, "orderId"), ({"policy": "MAYBE"}, "policy"), ({"issuedAt": "yesterday"}, "issuedAt"),
     ({"currency": "EURO"}, "currency"), ({"surprise": 1}, "surprise"), ({"totalCost": "much"}, "totalCost"),
     ({"shippingAddress": {"street": "1", "city": "2", "country": "Germany"}}, "shippingAddress.zipCode"),
     ({"shippingAddress": {**ADDRESS, "street": ""}}, "shippingAddress.street"),
     ({"items": [item() | {"lineId": ""}]}, "items.0.lineId"),
     ({"items": [item() | {"color": "red"}]}, "items.0.color"),
     ({"items": "boots"}, "items"), ({"items": [7]}, "items.0")],
)  # fmt: skip
def test_every_invalid_field_is_named(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(Problem) as error:
        order_in(orjson.dumps(USUAL | changes))
    assert error.value.status == 400
    assert list(error.value.errors or {}) == [field]


@pytest.mark.parametrize("sent", [b"", b"{", b"[]", b"null", b'"x"', b"\xff", b'{"a":' * 2000 + b"1" + b"}" * 2000])
def test_a_body_that_is_not_a_json_object_is_a_400(sent: bytes) -> None:
    with pytest.raises((Problem, RecursionError)) as error:
        order_in(sent)
    assert not isinstance(error.value, Problem) or error.value.status == 400
