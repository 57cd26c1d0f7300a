"""Bodies that are not the command's own data: placing an order, and reservations made by hand.

`price` and `totalCost` are a number, a decimal string or `{"currency", "value"}`. An order has one currency: the one in
`currency` or in its amounts, by default EUR.
"""

from collections.abc import Mapping, Sequence
from itertools import count
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, MsgspecError
from pydantic import Field, ValidationError

from domain.address import NewAddress
from domain.errors import InvalidId
from domain.ids import refuse_confusable
from domain.inventory.commands import Positive, ReleaseStock, ReserveStock
from domain.message import MAX_AMOUNT, MAX_LINES, MAX_TOTAL, Asked, Command, Id, Instant, Quantity, written
from domain.money import Currency, Money
from domain.orders.commands import FEW, NewLine, PlaceOrder, Price, WhenLate
from domain.policy import MANUAL, AllocationPlan, AllocationPolicy
from streams.messages.codec import usually_spelled
from streams.messages.models import model_of
from streams.messages.strict import read_command
from web.errors import Problem, invalid, invalid_model
from web.requests import json_object

from .amounts import Amount, Sent, amount_of, units_of

S = TypeVar("S", bound=Asked)
DEFAULT_CURRENCY = "EUR"


class Body(Asked):
    """A body that stands for a command."""

    def command(self) -> Command:
        """Return the command."""
        raise NotImplementedError


class OrderItem(Asked):
    """A line of an order; without an id it gets its number."""

    line_id: Id | None = None
    product_id: Id
    quantity: Quantity
    price: Sent


class OrderRequest(Body):
    """A finalised order."""

    order_id: Annotated[Id | None, Field(description="your own id; default: a new UUIDv7")] = None
    customer_id: Id
    items: Annotated[tuple[OrderItem, ...], Meta(min_length=1, max_length=MAX_LINES), FEW]
    shipping_address: NewAddress
    billing_address: Annotated[NewAddress | None, Field(description="default: the shipping address")] = None
    total_cost: Annotated[Sent | None, Field(description="must equal the sum of the items")] = None
    currency: Annotated[Currency | None, Field(description="of amounts that name none; default: EUR")] = None
    policy: Annotated[
        AllocationPolicy,
        Field(
            description="what to do when stock is short: wait for it, cancel the units that are short, or cancel the "
            "order. An order can only wait for a product that exists: a line of an unknown product is cancelled"
        ),
    ] = written(AllocationPolicy.BACKORDER)
    issued_at: Instant | None = None
    ship_by: Annotated[Instant | None, Field(description="the order is late if it has not shipped by then")] = None
    when_late: Annotated[WhenLate, Field(description="whether to cancel units that are late")] = WhenLate.KEEP
    backorders_expire_at: Annotated[
        Instant | None, Field(description="units that wait for stock at this time or later are cancelled")
    ] = None
    allocation: Annotated[
        AllocationPlan | None, Field(description="the locations from which the lines get their units")
    ] = None

    def command(self) -> PlaceOrder:
        """Return the command; raise `Problem` if the currencies differ or an amount is out of range."""
        prices = [amount_of(item.price) for item in self.items]
        total = None if self.total_cost is None else amount_of(self.total_cost)
        currency = self._currency(prices, total)
        self._refuse_confusable_ids()
        shipping = self.shipping_address
        return PlaceOrder(
            customer_id=self.customer_id,
            lines=tuple([_line(*line, currency) for line in zip(count(), self.items, prices, strict=False)]),
            shipping_address=shipping,
            billing_address=shipping if self.billing_address is None else self.billing_address,
            total_cost=None if total is None else _total(total, currency),
            policy=self.policy,
            issued_at=self.issued_at,
            ship_by=self.ship_by,
            when_late=self.when_late,
            backorders_expire_at=self.backorders_expire_at,
            allocation=self.allocation,
        )

    def _currency(self, prices: Sequence[Amount], total: Amount | None) -> str:
        named = [(f"items.{number}.price", price.currency) for number, price in enumerate(prices) if price.currency]
        if total is not None and total.currency:
            named.append(("totalCost", total.currency))
        currency = self.currency or (named[0][1] if named else DEFAULT_CURRENCY)
        for field, other in named:
            if other != currency:
                raise invalid({field: f"is in {other}, the order is in {currency}"}, "INVALID_ORDER")
        return currency

    def _refuse_confusable_ids(self) -> None:
        """Refuse what the aggregate would refuse too, at once and with this body's names of the fields."""
        try:
            if self.order_id is not None:
                refuse_confusable("orderId", self.order_id)
            refuse_confusable("customerId", self.customer_id)
            for number, item in enumerate(self.items):
                refuse_confusable(f"items.{number}.productId", item.product_id)
                if item.line_id is not None:
                    refuse_confusable(f"items.{number}.lineId", item.line_id)
        except InvalidId as error:
            raise invalid({error.details["field"]: error.details["reason"]}, error.code) from None


def _line(number: int, item: OrderItem, price: Amount, currency: str) -> NewLine:
    units = units_of(price, currency, MAX_AMOUNT, f"items.{number}.price")
    each = Price(amount=units, currency=currency)
    return NewLine(line_id=item.line_id, product_id=item.product_id, quantity=item.quantity, price=each)


def _total(total: Amount, currency: str) -> Money:
    return Money(amount=units_of(total, currency, MAX_TOTAL, "totalCost"), currency=currency)


class ReserveRequest(Body):
    """Units to reserve for an order, outside its lines."""

    order_id: Id
    quantity: Positive
    expires_at: Annotated[Instant | None, Field(description="when units that have not shipped are given up")] = None

    def command(self) -> ReserveStock:
        """Return the command."""
        return ReserveStock(order_id=self.order_id, line_id=MANUAL, quantity=self.quantity, expires_at=self.expires_at)


class GiveBackRequest(Body):
    """Units of such a reservation to give back."""

    order_id: Id
    quantity: Positive

    def command(self) -> ReleaseStock:
        """Return the command."""
        return ReleaseStock(order_id=self.order_id, line_id=MANUAL, quantity=self.quantity)


_decode_order = msgspec.json.Decoder(OrderRequest).decode


def order_in(body: bytes) -> tuple[str | None, PlaceOrder]:
    """Return the client's id for the order, if it sent one, and the command to place it.

    msgspec decodes and checks a body in one pass. A body that it refuses is read again by the model, which says of each
    field what is wrong and understands other spellings.
    """
    try:
        asked = _decode_order(usually_spelled(body))
        return asked.order_id, asked.command()
    except (MsgspecError, ValueError, RecursionError, Problem):
        asked = checked(OrderRequest, json_object(body), "INVALID_ORDER")
        return asked.order_id, asked.command()


def checked(kind: type[S], data: Mapping[str, Any], code: str = "VALIDATION_FAILED") -> S:
    """Return `data` as a `kind`; raise a 400 that names the fields that are wrong or unknown."""
    try:
        return read_command(kind, data)
    except ValidationError as error:
        raise invalid_model(error, model_of(kind), code) from None
