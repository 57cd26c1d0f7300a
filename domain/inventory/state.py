"""A product's stock as it stands: its balance, one reservation a line, and the queue of those that wait."""

from collections.abc import Iterator
from dataclasses import field
from enum import StrEnum
from typing import Protocol

from domain.frozen import frozen

from .events import Balance


class ProductStatus(StrEnum):
    """Can it be had?"""

    AVAILABLE = "AVAILABLE"
    OUT_OF_STOCK = "OUT_OF_STOCK"
    DISCONTINUED = "DISCONTINUED"


@frozen
class Stock:
    """A product; `exists` only once stock was received or set. Places in the queue are handed out in order."""

    exists: bool = False
    discontinued: bool = False
    balance: Balance = field(default_factory=Balance)
    queue_head: int = 0  # nobody waits at a place before this one
    queue_tail: int = 0  # the next place to hand out
    # The quantity stock was last set to, until anything else changes what is on hand; and the units that waiting lines
    # got since. Not compared: entries of before have neither.
    set_to: int | None = field(default=None, compare=False)
    given: int = field(default=0, compare=False)

    @property
    def status(self) -> ProductStatus:
        """Whether it can be had."""
        if self.discontinued:
            return ProductStatus.DISCONTINUED
        return ProductStatus.AVAILABLE if self.balance.available else ProductStatus.OUT_OF_STOCK


@frozen
class Reservation:
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


class Reservations(Protocol):
    """A product's reservations, wherever they are kept."""

    def get(self, order_id: str, line_id: str) -> Reservation | None:
        """Return the line's reservation."""

    def waiting(self, head: int, tail: int) -> Iterator[Reservation]:
        """Yield those that wait, in order of their places from `head` to before `tail`."""
