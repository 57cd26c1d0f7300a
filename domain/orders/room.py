"""How far an order may grow: an order is one table entry and one document, and shipments and returns stay in it."""

import msgspec
from msgspec.structs import asdict

from domain.errors import TooManyReturns, TooManyShipments

from .state import Order, Return, Shipment

# Bytes after which no more are taken. The last one comes on top: 200 lines with the longest ids are 120 KiB. With the
# lines of the order itself and its recent answers, all this stays below the 1 MiB that Kafka takes by default.
MAX_BYTES = 128 << 10
FEW = 2  # fewer cannot reach that


def refuse_more_shipments(order: Order) -> None:
    """Raise TooManyShipments if the shipments of `order`, cancelled ones included, leave no room for another."""
    if len(order.shipments) >= FEW and (size := _size(order.shipments)) >= MAX_BYTES:
        raise TooManyShipments(shipments=len(order.shipments), bytes=size, limit=MAX_BYTES)


def refuse_more_returns(order: Order) -> None:
    """Raise TooManyReturns if the returns of `order`, received ones included, leave no room for another."""
    if len(order.returns) >= FEW and (size := _size(order.returns)) >= MAX_BYTES:
        raise TooManyReturns(returns=len(order.returns), bytes=size, limit=MAX_BYTES)


def _size(parcels: tuple[Shipment | Return, ...]) -> int:
    """Return the bytes of their JSON with all fields: the limit must not move when entries leave out defaults."""
    return len(
        msgspec.json.encode([asdict(parcel) | {"lines": [asdict(line) for line in parcel.lines]} for parcel in parcels])
    )
