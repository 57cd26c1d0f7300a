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
from domain.inventory.expiring import ExpireReservation
from domain.inventory.locations import shown
from domain.inventory.requeueing import newest_holding, units_missing
from domain.message import State
from streams.keys import segment
from streams.topics import STOCK_STATES

from .entries import Recent, StructCodec
from .store import Changes, PartitionedTable, declare
from .timers import move


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
            **(shown(self.state) if self.state.locations else {}),
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

    def due(self, value: Any) -> str | None:
        """Return when a reservation gives up its units; None for other entries."""
        return value.due if type(value) is Reservation else None


HOLDS = b'"held":'  # in the row of a reservation that holds units, because fields with their default are omitted
MANY_HOLES = 100  # in a row; then it is faster to list the places at which lines wait
OF_A_LINE = ReservationCommand | ExpireReservation  # these commands find no units missing
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

    def state_for(self, command: InventoryCommand | ExpireReservation, stock: Stock, version: int) -> StockState:
        """Return the state for deciding `command`; of the queue it contains only the lines that it can serve."""
        reservation, missing = None, 0
        if isinstance(command, OF_A_LINE):
            reservation = self.get(command.order_id, command.line_id)
        else:
            missing = units_missing(command, stock)
        units = units_to_serve(command, stock, reservation)
        waiting = first_waiting(self.queue(stock), units) if units else ()
        newest = newest_holding(self._holding(), missing, getattr(command, "location", None)) if missing else ()
        return StockState(self.product_id, stock, reservation, waiting, version, newest)

    def get(self, order_id: str, line_id: str) -> Reservation | None:
        """Return the line's reservation."""
        return self._changes.get(self._key(order_id, line_id))

    def _holding(self) -> Iterator[Reservation]:
        """Yield the reservations that hold units; it reads all of the product's, which takes seconds for millions."""
        for reservation in self._changes.values(self._prefix + b"/", but=self._prefix + b"//", containing=HOLDS):
            if reservation.held:
                yield reservation

    def queue(self, stock: Stock) -> Iterator[Reservation]:
        """Yield the waiting lines, first come first served; a line that left the queue leaves a hole."""
        holes = 0
        for place in range(stock.queue_head, stock.queue_tail):
            if holes == MANY_HOLES:
                yield from map(self._waiting_at, self._places(place, stock.queue_tail))
                return
            if (reservation := self._waiting_at(place)) is not None:
                yield reservation
            holes = holes + 1 if reservation is None else 0

    def _waiting_at(self, place: int) -> Any:
        """Return the reservation that waits at a place; None if the place is empty."""
        who: QueuePlace | None = self._changes.get(self._place(place))
        return None if who is None else self.get(who.order_id, who.line_id)

    def _places(self, first: int, tail: int) -> list[int]:
        """Return the places from `first` to `tail` at which lines wait.

        A line that waits for units at one location may be followed by millions of empty places: lines that were served
        from other locations left them.
        """
        prefix = self._prefix + b"//"
        places = (int(key[len(prefix) :]) for key in self._changes.keys(prefix))
        return sorted(place for place in places if first <= place < tail)

    def put(self, reservation: Reservation) -> None:
        """Set a line's reservation, and its place in the queue as long as the line waits."""
        key = self._key(reservation.order_id, reservation.line_id)
        before: Reservation | None = self._changes.get(key)
        self._changes.put(key, reservation)
        if reservation.expires_at is not None or (before is not None and before.expires_at is not None):
            move(self._changes, key, None if before is None else before.due, reservation.due)
        old = before.place if before is not None and before.waiting else None
        new = reservation.place if reservation.waiting else None
        if old is not None and old != new:
            self._changes.put(self._place(old), None)
        if new is not None and old != new:
            self._changes.put(self._place(new), QueuePlace(reservation.order_id, reservation.line_id))
