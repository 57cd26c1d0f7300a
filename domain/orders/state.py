"""The states of an order: units per line, and statuses derived from them."""

from domain.address import KeptAddress
from domain.message import State
from domain.money import Money
from domain.policy import AllocationPlan, AllocationPolicy, Granted

from . import status
from .commands import Price, Rest, WhenLate, WhenOver, hold_id_of
from .status import AllocationStatus as AllocationStatus
from .status import OrderStatus as OrderStatus
from .status import ReturnStatus as ReturnStatus
from .status import ShipmentStatus as ShipmentStatus


class Line(State):
    """A line's units: `ordered = cancelled + lost + pending + backordered + allocated + shipped`."""

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
    lost: int = 0  # left the warehouse, and will not arrive
    reduced: int = 0  # units that were ordered when the line was placed, and are not any more
    added: bool = False  # whether the line was added after the order was placed
    part_of: str | None = None  # the line whose units it completes or replaces
    at: tuple[Granted, ...] = ()  # the units stock granted by location, unless all are at `default`
    could: tuple[str, ...] = ()  # locations that could give all of its units, if the order asks for one location

    @property
    def active(self) -> int:
        """Units that are not cancelled, and not lost."""
        return self.ordered - self.cancelled - self.lost

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
    lost: int = 0

    @property
    def undelivered(self) -> int:
        """Units in transit."""
        return self.quantity - self.delivered - self.lost


class Shipment(State):
    """Units that left the warehouse together."""

    shipment_id: str
    status: ShipmentStatus
    lines: tuple[ShipmentLine, ...]
    carrier: str | None = None
    tracking_number: str | None = None
    all_allocated: bool | None = None  # whether the command named no lines; None in older entries
    location: str | None = None  # from where, unless it is `default`
    rest: Rest | None = None  # how a closed one handles its lost units; None in older entries


class ReturnLineState(State):
    """Units of a line in a return, as announced and as counted."""

    line_id: str
    quantity: int
    received: int = 0
    damaged: int = 0


class Receipt(State):
    """A parcel of a return: by line, the units received and how many of them are damaged."""

    receipt_id: str
    counted: dict[str, tuple[int, int]]


class Return(State):
    """Units that come back; open until the first of them are counted in."""

    return_id: str
    open: bool
    lines: tuple[ReturnLineState, ...]
    reason: str
    receipts: tuple[Receipt, ...] = ()  # so that a repeat is recognized; older code recorded none


class Proposal(State):
    """The newest proposal of one location for the whole order."""

    number: int
    location: str | None  # None: lines that moved for earlier proposals return to their own plan
    asked: tuple[str, ...]  # the lines that have not answered it
    moved: tuple[str, ...] = ()  # the lines that moved for proposals


class Held(State):
    """A hold: one reason why the order does not ship."""

    hold_id: str
    reason: str  # an empty one is valid
    until: str | None = None
    when_over: WhenOver = WhenOver.RELEASE


class Order(State):
    """An order that was placed."""

    customer_id: str
    lines: tuple[Line, ...]
    policy: AllocationPolicy
    total_cost: Money
    shipping_address: KeptAddress
    billing_address: KeptAddress
    issued_at: str | None = None
    hold: str | None = None  # the reason of the newest hold; older code knew only this, and may read the entry again
    shipments: tuple[Shipment, ...] = ()
    returns: tuple[Return, ...] = ()
    held: tuple[Held, ...] = ()  # the holds, the newest last; empty if older code recorded the only one, without an id
    ship_by: str | None = None
    when_late: WhenLate = WhenLate.KEEP
    backorders_expire_at: str | None = None
    late: bool = False  # whether units had not shipped at `ship_by`
    changed: tuple[str, ...] = ()  # its fields that were changed since it was placed
    allocation: AllocationPlan | None = None  # from which locations it gets its units
    proposal: Proposal | None = None  # the newest proposal of one location

    @property
    def on_hold(self) -> bool:
        """Whether the order has any holds."""
        return self.hold is not None or len(self.held) > 0

    @property
    def holds(self) -> tuple[Held, ...]:
        """All holds, the newest last."""
        return self.held or (() if self.hold is None else (Held(hold_id_of(self.hold), self.hold),))

    @property
    def status(self) -> OrderStatus:
        """The order's status, in the vocabulary of the previous system."""
        active = shipped = delivered = 0
        for line in self.lines:  # one loop, because this runs for every event
            active += line.ordered - line.cancelled - line.lost
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
        return all(line.cancelled + line.lost == line.ordered for line in self.lines)

    def is_moving(self, line_id: str) -> bool:
        """Return whether a line has not answered the newest proposal of one location."""
        return self.proposal is not None and line_id in self.proposal.asked

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
