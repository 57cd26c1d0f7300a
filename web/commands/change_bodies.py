"""Bodies of changes to an order; amounts are sent as in new orders."""

from typing import Annotated

from msgspec import Meta
from pydantic import Field

from domain.message import MAX_AMOUNT, MAX_QUANTITY, MAX_TOTAL, Id, Quantity
from domain.money import Currency, Money
from domain.orders.commands import AddLine, ChangeQuantity, Price, ReplaceProduct
from web.errors import invalid

from .amounts import Amount, Sent, amount_of, units_of
from .bodies import DEFAULT_CURRENCY, Body

Total = Annotated[Sent | None, Field(description="must equal the order's total after the change")]
OfAmounts = Annotated[Currency | None, Field(description="the currency of amounts that name none; default: EUR")]


class Change(Body):
    """A change that may name the total of the order after it."""

    total_cost: Total = None
    currency: OfAmounts = None

    def total(self) -> Money | None:
        """Return the expected total."""
        if self.total_cost is None:
            return None
        units, currency = self._units(amount_of(self.total_cost), MAX_TOTAL, "totalCost")
        return Money(amount=units, currency=currency)

    def price_of(self, sent: Sent) -> Price:
        """Return a price."""
        units, currency = self._units(amount_of(sent), MAX_AMOUNT, "price")
        return Price(amount=units, currency=currency)

    def _units(self, amount: Amount, limit: int, field: str) -> tuple[int, str]:
        currency = amount.currency or self.currency or DEFAULT_CURRENCY
        if self.currency is not None and currency != self.currency:
            raise invalid({field: f"is in {currency}, but the change is in {self.currency}"})
        return units_of(amount, currency, limit, field), currency


class AddLineRequest(Change):
    """A line to add."""

    line_id: Annotated[Id | None, Field(description="your own id; default: derived from the command's id")] = None
    product_id: Id
    quantity: Quantity
    price: Sent

    def command(self) -> AddLine:
        """Return the command."""
        return AddLine(
            line_id=self.line_id,
            product_id=self.product_id,
            quantity=self.quantity,
            price=self.price_of(self.price),
            total_cost=self.total(),
        )


class ChangeQuantityRequest(Change):
    """The units that a line should have, without cancelled ones."""

    line_id: Id
    quantity: Annotated[int, Meta(ge=0, le=MAX_QUANTITY)]

    def command(self) -> ChangeQuantity:
        """Return the command."""
        return ChangeQuantity(line_id=self.line_id, quantity=self.quantity, total_cost=self.total())


class ReplaceProductRequest(Change):
    """The product that replaces the units of a line."""

    line_id: Id
    product_id: Id
    quantity: Annotated[Quantity | None, Field(description="default: as many as are replaced")] = None
    price: Annotated[Sent | None, Field(description="default: the price of the line")] = None
    new_line_id: Annotated[Id | None, Field(description="your own id; default: derived from the command's id")] = None

    def command(self) -> ReplaceProduct:
        """Return the command."""
        return ReplaceProduct(
            line_id=self.line_id,
            product_id=self.product_id,
            quantity=self.quantity,
            price=None if self.price is None else self.price_of(self.price),
            new_line_id=self.new_line_id,
            total_cost=self.total(),
        )
