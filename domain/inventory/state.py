"""The states of stock: a product with its balance and its queue, and one reservation per line."""

from enum import StrEnum

from msgspec import field

from domain.message import State
from domain.policy import AllocationPlan

from .events import At, Balance, Held


class ProductStatus(StrEnum):
    """Whether a product accepts reservations."""

    AVAILABLE = "AVAILABLE"
    OUT_OF_STOCK = "OUT_OF_STOCK"
    DISCONTINUED = "DISCONTINUED"


class Transfer(State):
    """Units under way from one location to another."""

    transfer_id: str
    source: str
    target: str
    quantity: int


class Stock(State):
    """A product. `exists` is false until stock was received or set. Places in the queue are numbered in order."""

    exists: bool = False
    discontinued: bool = False
    balance: Balance = field(default_factory=Balance)
    queue_head: int = 0  # no line waits at an earlier place
    queue_tail: int = 0  # the next place to assign
    set_to: int | None = None  # the quantity it was last set to, until another change of the units on hand
    given: int = 0  # units given to waiting lines since then
    locations: tuple[At, ...] = ()  # its units by location, unless all have always been at `default`
    transfers: tuple[Transfer, ...] = ()  # under way

    @property
    def status(self) -> ProductStatus:
        """Whether the product accepts reservations."""
        if self.discontinued:
            return ProductStatus.DISCONTINUED
        return ProductStatus.AVAILABLE if self.balance.available else ProductStatus.OUT_OF_STOCK


class Reservation(State):
    """The units of a product reserved for a line; kept when it is empty, so that repeated commands are recognized."""

    order_id: str
    line_id: str
    held: int = 0
    waiting: int = 0
    shipped: int = 0
    rejected: int = 0
    received: int = 0  # returned units counted in
    damaged: int = 0  # how many of the received units are damaged
    place: int | None = None  # where in the queue its units wait, if any do
    order_version: int = 0  # version of the order at its newest event that was applied
    at: tuple[Held, ...] = ()  # its units by location, unless all are at `default`
    plan: AllocationPlan | None = None  # how it gets units
    since: int = 0  # version of the product since which it has held units; 0 if it holds none, or since older code
    expires_at: str | None = None  # when it gives up its units, if it has any

    @property
    def due(self) -> str | None:
        """When it gives up its units; None if it keeps them, as all reservations of orders do."""
        return None if self.order_version else self.expires_at

    @property
    def reserved(self) -> int:
        """Units granted, including shipped ones."""
        return self.held + self.shipped


class StockState(State):
    """The state on which a decision about a product is made: its stock, and the reservations that may change."""

    product_id: str
    stock: Stock = field(default_factory=Stock)
    reservation: Reservation | None = None  # the reservation of the line that the command or the last event names
    waiting: tuple[Reservation, ...] = ()  # the front of the queue, as far as the command can serve it
    version: int = 0  # the version of the product
    newest: tuple[Reservation, ...] = ()  # the holders of units the command finds missing; it then serves no line

    def find(self, order_id: str, line_id: str) -> Reservation | None:
        """Return the reservation of a line."""
        for each in self.waiting or self.newest:
            if each.line_id == line_id and each.order_id == order_id:
                return each
        named = self.reservation
        return named if named and named.line_id == line_id and named.order_id == order_id else None

    def waiting_with(self, changed: Reservation) -> tuple[Reservation, ...]:
        """Return the front of the queue with `changed` replaced; a line that joins the queue is not part of it."""
        for number, each in enumerate(self.waiting):
            if each.line_id == changed.line_id and each.order_id == changed.order_id:
                return self.waiting[:number] + ((changed,) if changed.waiting else ()) + self.waiting[number + 1 :]
        return self.waiting
