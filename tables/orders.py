"""The orders' table: one entry an order."""

from collections.abc import Mapping
from typing import Any

from domain.message import State
from domain.orders import Order
from streams.topics import ORDER_STATES

from .entries import Recent, StructCodec
from .store import PartitionedTable, declare


class OrderEntry(State):
    """An order, its version, and the commands it answered lately."""

    state: Order
    version: int
    recent: Recent = ()
    time: str = ""  # of its last event; "": older code wrote that, with its producer's time

    @property
    def result(self) -> dict[str, Any]:
        """What an outcome says of the order."""
        order, allocation = self.state, self.state.allocation_status
        return {"status": order.status._value_, "allocationStatus": allocation and allocation._value_}


class OrdersCodec(StructCodec):
    """Every key that is not ours is an order's."""

    older: Mapping[bytes, bytes] = {b'"zip_code":': b'"zipCode":'}

    def kind(self, key: bytes) -> type:
        """Return `OrderEntry`."""
        return OrderEntry


CODEC = OrdersCodec(OrderEntry)


def orders_table(app: Any) -> PartitionedTable:
    """Return the table of the orders role."""
    return declare(app, ORDER_STATES.name, CODEC, "orders as they stand")
