"""Money, addresses, times, identifiers and rejections."""

import time
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from any_model import any_of
from domain_scenarios import place
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct
from pydantic import TypeAdapter, ValidationError

from domain import errors, inventory, orders
from domain.address import WITHOUT_POSTAL_CODES, Address, NewAddress
from domain.inventory.commands import ReleaseStock
from domain.message import MAX_TOTAL, Event, State, Value, instant
from domain.money import Money, decimal_string, exponent, minor_units
from domain.orders.commands import LineQuantity, PlaceOrder
from streams.messages.models import as_struct, model_of, translated
from streams.messages.strict import read


def read_as(kind: type[Any], data: dict[str, Any]) -> Any:
    return as_struct(read(model_of(kind), data), kind)


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
        ("10000000000.0001", "EUR", 1_000_000_000_000),
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
def test_an_invalid_amount_is_refused(value: str | float) -> None:
    with pytest.raises(ValueError, match="not an amount"):
        minor_units(value, "EUR")


@pytest.mark.parametrize("currency", ["", "eur", "XXX", "BTC"])
def test_unknown_currencies_are_refused(currency: str) -> None:
    with pytest.raises(ValueError, match="ISO 4217"):
        exponent(currency)
    with pytest.raises(ValidationError):
        read_as(Money, {"amount": 1, "currency": currency})


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        (0, "EUR", "0.00"),
        (1, "EUR", "0.01"),
        (-1, "EUR", "-0.01"),
        (1250, "EUR", "12.50"),
        (-1250, "EUR", "-12.50"),
        (0, "JPY", "0"),
        (-7, "JPY", "-7"),
        (5, "KWD", "0.005"),
    ],
)
def test_amounts_are_written_with_the_decimals_of_their_currency(amount: int, currency: str, text: str) -> None:
    assert decimal_string(amount, currency) == text


def test_the_largest_amount_is_an_amount_and_no_larger_one_is() -> None:
    assert minor_units(MAX_TOTAL, "JPY") == MAX_TOTAL
    assert minor_units(-MAX_TOTAL, "JPY") == -MAX_TOTAL
    for beyond in (MAX_TOTAL + 1, -MAX_TOTAL - 1):
        with pytest.raises(ValueError, match=f"'{beyond}' is not an amount of money"):
            minor_units(beyond, "JPY")


@given(st.integers(0, MAX_TOTAL), st.sampled_from(["EUR", "JPY", "KWD", "CLF"]))
def test_amounts_survive_encoding_and_decoding(amount: int, currency: str) -> None:
    written = decimal_string(amount, currency)
    assert minor_units(written, currency) == amount or Decimal(written) > MAX_TOTAL


@pytest.mark.parametrize("amount", [-1, MAX_TOTAL + 1, 1.0, "1", True])
def test_money_is_a_bounded_whole_number(amount: object) -> None:
    with pytest.raises(ValidationError):
        read_as(Money, {"amount": amount, "currency": "EUR"})


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


def test_a_time_is_the_same_on_a_machine_in_another_time_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        assert instant("2026-11-23T10:00:00+02:00") == "2026-11-23T08:00:00.000Z"
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("written", ["", "yesterday", "2026-13-01", "2026-11-23T25:00:00Z", 1_700_000_000, None])
def test_an_invalid_time_is_refused(written: object) -> None:
    with pytest.raises((ValueError, ValidationError)):
        instant(written)


@pytest.mark.parametrize("name", ["zipCode", "zipcode", "zip_code"])
def test_zip_codes_are_accepted_in_every_spelling(name: str) -> None:
    address = read_as(Address, {"street": "s", "city": "c", name: "12345", "country": "US"})
    assert address.zip_code == "12345"
    assert msgspec.to_builtins(address)["zipCode"] == "12345"
    assert address.state == ""


HOME = {"street": "s", "city": "c", "zipCode": "1", "country": "US"}
NEW: TypeAdapter[Any] = TypeAdapter(translated(NewAddress))


