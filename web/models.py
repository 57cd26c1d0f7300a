"""What clients send to place an order. Every other command's body is the command's own data.

`price` and `totalCost` are a number, a decimal string or `{"currency", "value"}`. An order has one currency: the one
given, in `currency` or in the amounts, else EUR.
"""

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated, Any, NamedTuple

from pydantic import Field, PlainValidator

from domain.address import Address
from domain.inventory.commands import Positive
from domain.message import MAX_AMOUNT, MAX_LINES, MAX_TOTAL, Id, Instant, Quantity, Value
from domain.money import Currency, Money, exponent, minor_units
from domain.orders.commands import NewLine, PlaceOrder, Price
from domain.policy import AllocationPolicy

from .errors import Problem, invalid

DEFAULT_CURRENCY = "EUR"
DECIMAL = re.compile(r"[0-9]{1,16}(\.[0-9]{1,30})?")
NO_AMOUNT = 'must be an amount of money such as 19.99, "19.99" or {"currency": "EUR", "value": "19.99"}'


class Amount(NamedTuple):
    """An amount as sent: not yet rounded, and perhaps without its currency."""

    value: Decimal
    currency: str | None


class MoneyObject(Value):
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


class OrderItem(Value):
    """A line of an order; without an id it gets its number."""

    line_id: Id | None = None
    product_id: Id
    quantity: Quantity
    price: Sent


class OrderRequest(Value):
    """A finalised order."""

    order_id: Id | None = Field(None, description="yours, else a new UUIDv7")
    customer_id: Id
    items: tuple[OrderItem, ...] = Field(min_length=1, max_length=MAX_LINES)
    shipping_address: Address
    billing_address: Address | None = Field(None, description="missing: the shipping address")
    total_cost: Sent | None = Field(None, description="checked against the sum of the items")
    currency: Currency | None = Field(None, description="of amounts that name none; default EUR")
    policy: AllocationPolicy = AllocationPolicy.BACKORDER
    issued_at: Instant | None = None

    def command(self) -> PlaceOrder:
        """Return the command; a `Problem` when the currencies differ or an amount is too large."""
        currency = self._currency()
        lines = tuple(self._line(number, item, currency) for number, item in enumerate(self.items))
        return PlaceOrder.model_construct(
            customer_id=self.customer_id,
            lines=lines,
            shipping_address=self.shipping_address,
            billing_address=self.billing_address or self.shipping_address,
            total_cost=self._total(currency),
            policy=self.policy,
            issued_at=self.issued_at,
        )

    def _amounts(self) -> Iterator[tuple[str, Amount]]:
        yield from ((f"items.{number}.price", item.price) for number, item in enumerate(self.items))
        if self.total_cost is not None:
            yield "totalCost", self.total_cost

    def _currency(self) -> str:
        currency = self.currency
        for field, sent in self._amounts():
            if sent.currency is not None and sent.currency != (currency := currency or sent.currency):
                raise invalid({field: f"is in {sent.currency}, the order is in {currency}"}, "INVALID_ORDER")
        return currency or DEFAULT_CURRENCY

    def _line(self, number: int, item: OrderItem, currency: str) -> NewLine:
        units = _minor_units(item.price, currency, MAX_AMOUNT, f"items.{number}.price")
        return NewLine.model_construct(
            line_id=item.line_id,
            product_id=item.product_id,
            quantity=item.quantity,
            price=Price.model_construct(amount=units, currency=currency),
        )

    def _total(self, currency: str) -> Money | None:
        if self.total_cost is None:
            return None
        return Money(amount=_minor_units(self.total_cost, currency, MAX_TOTAL, "totalCost"), currency=currency)


def _minor_units(sent: Amount, currency: str, limit: int, field: str) -> int:
    try:
        units = minor_units(sent.value, currency)
    except ValueError as error:
        raise invalid({field: str(error)}, "INVALID_ORDER") from None
    if units > limit:
        raise too_large(field)
    return units


def too_large(field: str) -> Problem:
    """Return a 400 for an amount beyond what is money here."""
    return invalid({field: "is too large"}, "INVALID_ORDER")


class ReserveRequest(Value):
    """Units to reserve for an order, outside its lines."""

    order_id: Id
    quantity: Positive


class GiveBackRequest(ReserveRequest):
    """Units of such a reservation to give back."""
