"""The states of stock: a product with its balance and its queue, and one reservation per line."""

from enum import StrEnum

from msgspec import field

from domain.message import State

from .events import Balance


class ProductStatus(StrEnum):
    """Can it be had?"""

    AVAILABLE = "AVAILABLE"
    OUT_OF_STOCK = "OUT_OF_STOCK"
    DISCONTINUED = "DISCONTINUED"


class Stock(State):
    """A product; `exists` only once stock was received or set. Places in the queue are handed out in order."""

    exists: bool = False
    discontinued: bool = False
    balance: Balance = field(default_factory=Balance)
    queue_head: int = 0  # nobody waits at a place before this one
    queue_tail: int = 0  # the next place to hand out
    set_to: int | None = None  # the quantity it was last set to, until anything else changes what is on hand
    given: int = 0  # units that waiting lines got since

    @property
    def status(self) -> ProductStatus:
        """Whether it can be had."""
        if self.discontinued:
            return ProductStatus.DISCONTINUED
        return ProductStatus.AVAILABLE if self.balance.available else ProductStatus.OUT_OF_STOCK


class Reservation(State):
    """What a line of an order holds of a product; kept when it is empty, so that a repeated command stays quiet."""

    order_id: str
    line_id: str
    held: int = 0
    waiting: int = 0
    shipped: int = 0
    rejected: int = 0
    received: int = 0  # returned units counted in
    damaged: int = 0  # of the received
    place: int | None = None  # in the queue, while units wait
    order_version: int = 0  # of the newest order event that was heeded

    @property
    def reserved(self) -> int:
        """Units granted, shipped ones included."""
        return self.held + self.shipped


class StockState(State):
    """What a decision about a product is made on: its stock, and those of its reservations that may change."""

    product_id: str
    stock: Stock = field(default_factory=Stock)
    reservation: Reservation | None = None  # of the line that the command, or the last event, names
    waiting: tuple[Reservation, ...] = ()  # the first of the queue, as far as the command can serve them

    def find(self, order_id: str, line_id: str) -> Reservation | None:
        """Return the reservation of a line."""
        for each in self.waiting:
            if each.line_id == line_id and each.order_id == order_id:
                return each
        named = self.reservation
        return named if named and named.line_id == line_id and named.order_id == order_id else None

    def waiting_with(self, changed: Reservation) -> tuple[Reservation, ...]:
        """Return the first of the queue after `changed` changed; a line that joins the queue is behind them."""
        for number, each in enumerate(self.waiting):
            if each.line_id == changed.line_id and each.order_id == changed.order_id:
                return self.waiting[:number] + ((changed,) if changed.waiting else ()) + self.waiting[number + 1 :]
        return self.waiting
