"""Events of an order. Figures are totals after the event, so that consumers need not add up."""

from enum import StrEnum
from typing import ClassVar

from domain.address import KeptAddress
from domain.message import Event, Value
from domain.money import Money
from domain.policy import AllocationPlan, AllocationPolicy, Granted

from .commands import Price, Rest, WhenLate, WhenOver


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
    """`quantity` units of the line are in this shipment.

    `shipped` is the line's total after it: all units that have left the warehouse, including lost ones.
    """

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
    shipping_address: KeptAddress
    billing_address: KeptAddress
    total_cost: Money
    policy: AllocationPolicy
    issued_at: str | None = None
    ship_by: str | None = None
    when_late: WhenLate = WhenLate.KEEP
    backorders_expire_at: str | None = None
    allocation: AllocationPlan | None = None


class AllocationRecorded(Event):
    """The state of a line's unshipped units; `rejected` units were cancelled for `reason`.

    `keep`: how many unshipped units stock may keep for the line, if it refused units that were shipped nevertheless.
    `at`: what stock granted by location, shipped units included, unless all are at `default`. For an order that asks
    for one location, `could` names locations that could give the whole line, and `proposal` the proposal it answers.
    """

    line_id: str
    product_id: str
    pending: int
    backordered: int
    allocated: int
    cancelled: int
    rejected: int
    reason: str | None = None
    stock_version: int
    keep: int | None = None
    at: tuple[Granted, ...] = ()
    could: tuple[str, ...] = ()
    proposal: int = 0


class ProposedLine(Value):
    """A line that stock is asked to reserve elsewhere."""

    line_id: str
    product_id: str


class LocationProposed(Event):
    """Stock is asked to reserve the lines at `location`, so that it has all units of the order.

    Without a location, an earlier proposal failed, and lines that moved for it get their units by their own plan again.
    Each line is answered by an `AllocationRecorded` with the same `proposal`.
    """

    proposal: int
    location: str | None = None
    lines: tuple[ProposedLine, ...]


class LinesCancelled(Event):
    """Part of the order was cancelled."""

    lines: tuple[CancelledLine, ...]
    reason: str


class AddedLine(Value):
    """A line that was added; `partOf` names the line whose units it completes or replaces."""

    line_id: str
    product_id: str
    quantity: int
    price: Price
    part_of: str | None = None


class LinesAdded(Event):
    """Lines were added; none of their units are allocated yet. `totalCost` is the order's total after it."""

    lines: tuple[AddedLine, ...]
    policy: AllocationPolicy
    total_cost: Money
    allocation: AllocationPlan | None = None


class ReducedLine(Value):
    """`quantity` units are not ordered any more; `keep` units are still ordered and not shipped."""

    line_id: str
    product_id: str
    quantity: int
    keep: int


class LinesReduced(Event):
    """Units that had not shipped are not ordered any more. `totalCost` is the order's total after it."""

    lines: tuple[ReducedLine, ...]
    total_cost: Money


class ShippingAddressChanged(Event):
    """Later shipments of the order go to another address."""

    shipping_address: KeptAddress


class PolicyChanged(Event):
    """Another policy decides what happens when stock is short; `LinesCancelled` or `OrderCancelled` may follow."""

    policy: AllocationPolicy


class CancellationCause(StrEnum):
    """Why an order ended before anything of it had shipped."""

    REQUEST = "REQUEST"  # by a client, who gave the reason, or by a deadline: SHIP_BY, HOLD_UNTIL …
    STOCK = "STOCK"  # stock could not serve the order; the reason is a code: OUT_OF_STOCK, PRODUCT_NOT_FOUND …


class OrderCancelled(Event):
    """All remaining units of the order were cancelled; none had shipped.

    Version 1 had no `cause`: it can only be guessed from the reason, which is free text.
    """

    schema_version: ClassVar[int] = 2

    lines: tuple[CancelledLine, ...]
    reason: str
    cause: CancellationCause


class OrderLate(Event):
    """Units of the order have not shipped by the time `shipBy`."""

    ship_by: str


class OrderHeld(Event):
    """Another hold blocks shipping, or an existing hold has another reason.

    `holdId` is missing in older events: an order had one hold, and a second one replaced the first.
    """

    reason: str
    hold_id: str | None = None
    until: str | None = None
    when_over: WhenOver = WhenOver.RELEASE


class OrderReleased(Event):
    """A hold ended; shipping is possible again when none is left. `holdId` is missing in older events.

    `until`: the time at which it ended by itself, if it did.
    """

    hold_id: str | None = None
    until: str | None = None


class OrderArchived(Event):
    """The order is closed, has not changed for a long time, and is archived. Any later event restores it.

    No command causes it: its `causationid` is the id of the order's last event.
    """


class ShipmentCreated(Event):
    """Units left the warehouse. `allAllocated`: whether the command named no lines (missing in older events).

    `location`: where they left from, unless it is `default`.
    """

    shipment_id: str
    lines: tuple[ShippedLine, ...]
    carrier: str | None = None
    tracking_number: str | None = None
    all_allocated: bool | None = None
    location: str | None = None


class ShipmentDelivered(Event):
    """Units of a shipment arrived, possibly not all of them."""

    shipment_id: str
    lines: tuple[DeliveredLine, ...]


class LostLine(Value):
    """`quantity` units of the line were lost; `lost` is the line's total after it."""

    line_id: str
    product_id: str
    quantity: int
    lost: int


class ShipmentClosed(Event):
    """The units of a shipment that were not delivered are lost. `LinesAdded` precedes it if they are sent again."""

    shipment_id: str
    lines: tuple[LostLine, ...]
    rest: Rest
    reason: str


class ShipmentCancelled(Event):
    """A whole shipment was cancelled; its units are allocated again."""

    shipment_id: str
    lines: tuple[ShippedLine, ...]
    location: str | None = None


class ReturnRequested(Event):
    """The customer announced the return of units."""

    return_id: str
    lines: tuple[ReturnLine, ...]
    reason: str


class ReturnReceived(Event):
    """Units of a return were received. The first receipt closes it, and later ones count more units of it.

    `receiptId` is missing in older events: a return had only one receipt.
    """

    return_id: str
    lines: tuple[ReceivedLine, ...]
    receipt_id: str | None = None
    location: str | None = None


OrderEvent = (
    OrderPlaced | AllocationRecorded | LocationProposed | LinesAdded | LinesReduced | LinesCancelled | OrderCancelled
    | OrderHeld | OrderReleased | ShipmentCreated | ShipmentDelivered | ShipmentClosed | ShipmentCancelled
    | ReturnRequested | ReturnReceived | OrderLate | ShippingAddressChanged | PolicyChanged | OrderArchived
)  # fmt: skip
