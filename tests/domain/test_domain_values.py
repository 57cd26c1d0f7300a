"""Money, addresses, times, identifiers and rejections."""

import dataclasses
from decimal import Decimal

import pytest
from any_model import any_fields
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from domain import errors, inventory, orders
from domain.address import WITHOUT_POSTAL_CODES, Address, NewAddress
from domain.frozen import replace
from domain.inventory.commands import ReleaseStock
from domain.message import MAX_TOTAL, Fact, instant
from domain.money import Money, decimal_string, exponent, minor_units
from domain.orders.commands import LineQuantity, NewLine, PlaceOrder, Price
from domain.orders.state import Line


@pytest.mark.parametrize(
    ("value", "currency", "minor"),
    [
        ("12.50", "EUR", 1250),
        (19.99, "EUR", 1999),
        ("12.500000", "EUR", 1250),
        ("110.53999999999999", "EUR", 11054),
        (110.53999999999999, "EUR", 11054),
        (19.990000000000002, "EUR", 1999),
        (0.1 + 0.2, "EUR", 30),
        (sum([19.99] * 200), "EUR", 399800),
        (1_234_567.89 * 3, "EUR", 370370367),
        ("0.9999999999999999", "JPY", 1),
        (-0.0, "EUR", 0),
        ("1e-2", "EUR", 1),
        (7, "JPY", 7),
        ("1.234", "KWD", 1234),
        ("0.0001", "CLF", 1),
    ],
)
def test_amounts_become_minor_units(value: Decimal | str | int | float, currency: str, minor: int) -> None:
    assert minor_units(value, currency) == minor


@pytest.mark.parametrize(
    ("value", "currency"),
    [("0.004", "EUR"), (0.004, "EUR"), ("0.005", "EUR"), ("100.5", "JPY"), (100.5, "JPY"), ("12.345", "EUR"),
     ("1.2345", "KWD"),
     ("0.00001", "CLF"), ("12.500000001", "EUR"), ("0.0000000000001", "EUR"), ("10000000000.005", "EUR"),
     ("9999999999999.004", "EUR"), ("19.989999771118164", "EUR"), ("0.5", "JPY"), ("1e-3", "EUR")],
)  # fmt: skip
def test_amounts_finer_than_their_currency_are_refused(value: str | float, currency: str) -> None:
    with pytest.raises(ValueError, match=f"is finer than {currency}, which has (no|2|3|4) decimals"):
        minor_units(value, currency)


@pytest.mark.parametrize("value", ["", "twelve", "NaN", "Infinity", "1e30", float("inf")])
def test_what_is_no_amount_is_refused(value: str | float) -> None:
    with pytest.raises(ValueError, match="not an amount"):
        minor_units(value, "EUR")


@pytest.mark.parametrize("currency", ["", "eur", "XXX", "BTC"])
def test_unknown_currencies_are_refused(currency: str) -> None:
    with pytest.raises(ValueError, match="ISO 4217"):
        exponent(currency)
    with pytest.raises(ValidationError):
        Money(amount=1, currency=currency)


@given(st.integers(0, MAX_TOTAL), st.sampled_from(["EUR", "JPY", "KWD", "CLF"]))
def test_amounts_survive_being_written_and_read(amount: int, currency: str) -> None:
    written = decimal_string(amount, currency)
    assert minor_units(written, currency) == amount or Decimal(written) > MAX_TOTAL


@pytest.mark.parametrize("amount", [-1, MAX_TOTAL + 1, 1.0, "1", True])
def test_money_is_a_bounded_whole_number(amount: object) -> None:
    with pytest.raises(ValidationError):
        Money.model_validate({"amount": amount, "currency": "EUR"})


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2026-11-23", "2026-11-23T00:00:00.000Z"),
        ("2026-11-23T10:00:00", "2026-11-23T10:00:00.000Z"),
        ("2026-11-23T10:00:00Z", "2026-11-23T10:00:00.000Z"),
        ("2026-11-23T10:00:00.123456+02:00", "2026-11-23T08:00:00.123Z"),
        ("2026-11-23T01:00:00+0200", "2026-11-22T23:00:00.000Z"),
    ],
)
def test_times_are_utc_with_milliseconds(written: str, meant: str) -> None:
    assert instant(written) == meant
    assert instant(meant) == meant