@pytest.mark.parametrize("field", HOME)
def test_new_addresses_require_everything_except_the_state(field: str) -> None:
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
def test_a_postal_code_is_required_everywhere_else(country: str) -> None:
    with pytest.raises(ValidationError, match="zipCode"):
        NEW.validate_python({"street": "s", "city": "c", "country": country})


def test_an_order_constructed_in_code_says_what_its_addresses_lack() -> None:
    without = Address(street="s", city="c", country="US")
    for addresses in ({"shipping_address": without}, {"billing_address": without}):
        with pytest.raises(ValueError, match="zipCode is missing"):
            place(**addresses)


def test_an_address_in_an_event_is_accepted_whatever_new_addresses_require() -> None:
    assert msgspec.convert({"street": "s", "city": "c", "country": "US"}, Address).zip_code == ""
    assert "ae" in WITHOUT_POSTAL_CODES
    assert all(code == code.casefold() for code in WITHOUT_POSTAL_CODES)


@pytest.mark.parametrize("field", ["name", "company", "street2", "street3", "phone", "email", "instructions"])
def test_optional_parts_of_an_address_are_kept_unchanged(field: str) -> None:
    address = NEW.validate_python({**HOME, field: "Zoë & Co.\n"})
    assert msgspec.to_builtins(as_struct(address, Address)) == {**HOME, "state": "", field: "Zoë & Co.\n"}
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
        read_as(LineQuantity, {"lineId": line_id, "quantity": 1})


@pytest.mark.parametrize("quantity", [0, -1, 1_000_001, 1.5, "2", True])
def test_quantities_are_positive_whole_numbers(quantity: object) -> None:
    with pytest.raises(ValidationError):
        read_as(LineQuantity, {"lineId": "1", "quantity": quantity})


def test_an_order_has_at_most_two_hundred_lines() -> None:
    line = {"productId": "p", "quantity": 1, "price": {"amount": 1, "currency": "EUR"}}
    order = {"customerId": "c", "shippingAddress": HOME, "billingAddress": HOME}
    assert len(read_as(PlaceOrder, {**order, "lines": [line] * 200}).lines) == 200
    with pytest.raises(ValidationError, match="at most 200 lines"):
        read_as(PlaceOrder, {**order, "lines": [line] * 201})


@pytest.mark.parametrize("fields", [{}, {"keep": 1, "quantity": 1}])
def test_a_release_gives_either_the_quantity_to_keep_or_to_release(fields: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        read_as(ReleaseStock, {"orderId": "o", **fields})


def test_codes_are_the_names_of_the_rejections() -> None:
    assert errors.OrderOnHold.code == "ORDER_ON_HOLD"
    assert errors.NotAllocated.code == "NOT_ALLOCATED"
    assert errors.AllocationPending.retryable
    assert not errors.OrderOnHold.retryable


def test_messages_are_known_by_their_class_names() -> None:
    assert set(orders.COMMANDS) >= {"PlaceOrder", "UpdateStatus", "RecordAllocation"}
    assert set(inventory.COMMANDS) >= {"SetStock", "FillBackorders"}
    assert all(kind.__name__ == name for name, kind in (orders.EVENTS | inventory.EVENTS).items())


# --- structs


def kinds(kind: type[Struct]) -> list[type[Struct]]:
    return [kind, *(each for sub in kind.__subclasses__() for each in kinds(sub))]


def test_structs_never_change() -> None:
    assert all(kind.__struct_config__.frozen for base in (Value, State) for kind in kinds(base))
    with pytest.raises(AttributeError, match="immutable"):
        Money(amount=1, currency="EUR").amount = 2  # type: ignore[misc]


@given(st.data())
def test_events_are_read_as_they_were_written(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from([kind for kind in kinds(Event) if kind.__struct_fields__]))
    value = data.draw(any_of(kind))
    assert msgspec.json.decode(msgspec.json.encode(value), type=kind) == value
