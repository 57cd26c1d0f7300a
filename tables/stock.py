"""The table of stock: one entry per product, per reservation, and per place in a backorder queue.

    product               StockEntry
    product/order/line    Reservation
    product//place        QueuePlace: the reservation that waits there

With separate entries, a command costs the same for a product with 100,000 open reservations as for one without any.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from domain.inventory import InventoryCommand, Reservation, Stock, StockState
from domain.inventory.backorders import first_waiting, units_to_serve
from domain.inventory.commands import ReservationCommand
from domain.message import State
from streams.keys import segment
from streams.topics import STOCK_STATES

from .entries import Recent, StructCodec
from .store import Changes, PartitionedTable, declare


class StockEntry(State):
    """A product, its version, and the answers to its recent commands."""

    state: Stock
    version: int
    recent: Recent = ()
    time: str = ""  # the time of its last event; "" if older code wrote that event, with its producer's time

    @property
    def result(self) -> dict[str, Any]:
        """The part of the product that outcomes contain."""
        balance = self.state.balance
        return {
            "availableQuantity": balance.available,
            "allocatedQuantity": balance.allocated,
            "onHandQuantity": balance.on_hand,
            "damagedQuantity": balance.damaged,
            "backorderedQuantity": balance.backordered,
            "status": self.state.status if self.state.exists else None,
        }


class QueuePlace(State):
    """The order and line that wait at a place of a product's queue."""

    order_id: str
    line_id: str


class StockCodec(StructCodec):
    """The codec of the table; the type of a value follows from the number of segments in its key."""

    older: Mapping[bytes, bytes] = {b'"on_hand":': b'"onHand":'}

    def kind(self, key: bytes) -> type:
        """Return the type of the value under `key`."""
        if b"/" not in key:
            return StockEntry
        return QueuePlace if b"//" in key else Reservation


CODEC = StockCodec(StockEntry, Reservation, QueuePlace)


def stock_table(app: Any) -> PartitionedTable:
    """Return the table of the inventory role."""
    return declare(app, STOCK_STATES.name, CODEC, "products, reservations and backorder queues")


class ProductReservations:
    """One product's reservations and its backorder queue, as a transaction sees them."""

    __slots__ = ("_changes", "_prefix", "product_id")

    def __init__(self, changes: Changes[Any], product_id: str) -> None:
        self.product_id = product_id
        self._changes = changes
        self._prefix = segment(product_id)

    def _key(self, order_id: str, line_id: str) -> bytes:
        return b"%b/%b/%b" % (self._prefix, segment(order_id), segment(line_id))

    def _place(self, place: int) -> bytes:
        return b"%b//%d" % (self._prefix, place)

    def state_for(self, command: InventoryCommand, stock: Stock) -> StockState:
        """Return the state for deciding `command`; of the queue it contains only the lines that it can serve."""
        reservation = None
        if isinstance(command, ReservationCommand):
            reservation = self.get(command.order_id, command.line_id)
        units = units_to_serve(command, stock, reservation)
        return StockState(self.product_id, stock, reservation, first_waiting(self.queue(stock), units) if units else ())

    def get(self, order_id: str, line_id: str) -> Reservation | None:
        """Return the line's reservation."""
        return self._changes.get(self._key(order_id, line_id))

    def queue(self, stock: Stock) -> Iterator[Reservation]:
        """Yield the waiting lines, first come first served; a line that left the queue leaves a hole."""
        for place in range(stock.queue_head, stock.queue_tail):
            who: QueuePlace | None = self._changes.get(self._place(place))
            if who is not None and (reservation := self.get(who.order_id, who.line_id)) is not None:
                yield reservation

    def put(self, reservation: Reservation) -> None:
        """Set a line's reservation, and its place in the queue as long as the line waits."""
        key = self._key(reservation.order_id, reservation.line_id)
        before: Reservation | None = self._changes.get(key)
        self._changes.put(key, reservation)
        old = before.place if before is not None and before.waiting else None
        new = reservation.place if reservation.waiting else None
        if old is not None and old != new:
            self._changes.put(self._place(old), None)
        if new is not None and old != new:
            self._changes.put(self._place(new), QueuePlace(reservation.order_id, reservation.line_id))