@pytest.mark.parametrize("written", ["", "yesterday", "2026-13-01", "2026-11-23T25:00:00Z", 1_700_000_000, None])
def test_what_is_no_time_is_refused(written: object) -> None:
    with pytest.raises((ValueError, ValidationError)):
        instant(written)


@pytest.mark.parametrize("name", ["zipCode", "zipcode", "zip_code"])
def test_zip_codes_are_read_as_people_write_them(name: str) -> None:
    address = Address.model_validate({"street": "s", "city": "c", name: "12345", "country": "US"})
    assert address.zip_code == "12345"
    assert address.model_dump(by_alias=True)["zipCode"] == "12345"
    assert address.state == ""


HOME = {"street": "s", "city": "c", "zipCode": "1", "country": "US"}
NEW: TypeAdapter[Address] = TypeAdapter(NewAddress)


@pytest.mark.parametrize("field", HOME)
def test_new_addresses_need_all_but_the_state(field: str) -> None:
    for without in (HOME | {field: ""}, {name: value for name, value in HOME.items() if name != field}):
        with pytest.raises(ValidationError) as error:
            NEW.validate_python(without)
        assert error.value.errors()[0]["loc"] == (field,)


@pytest.mark.parametrize(
    "country", ["AE", "ae", "ARE", "United Arab Emirates", "UAE", "HK", "Hong Kong", "IE", "Ireland", "QA", "AO", "BS",
                "Côte d'Ivoire", "Trinidad and Tobago", "ZW", " AE "],
)  # fmt: skip
def test_a_postal_code_may_be_missing_where_the_country_has_none(country: str) -> None:
    for code in ({}, {"zipCode": ""}, {"zipCode": "00000"}):
        address = NEW.validate_python({"street": "s", "city": "c", "country": country, **code})
        assert address.zip_code == code.get("zipCode", "")


@pytest.mark.parametrize("country", ["US", "GB", "DE", "Germany", "Guinea-Bissau", "A", "X", "the moon"])
def test_a_postal_code_is_needed_everywhere_else(country: str) -> None:
    with pytest.raises(ValidationError, match="zipCode"):
        NEW.validate_python({"street": "s", "city": "c", "country": country})


def test_an_address_of_an_event_is_read_whatever_is_asked_of_new_ones() -> None:
    assert Address.model_validate({"street": "s", "city": "c", "country": "US"}).zip_code == ""
    assert "ae" in WITHOUT_POSTAL_CODES
    assert all(code == code.casefold() for code in WITHOUT_POSTAL_CODES)


@pytest.mark.parametrize("field", ["name", "company", "street2", "street3", "phone", "email", "instructions"])
def test_what_an_address_may_have_besides_is_kept_whole(field: str) -> None:
    address = NEW.validate_python({**HOME, field: "Zoë & Co.\n"})
    assert address.model_dump(by_alias=True, exclude_none=True) == {**HOME, "state": "", field: "Zoë & Co.\n"}
    assert (
        NEW.validate_python({**HOME, field: ""})
        == NEW.validate_python({**HOME, field: None})
        == NEW.validate_python(HOME)
    )
    for wrong in ("x" * 201, 7, "a\x00", ["x"], 0, False):
        with pytest.raises(ValidationError):
            NEW.validate_python({**HOME, field: wrong})


@pytest.mark.parametrize("line_id", ["", "x" * 129, "a\nb", "a\x00", "a\u2028b", 7])
def test_identifiers_are_short_and_printable(line_id: object) -> None:
    with pytest.raises(ValidationError):
        LineQuantity.model_validate({"lineId": line_id, "quantity": 1})


