"""The states of an order: units per line, and statuses derived from them."""

from domain.address import Address
from domain.message import State
from domain.money import Money
from domain.policy import AllocationPolicy

from . import status
from .commands import Price
from .status import AllocationStatus as AllocationStatus
from .status import OrderStatus as OrderStatus
from .status import ReturnStatus as ReturnStatus
from .status import ShipmentStatus as ShipmentStatus


class Line(State):
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
    rejected: int = 0  # how many of the cancelled units stock refused
    returned: int = 0  # counted in, including damaged ones
    damaged: int = 0  # how many of the returned units are damaged
    stock_version: int = 0  # version of the product when stock last reported this line

    @property
    def active(self) -> int:
        """Units that are not cancelled."""
        return self.ordered - self.cancelled

    @property
    def unshipped(self) -> int:
        """Units that can still be cancelled."""
        return self.pending + self.backordered + self.allocated


class ShipmentLine(State):
    """Units of a line in a shipment."""

    line_id: str
    quantity: int
    delivered: int = 0
    latest: int = 0  # units in the latest delivery, so that its repeat is recognized; 0 in older entries

    @property
    def undelivered(self) -> int:
        """Units in transit."""
        return self.quantity - self.delivered


class Shipment(State):
    """Units that left the warehouse together."""

    shipment_id: str
    status: ShipmentStatus
    lines: tuple[ShipmentLine, ...]
    carrier: str | None = None
    tracking_number: str | None = None
    all_allocated: bool | None = None  # whether the command named no lines; None in older entries


class ReturnLineState(State):
    """Units of a line in a return, as announced and as counted."""

    line_id: str
    quantity: int
    received: int = 0
    damaged: int = 0


class Return(State):
    """Units that come back together; open until they are counted in."""

    return_id: str
    open: bool
    lines: tuple[ReturnLineState, ...]
    reason: str


class Order(State):
    """An order that was placed."""

    customer_id: str
    lines: tuple[Line, ...]
    policy: AllocationPolicy
    total_cost: Money
    shipping_address: Address
    billing_address: Address
    issued_at: str | None = None
    hold: str | None = None  # the reason; an empty one is valid
    shipments: tuple[Shipment, ...] = ()
    returns: tuple[Return, ...] = ()

    @property
    def status(self) -> OrderStatus:
        """The order's status, in the vocabulary of the previous system."""
        active = shipped = delivered = 0
        for line in self.lines:  # one loop, because this runs for every event
            active += line.ordered - line.cancelled
            shipped += line.shipped
            delivered += line.delivered
        return status.order_status(active, shipped, delivered)

    @property
    def allocation_status(self) -> AllocationStatus | None:
        """How much of the order stock has allocated; None when no units are active."""
        pending = backordered = won = 0
        for line in self.lines:
            pending += line.pending
            backordered += line.backordered
            won += line.allocated + line.shipped
        return status.allocation_status(pending, backordered, won)

    @property
    def return_status(self) -> ReturnStatus:
        """How much of the order has come back."""
        if not self.returns:
            return ReturnStatus.NONE
        return status.return_status(
            self.total("delivered"), self.total("returned"), any(back.open for back in self.returns)
        )

    @property
    def cancelled(self) -> bool:
        """Whether no units are active: the same as status CANCELLED, but cheaper."""
        return all(line.cancelled == line.ordered for line in self.lines)

    def total(self, quantity: str) -> int:
        """Return the sum of a quantity over the lines."""
        return sum([getattr(line, quantity) for line in self.lines])

    def line(self, line_id: str) -> Line | None:
        """Return the line, if the order has it."""
        return next((line for line in self.lines if line.line_id == line_id), None)

    def shipment(self, shipment_id: str) -> Shipment | None:
        """Return the shipment, cancelled or not, if the order has it."""
        return next((shipment for shipment in self.shipments if shipment.shipment_id == shipment_id), None)

    def return_(self, return_id: str) -> Return | None:
        """Return the return, open or closed, if the order has it."""
        return next((back for back in self.returns if back.return_id == return_id), None)


class OrderState(State):
    """The state on which a decision about an order is made: its id, and the order once it is placed."""

    order_id: str
    order: Order | None = None
