"""The table of orders: one entry per order."""

from collections.abc import Mapping
from typing import Any

from domain.message import State
from domain.orders import Order
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


class OrdersCodec(StructCodec):
    """The codec of the table; keys that do not begin with `/` are ids of orders."""

    older: Mapping[bytes, bytes] = {b'"zip_code":': b'"zipCode":'}

    def kind(self, key: bytes) -> type:
        """Return `OrderEntry`."""
        return OrderEntry


CODEC = OrdersCodec(OrderEntry)


def orders_table(app: Any) -> PartitionedTable:
    """Return the table of the orders role."""
    return declare(app, ORDER_STATES.name, CODEC, "each order")
