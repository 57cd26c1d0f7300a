"""What clients send to place an order. Every other command's body is the command's own data.

`price` and `totalCost` are a number, a decimal string or `{"currency", "value"}`. An order has one currency: the one
given, in `currency` or in the amounts, else EUR.
"""

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import Field

from domain.address import NewAddress
from domain.errors import InvalidId
from domain.ids import refuse_confusable
from domain.inventory.commands import Positive
from domain.message import MAX_AMOUNT, MAX_LINES, MAX_TOTAL, Id, Instant, Quantity, Value
from domain.money import Currency
from domain.orders.commands import FEW, PlaceOrder
from domain.policy import AllocationPolicy

from .amounts import Amount, Sent, units_of
from .errors import invalid

DEFAULT_CURRENCY = "EUR"


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
    items: Annotated[tuple[OrderItem, ...], FEW] = Field(min_length=1, max_length=MAX_LINES)
    shipping_address: NewAddress
    billing_address: NewAddress | None = Field(None, description="missing: the shipping address")
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
        return PlaceOrder.model_validate(  # a quarter of what `model_construct` takes
            {
                "customer_id": self.customer_id,
                "lines": [self._line(number, item, currency) for number, item in enumerate(self.items)],
                "shipping_address": self.shipping_address,
                "billing_address": self.billing_address or self.shipping_address,
                "total_cost": self._total(currency),
                "policy": self.policy,
                "issued_at": self.issued_at,
            }
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

    def _line(self, number: int, item: OrderItem, currency: str) -> dict[str, Any]:
        units = units_of(item.price, currency, MAX_AMOUNT, f"items.{number}.price")
        return {
            "line_id": item.line_id,
            "product_id": item.product_id,
            "quantity": item.quantity,
            "price": {"amount": units, "currency": currency},
        }

    def _total(self, currency: str) -> dict[str, Any] | None:
        if self.total_cost is None:
            return None
        return {"amount": units_of(self.total_cost, currency, MAX_TOTAL, "totalCost"), "currency": currency}


class ReserveRequest(Value):
    """Units to reserve for an order, outside its lines."""

    order_id: Id
    quantity: Positive


class GiveBackRequest(ReserveRequest):
    """Units of such a reservation to give back."""
