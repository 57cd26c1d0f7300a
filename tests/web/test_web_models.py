"""What clients may send to place an order."""

from typing import Any

import pytest
from pydantic import ValidationError
from system import ADDRESS

from web.commands.bodies import OrderRequest
from web.errors import Problem


def read(*items: dict[str, Any], **changes: Any) -> OrderRequest:
    body = {"customerId": "c-1", "items": list(items) or [item()], "shippingAddress": ADDRESS} | changes
    return OrderRequest.model_validate(body)


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
def test_an_amount_is_read_exactly_but_for_the_noise_of_floats(sent: Any, units: int) -> None:
    command = read(item(price=sent), totalCost=sent).command()
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
def test_what_is_no_amount_is_refused_by_name(sent: Any) -> None:
    with pytest.raises(ValidationError) as error:
        read(item(price=sent))
    assert error.value.errors()[0]["loc"] == ("items", 0, "price")


@pytest.mark.parametrize("sent", [0, -1, 1.0, 1.5, "1", True, None, 1_000_001])
def test_what_is_no_quantity_is_refused_by_name(sent: Any) -> None:
    with pytest.raises(ValidationError) as error:
        read(item(quantity=sent))
    assert error.value.errors()[0]["loc"] == ("items", 0, "quantity")


@pytest.mark.parametrize(
    ("changes", "currency"),
    [({}, "EUR"), ({"currency": "USD"}, "USD"), ({"totalCost": {"currency": "JPY", "value": 10}}, "JPY")],
)
def test_an_order_has_one_currency(changes: dict[str, Any], currency: str) -> None:
    assert read(**changes).command().lines[0].price.currency == currency


def test_currencies_that_differ_are_refused_by_name() -> None:
    with pytest.raises(Problem) as error:
        read(item({"currency": "EUR", "value": 1}), item({"currency": "USD", "value": 1})).command()
    assert error.value.status == 400
    assert list(error.value.errors or {}) == ["items.1.price"]


@pytest.mark.parametrize(
    ("price", "currency"),
    [(0.004, "EUR"), ("0.005", "EUR"), (100.5, "JPY"), ("19.999", "USD"), ({"currency": "JPY", "value": 1.5}, "JPY")],
)
def test_an_amount_finer_than_its_currency_is_refused_by_name(price: Any, currency: str) -> None:
    for body, field in ((read(item(price), currency=currency), "items.0.price"),
                        (read(item(1), currency=currency, totalCost=price), "totalCost")):  # fmt: skip
        with pytest.raises(Problem) as error:
            body.command()
        assert list(error.value.errors or {}) == [field]
        assert f"is finer than {currency}" in error.value.message


def test_an_amount_beyond_what_is_money_here_is_refused_by_name() -> None:
    with pytest.raises(Problem) as error:
        read(item("9999999999999")).command()
    assert list(error.value.errors or {}) == ["items.0.price"]


def test_a_missing_billing_address_is_the_shipping_address() -> None:
    command = read().command()
    assert command.billing_address == command.shipping_address


def test_an_order_has_1_to_200_lines() -> None:
    assert len(read(*[item()] * 200).items) == 200
    for wrong in ([], [item()] * 201):
        with pytest.raises(ValidationError) as error:
            read(items=wrong)
        assert error.value.errors()[0]["loc"] == ("items",)
