"""Amounts as clients send them: a number, a decimal string, or `{"currency", "value"}`."""

import re
from decimal import Decimal
from typing import Annotated, Any, NamedTuple

from pydantic import PlainValidator

from domain.message import MAX_TOTAL, Asked, Told
from domain.money import Currency, exponent, minor_units
from streams.messages.models import model_of
from streams.messages.spelling import unknown
from web.errors import invalid

DECIMAL = re.compile(r"[0-9]{1,16}(\.[0-9]{1,30})?")
NO_AMOUNT = 'must be an amount of money such as 19.99, "19.99" or {"currency": "EUR", "value": "19.99"}'


class Amount(NamedTuple):
    """An amount, perhaps without its currency."""

    value: Decimal
    currency: str | None


class MoneyObject(Asked):
    """An amount with its currency."""

    currency: Currency
    value: str | float


def amount_of(sent: Any) -> Amount:
    """Return the amount that a client sent; raise ValueError if it is not one."""
    if isinstance(sent, MoneyObject):
        return Amount(_decimal(sent.value), sent.currency)
    if isinstance(sent, dict):
        currency = sent.get("currency")
        if not isinstance(currency, str):
            raise ValueError("currency must be an ISO 4217 code such as EUR")
        exponent(currency)
        known = ("currency", "value")
        if other := [name for name in sent if name not in known]:
            raise ValueError(unknown("field", str(other[0]), known))
        return Amount(_decimal(sent.get("value")), currency)
    return Amount(_decimal(sent), None)


def _decimal(sent: Any) -> Decimal:
    if isinstance(sent, str) and DECIMAL.fullmatch(sent):
        return Decimal(sent)
    if type(sent) is int or type(sent) is float:
        value = Decimal(str(sent))
        if not value.is_finite():
            raise ValueError(NO_AMOUNT)
        if value < 0:
            raise ValueError("must not be negative")
        if value > MAX_TOTAL:
            raise ValueError("is too large")
        return value
    raise ValueError("must not be negative" if isinstance(sent, str) and sent.startswith("-") else NO_AMOUNT)


def _checked(sent: Any) -> Any:
    amount_of(sent)
    return sent


_EITHER: Any = float | str | model_of(MoneyObject)
Sent = Annotated[
    float | str | MoneyObject, Told(Annotated[Any, PlainValidator(_checked, json_schema_input_type=_EITHER)])
]


def units_of(sent: Amount, currency: str, limit: int, field: str) -> int:
    """Return an amount in minor units; raise a 400 for `field` if it is finer than those, or above `limit`."""
    try:
        units = minor_units(sent.value, currency)
    except ValueError as error:
        raise invalid({field: str(error)}, "INVALID_ORDER") from None
    if units > limit:
        raise invalid({field: "is too large"}, "INVALID_ORDER")
    return units
