"""Limits to the size of an order: it is stored as one table entry and one document.

They apply to what has no other limit: its shipments, its returns and its holds.
"""

from typing import Any

import msgspec
from msgspec.structs import asdict

from domain.errors import TooManyHolds, TooManyReturns, TooManyShipments

from .state import Held, Order, Return, Shipment

# The number of bytes after which no more are accepted. The last one comes on top: 200 lines with the longest ids are
# 120 KiB. Together with the lines of the order itself and its recent answers, this stays below the 1 MiB that Kafka
# accepts by default.
MAX_BYTES = 128 << 10
FEW = 2  # fewer cannot exceed the limit


def refuse_more_shipments(order: Order) -> None:
    """Raise TooManyShipments if the shipments of `order`, including cancelled ones, leave no room for another."""
    if len(order.shipments) >= FEW and (size := _size(order.shipments)) >= MAX_BYTES:
        raise TooManyShipments(shipments=len(order.shipments), bytes=size, limit=MAX_BYTES)


def refuse_more_returns(order: Order) -> None:
    """Raise TooManyReturns if the returns of `order`, including received ones, leave no room for another."""
    if len(order.returns) >= FEW and (size := _size(order.returns)) >= MAX_BYTES:
        raise TooManyReturns(returns=len(order.returns), bytes=size, limit=MAX_BYTES)


def refuse_more_holds(order: Order) -> None:
    """Raise TooManyHolds if the holds of `order` leave no room for another."""
    if len(order.held) >= FEW and (size := _size(order.held)) >= MAX_BYTES:
        raise TooManyHolds(holds=len(order.held), bytes=size, limit=MAX_BYTES)


def _size(kept: tuple[Shipment | Return | Held, ...]) -> int:
    """Return the size of their JSON with all fields: the limit must not depend on which fields have default values."""
    return len(msgspec.json.encode([_whole(each) for each in kept]))


def _whole(kept: Shipment | Return | Held) -> dict[str, Any]:
    if isinstance(kept, Held):
        return asdict(kept)
    return asdict(kept) | {"lines": [asdict(line) for line in kept.lines]}
