"""Events of an order. Figures are totals after the event, so that consumers need not add up."""

from enum import StrEnum
from typing import ClassVar

from domain.address import Address
from domain.message import Event, Value
from domain.money import Money
from domain.policy import AllocationPolicy

from .commands import Price


class PlacedLine(Value):
    """A line as placed."""

    line_id: str
    product_id: str
    quantity: int
    price: Price


class CancelledLine(Value):
    """`quantity` units of the line were cancelled now; `keep` units are still ordered and not shipped."""

    line_id: str
    product_id: str
    quantity: int
    keep: int


class ShippedLine(Value):
    """`quantity` units of the line are in this shipment; `shipped` is the line's total after it."""

    line_id: str
    product_id: str
    quantity: int
    shipped: int


class DeliveredLine(Value):
    """`quantity` units of the line were delivered now; `delivered` is the line's total after it."""

    line_id: str
    quantity: int
    delivered: int


class ReturnLine(Value):
    """The return of `quantity` units of the line is announced."""

    line_id: str
    product_id: str
    quantity: int


class ReceivedLine(Value):
    """`received` units came back now, `damaged` of them unsaleable; the totals are the line's after it."""

    line_id: str
    product_id: str
    received: int
    damaged: int
    total_received: int
    total_damaged: int


class OrderPlaced(Event):
    """An order was placed; nothing is allocated yet."""

    customer_id: str
    lines: tuple[PlacedLine, ...]
    shipping_address: Address
    billing_address: Address
    total_cost: Money
    policy: AllocationPolicy
    issued_at: str | None = None


class AllocationRecorded(Event):
    """The state of a line's unshipped units; `rejected` units were cancelled for `reason`."""

    line_id: str
    product_id: str
    pending: int
    backordered: int
    allocated: int
    cancelled: int
    rejected: int
    reason: str | None = None
    stock_version: int


class LinesCancelled(Event):
    """Part of the order was cancelled."""

    lines: tuple[CancelledLine, ...]
    reason: str


class CancellationCause(StrEnum):
    """Why an order ended before anything of it had shipped."""

    REQUEST = "REQUEST"  # requested by a client, who gave the reason
    STOCK = "STOCK"  # stock could not serve the order; the reason is a code: OUT_OF_STOCK, PRODUCT_NOT_FOUND …


class OrderCancelled(Event):
    """All remaining units of the order were cancelled; none had shipped.

    Version 1 had no `cause`: it can only be guessed from the reason, which is free text.
    """

    schema_version: ClassVar[int] = 2

    lines: tuple[CancelledLine, ...]
    reason: str
    cause: CancellationCause


class OrderHeld(Event):
    """Shipping is blocked; a second hold with another reason replaces the first."""

    reason: str


class OrderReleased(Event):
    """Shipping is possible again."""


class ShipmentCreated(Event):
    """Units left the warehouse. `allAllocated`: whether the command named no lines (missing in older events)."""

    shipment_id: str
    lines: tuple[ShippedLine, ...]
    carrier: str | None = None
    tracking_number: str | None = None
    all_allocated: bool | None = None


class ShipmentDelivered(Event):
    """Units of a shipment arrived, possibly not all of them."""

    shipment_id: str
    lines: tuple[DeliveredLine, ...]


class ShipmentCancelled(Event):
    """A whole shipment was cancelled; its units are allocated again."""

    shipment_id: str
    lines: tuple[ShippedLine, ...]


class ReturnRequested(Event):
    """The customer announced the return of units."""

    return_id: str
    lines: tuple[ReturnLine, ...]
    reason: str


class ReturnReceived(Event):
    """The units of a return were received, and the return was closed."""

    return_id: str
    lines: tuple[ReceivedLine, ...]


OrderEvent = (
    OrderPlaced | AllocationRecorded | LinesCancelled | OrderCancelled | OrderHeld | OrderReleased | ShipmentCreated
    | ShipmentDelivered | ShipmentCancelled | ReturnRequested | ReturnReceived
)  # fmt: skip
