"""The table of orders: one entry per order, which is small if the order is archived."""

from collections.abc import Iterable, Mapping
from itertools import accumulate, pairwise
from typing import Any

from msgspec.structs import replace

from domain.message import State
from domain.orders import Order
from domain.orders.deadlines import next_deadline
from streams.messages.tolerant import known_in
from streams.topics import ORDER_STATES

from .entries import Recent, StructCodec
from .store import PartitionedTable, declare


class OrderEntry(State):
    """An order, its version, and the answers to its recent commands."""

    state: Order
    version: int
    recent: Recent = ()
    time: str = ""  # the time of its last event; "" if older code wrote that event, with its producer's time

    @property
    def result(self) -> dict[str, Any]:
        """The part of the order that outcomes contain."""
        order, allocation = self.state, self.state.allocation_status
        return {"status": order.status._value_, "allocationStatus": allocation and allocation._value_}


class RestoredEntry(OrderEntry):
    """An archived order as its events say; it is kept only if a command changes it.

    `offsets` are those of its events, of which its archived entry may not know all.
    """

    offsets: tuple[int, ...] = ()


class ArchivedEntry(State):
    """An archived order, whose state is in its events only.

    `archived` are offsets in order-events: of its events before `OrderArchived`, or of the last ones as far as they are
    known. Each but the first is the difference from the one before it, which has fewer digits. `recent` are the answers
    to commands that have not changed the order since.
    """

    archived: tuple[int, ...]
    version: int
    time: str  # the time of `OrderArchived`
    recent: Recent = ()

    @classmethod
    def of(cls, offsets: Iterable[int], version: int, time: str) -> "ArchivedEntry":
        """Return the entry of an order whose events are at ascending offsets."""
        return cls((), version, time).with_offsets(offsets)

    def with_offsets(self, offsets: Iterable[int]) -> "ArchivedEntry":
        """Return the entry with the ascending offsets of its events."""
        known = tuple(offsets)
        return replace(self, archived=(*known[:1], *(after - before for before, after in pairwise(known))))

    @property
    def offsets(self) -> tuple[int, ...]:
        """The offsets of its events, as far as they are known."""
        return tuple(accumulate(self.archived))


_ARCHIVED = b'{"archived":'  # the first bytes of such an entry


class OrdersCodec(StructCodec):
    """The codec of the table; keys that do not begin with `/` are ids of orders."""

    older: Mapping[bytes, bytes] = {b'"zip_code":': b'"zipCode":'}

    def kind(self, key: bytes) -> type:
        """Return `OrderEntry`."""
        return OrderEntry

    def due(self, value: Any) -> str | None:
        """Return the earliest deadline of an order; None for other entries."""
        return next_deadline(value.state) if type(value) is OrderEntry else None

    def decode(self, key: bytes, raw: bytes) -> Any:
        """Return the value in a changelog value."""
        return self._archived(raw) if raw.startswith(_ARCHIVED) else super().decode(key, raw)

    def _archived(self, raw: bytes) -> ArchivedEntry:
        found: ArchivedEntry = known_in(raw, ArchivedEntry, self._decoders[ArchivedEntry])
        return found


CODEC = OrdersCodec(OrderEntry, ArchivedEntry)


def orders_table(app: Any) -> PartitionedTable:
    """Return the table of the orders role."""
    return declare(app, ORDER_STATES.name, CODEC, "each order")
