"""Amounts as clients write them: a number, a decimal string, or `{"currency", "value"}`."""

import re
from decimal import Decimal
from typing import Annotated, Any, NamedTuple

from pydantic import PlainValidator

from domain import money
from domain.message import MAX_TOTAL
from domain.money import exponent, minor_units
from streams.messages.models import Model, translated
from streams.messages.spelling import unknown
from web.errors import invalid

DECIMAL = re.compile(r"[0-9]{1,16}(\.[0-9]{1,30})?")
Currency: Any = translated(money.Currency)
NO_AMOUNT = 'must be an amount of money such as 19.99, "19.99" or {"currency": "EUR", "value": "19.99"}'


class Amount(NamedTuple):
    """An amount as sent, perhaps without its currency."""

    value: Decimal
    currency: str | None


class MoneyObject(Model):
    """An amount with its currency."""

    currency: Currency
    value: str | float


def amount(sent: Any) -> Amount:
    """Return the amount a client wrote; ValueError when it is none."""
    if isinstance(sent, dict):
        currency = sent.get("currency")
        if not isinstance(currency, str):
            raise ValueError("currency must be an ISO 4217 code such as EUR")
        exponent(currency)
        if other := [name for name in sent if name not in MoneyObject.model_fields]:
            raise ValueError(unknown("field", str(other[0]), MoneyObject.model_fields))
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


Sent = Annotated[Amount, PlainValidator(amount, json_schema_input_type=float | str | MoneyObject)]


def units_of(sent: Amount, currency: str, limit: int, field: str) -> int:
    """Return an amount in minor units; a 400 that names `field` when it is finer than those, or beyond `limit`."""
    try:
        units = minor_units(sent.value, currency)
    except ValueError as error:
        raise invalid({field: str(error)}, "INVALID_ORDER") from None
    if units > limit:
        raise invalid({field: "is too large"}, "INVALID_ORDER")
    return units
