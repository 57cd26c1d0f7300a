"""The stock table: one entry a product, one a reservation, one a place in a backorder queue.

    product               StockEntry
    product/order/line    Reservation
    product//place        QueuePlace: who waits there

so that a product with 100,000 open reservations costs the same a command as one with none.
"""

from collections.abc import Iterator
from typing import Any

from domain.frozen import frozen
from domain.inventory import Reservation, Stock
from streams.topics import STOCK_STATES

from .entries import Adapted, Recent, segment
from .store import Changes, PartitionedTable, declare


@frozen
class StockEntry:
    """A product, its version, and the commands it answered lately."""

    state: Stock
    version: int
    recent: Recent = ()
    time: str = ""  # of its last event; "": older code wrote that, with its producer's time


@frozen
class QueuePlace:
    """Who waits at a place of a product's queue."""

    order_id: str
    line_id: str


class StockCodec(Adapted):
    """The number of segments says what a key is."""

    def kind(self, key: bytes) -> type:
        """Return the type of the value under `key`."""
        if b"/" not in key:
            return StockEntry
        return QueuePlace if b"//" in key else Reservation


CODEC = StockCodec(StockEntry, Reservation, QueuePlace)


def stock_table(app: Any) -> PartitionedTable:
    """Return the table of the inventory role."""
    return declare(app, STOCK_STATES.name, CODEC, "products, reservations and backorder queues as they stand")


class ProductReservations:
    """One product's reservations, as a transaction sees them; implements the domain's `Reservations`."""

    __slots__ = ("_changes", "_product")

    def __init__(self, changes: Changes[Any], product_id: str) -> None:
        self._changes = changes
        self._product = segment(product_id)

    def _key(self, order_id: str, line_id: str) -> bytes:
        return b"%b/%b/%b" % (self._product, segment(order_id), segment(line_id))

    def _place(self, place: int) -> bytes:
        return b"%b//%d" % (self._product, place)

    def get(self, order_id: str, line_id: str) -> Reservation | None:
        """Return the line's reservation."""
        return self._changes.get(self._key(order_id, line_id))

    def waiting(self, head: int, tail: int) -> Iterator[Reservation]:
        """Yield those that wait, in order of their places from `head` to before `tail`."""
        for place in range(head, tail):
            who: QueuePlace | None = self._changes.get(self._place(place))
            if who is not None and (reservation := self.get(who.order_id, who.line_id)) is not None:
                yield reservation

    def put(self, before: Reservation | None, after: Reservation) -> None:
        """Set a line's reservation, and keep the queue as its waiting units say."""
        self._changes.put(self._key(after.order_id, after.line_id), after)
        old = before.place if before is not None and before.waiting else None
        new = after.place if after.waiting else None
        if old is not None and old != new:
            self._changes.put(self._place(old), None)
        if new is not None and old != new:
            self._changes.put(self._place(new), QueuePlace(after.order_id, after.line_id))
