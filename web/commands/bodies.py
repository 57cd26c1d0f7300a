"""What clients send to place an order. Every other command's body is the command's own data.

`price` and `totalCost` are a number, a decimal string or `{"currency", "value"}`. An order has one currency: the one
given, in `currency` or in the amounts, else EUR.
"""

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from domain import address, message, money
from domain.errors import InvalidId
from domain.ids import refuse_confusable
from domain.inventory import commands as stock
from domain.message import MAX_AMOUNT, MAX_LINES, MAX_TOTAL
from domain.orders.commands import NewLine, PlaceOrder, Price, refuse_many_lines
from domain.policy import AllocationPolicy
from streams.messages.models import Model, as_struct, translated
from web.errors import invalid

from .amounts import Amount, Sent, units_of

DEFAULT_CURRENCY = "EUR"
Address: Any = translated(address.NewAddress)
Currency: Any = translated(money.Currency)
Id: Any = translated(message.Id)
Instant: Any = translated(message.Instant)
Positive: Any = translated(stock.Positive)
Few: Any = BeforeValidator(refuse_many_lines)
Quantity: Any = translated(message.Quantity)


class OrderItem(Model):
    """A line of an order; without an id it gets its number."""

    line_id: Id | None = None
    product_id: Id
    quantity: Quantity
    price: Sent


class OrderRequest(Model):
    """A finalised order."""

    order_id: Id | None = Field(None, description="yours, else a new UUIDv7")
    customer_id: Id
    items: Annotated[tuple[OrderItem, ...], Few] = Field(min_length=1, max_length=MAX_LINES)
    shipping_address: Address
    billing_address: Address | None = Field(None, description="missing: the shipping address")
    total_cost: Sent | None = Field(None, description="checked against the sum of the items")
    currency: Currency | None = Field(None, description="of amounts that name none; default EUR")
    policy: AllocationPolicy = Field(
        AllocationPolicy.BACKORDER,
        description="when stock is short: wait for it, cancel what is short, or cancel the order. A product must exist "
        "before an order can wait for it: a line of an unknown product is cancelled",
    )
    issued_at: Instant | None = None

    def command(self) -> PlaceOrder:
        """Return the command; a `Problem` when the currencies differ or an amount is too large."""
        currency = self._currency()
        self._refuse_confusable_ids()
        shipping, billing = self.shipping_address, self.billing_address
        shipped = as_struct(shipping, address.Address)
        return PlaceOrder(
            customer_id=self.customer_id,
            lines=tuple([self._line(number, item, currency) for number, item in enumerate(self.items)]),
            shipping_address=shipped,
            billing_address=shipped if billing is None else as_struct(billing, address.Address),
            total_cost=self._total(currency),
            policy=self.policy,
            issued_at=self.issued_at,
        )

    def _refuse_confusable_ids(self) -> None:
        """Answer what the aggregate would, but at once and with the names of this body."""
        ids = [("orderId", self.order_id), ("customerId", self.customer_id)]
        for number, item in enumerate(self.items):
            ids += [(f"items.{number}.productId", item.product_id), (f"items.{number}.lineId", item.line_id)]
        try:
            for field, identifier in ids:
                if identifier is not None:
                    refuse_confusable(field, identifier)
        except InvalidId as error:
            raise invalid({error.details["field"]: error.details["reason"]}, error.code) from None

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
        units = units_of(item.price, currency, MAX_AMOUNT, f"items.{number}.price")
        price = Price(amount=units, currency=currency)
        return NewLine(line_id=item.line_id, product_id=item.product_id, quantity=item.quantity, price=price)

    def _total(self, currency: str) -> money.Money | None:
        if self.total_cost is None:
            return None
        amount = units_of(self.total_cost, currency, MAX_TOTAL, "totalCost")
        return money.Money(amount=amount, currency=currency)


class ReserveRequest(Model):
    """Units to reserve for an order, outside its lines."""

    order_id: Id
    quantity: Positive


class GiveBackRequest(ReserveRequest):
    """Units of such a reservation to give back."""
