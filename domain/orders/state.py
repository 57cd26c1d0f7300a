"""An order as it stands: quantities per line, and everything else derived from them."""

from dataclasses import dataclass, field
from enum import StrEnum

from domain.address import Address
from domain.money import Money

from .commands import AllocationPolicy, OrderStatus, Price


class AllocationStatus(StrEnum):
    """How far stock has answered for what is still ordered."""

    PENDING = "PENDING"
    ALLOCATED = "ALLOCATED"
    PARTIALLY_ALLOCATED = "PARTIALLY_ALLOCATED"
    BACKORDERED = "BACKORDERED"


class ReturnStatus(StrEnum):
    """How far the order has come back."""

    NONE = "NONE"
    REQUESTED = "REQUESTED"
    PARTIALLY_RETURNED = "PARTIALLY_RETURNED"
    RETURNED = "RETURNED"


class ShipmentStatus(StrEnum):
    """Where a shipment is."""

    SHIPPED = "SHIPPED"
    PARTIALLY_DELIVERED = "PARTIALLY_DELIVERED"
    DELIVERED = "DELIVERED"
    CANCELLED = "CANCELLED"


@dataclass(frozen=True, slots=True)
class Line:
    """A line's units: `ordered = cancelled + pending + backordered + allocated + shipped`."""

    line_id: str
    product_id: str
    price: Price
    ordered: int
    pending: int
    backordered: int = 0
    allocated: int = 0
    shipped: int = 0
    delivered: int = 0
    cancelled: int = 0
    rejected: int = 0  # of the cancelled: those stock refused
    returned: int = 0  # counted in, damaged ones included
    damaged: int = 0  # of the returned
    stock_version: int = 0  # of the product, when it last said how this line stands


@dataclass(frozen=True, slots=True)
class ShipmentLine:
    """Units of a line in a shipment."""

    line_id: str
    quantity: int
    delivered: int = 0


@dataclass(frozen=True, slots=True)
class Shipment:
    """Units that left together."""

    shipment_id: str
    status: ShipmentStatus
    lines: tuple[ShipmentLine, ...]
    carrier: str | None = None
    tracking_number: str | None = None


@dataclass(frozen=True, slots=True)
class ReturnLineState:
    """Units of a line in a return, as announced and as counted."""

    line_id: str
    quantity: int
    received: int = 0
    damaged: int = 0


@dataclass(frozen=True, slots=True)
class Return:
    """Units that come back together; open until they are counted in."""

    return_id: str
    open: bool
    lines: tuple[ReturnLineState, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Order:
    """An order that was placed. `None` stands for one that was not."""

    customer_id: str
    lines: tuple[Line, ...]
    policy: AllocationPolicy
    total_cost: Money
    shipping_address: Address
    billing_address: Address
    issued_at: str | None = None
    hold: str | None = None  # the reason; "" is a reason too
    shipments: tuple[Shipment, ...] = field(default=())
    returns: tuple[Return, ...] = field(default=())

    # `status`, `allocation_status` and `return_status` are derived, first rule that holds