@pytest.mark.parametrize("quantity", [0, -1, 1_000_001, 1.5, "2", True])
def test_quantities_are_positive_whole_numbers(quantity: object) -> None:
    with pytest.raises(ValidationError):
        LineQuantity.model_validate({"lineId": "1", "quantity": quantity})


def test_an_order_has_at_most_two_hundred_lines() -> None:
    line = NewLine(product_id="p", quantity=1, price=Price(amount=1, currency="EUR"))
    home = Address(street="s", city="c", zip_code="1", country="US")
    with pytest.raises(ValidationError):
        PlaceOrder(customer_id="c", lines=(line,) * 201, shipping_address=home, billing_address=home)


@pytest.mark.parametrize("fields", [{}, {"keep": 1, "quantity": 1}])
def test_a_release_says_either_what_to_keep_or_what_to_give(fields: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        ReleaseStock.model_validate({"orderId": "o", **fields})


def test_codes_are_the_names_of_the_rejections() -> None:
    assert errors.OrderOnHold.code == "ORDER_ON_HOLD"
    assert errors.NotAllocated.code == "NOT_ALLOCATED"
    assert errors.AllocationPending.retryable
    assert not errors.OrderOnHold.retryable


def test_what_crosses_the_wire_is_known_by_its_class_name() -> None:
    assert set(orders.COMMANDS) >= {"PlaceOrder", "UpdateStatus", "RecordAllocation"}
    assert set(inventory.COMMANDS) >= {"SetStock", "FillBackorders"}
    assert all(kind.__name__ == name for name, kind in (orders.EVENTS | inventory.EVENTS).items())
    assert len(orders.COMMANDS) == 12
    assert len(orders.EVENTS) == len(inventory.COMMANDS) == len(inventory.EVENTS) == 11


UNITS = st.fixed_dictionaries({}, optional={name: st.integers() for name in ("pending", "shipped", "stock_version")})
LINE = Line("1", "boot", Price(amount=100, currency="EUR"), ordered=3, pending=3)


@given(UNITS, UNITS)
def test_a_frozen_value_is_replaced_as_dataclasses_replace_them(first: dict[str, int], then: dict[str, int]) -> None:
    expected = dataclasses.replace(dataclasses.replace(LINE, **first), **then)
    assert replace(replace(LINE, **first), **then) == expected


def test_a_frozen_value_has_no_other_fields_than_its_own() -> None:
    with pytest.raises(TypeError, match="Line has no colour"):
        replace(LINE, colour="red")


# --- facts


def facts(kind: type[Fact] = Fact) -> list[type[Fact]]:
    return [kind, *(each for sub in kind.__subclasses__() for each in facts(sub))]


@given(st.data())
def test_facts_are_made_without_a_look_and_are_what_validated_ones_are(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(facts()))
    fields = data.draw(st.fixed_dictionaries(any_fields(kind)))
    made, validated = kind(**fields), kind.model_validate(fields)
    assert made == validated
    assert repr(made) == repr(validated)
    assert made.model_fields_set == validated.model_fields_set
    assert made.model_copy() == validated
    assert made.model_dump_json() == validated.model_dump_json()


@pytest.mark.parametrize("kind", [kind for kind in facts() if kind.model_fields])
def test_a_fact_does_not_change_and_is_validated_when_it_is_read(kind: type[Fact]) -> None:
    name = next(iter(kind.model_fields))
    with pytest.raises(ValidationError):
        kind.model_validate({name: object()})
    with pytest.raises(TypeError):
        kind(unknown=1)  # type: ignore[call-arg]
    fact = kind(**dict.fromkeys(kind.model_fields, "x"))
    with pytest.raises(ValidationError, match="frozen"):
        setattr(fact, name, "y")
