"""Events of a product's stock. Each carries the `balance` after it."""

from domain.message import Event, Value, written
from domain.policy import AllocationPlan


class Balance(Value):
    """A product's units after an event.

    `available = on_hand - allocated`; `received + adjusted + restocked = on_hand + in_transit + shipped`, all totals
    since the product's first event. `damaged` units came back and are not on hand.
    """

    on_hand: int = written(0)
    allocated: int = written(0)
    available: int = written(0)
    backordered: int = written(0)
    damaged: int = written(0)
    received: int = written(0)
    adjusted: int = written(0)
    restocked: int = written(0)
    shipped: int = written(0)
    in_transit: int = 0  # units under way between locations


class At(Value):
    """A product's units at one location after an event."""

    location: str
    on_hand: int = written(0)
    allocated: int = written(0)
    available: int = written(0)
    damaged: int = written(0)
    closed: bool = False


class Held(Value):
    """A line's units at one location after an event: held there, or shipped from there."""

    location: str
    held: int = written(0)
    shipped: int = written(0)


class StockEvent(Event):
    """Any event of a product. `more`: the queue can be processed further than one decision allows.

    `locations`: the units at each location after the event, unless all have always been at `default`.
    """

    balance: Balance
    more: bool = written(False)
    locations: tuple[At, ...] = ()


class ReservationEvent(StockEvent):
    """An event of one line's reservation, with the line's totals after it.

    `reserved` counts the units granted, including shipped ones, `backordered` the units that wait, and `rejected` the
    units refused. `at`: the line's units by location, unless all are at `default`.
    """

    order_id: str
    line_id: str
    quantity: int  # units that this event moved
    reserved: int
    backordered: int
    rejected: int
    order_version: int = written(0)
    at: tuple[Held, ...] = ()
    plan: AllocationPlan | None = None  # how it gets units, in the events that answer its request or a proposal
    expires_at: str | None = None  # when it gives up its units, in the same events


class StockReceived(StockEvent):
    """Units were received into stock, at `default` unless `location` is given."""

    quantity: int
    location: str | None = None


class StockAdjusted(StockEvent):
    """The units on hand were corrected by `delta`. `setTo`: the quantity, if it was set."""

    delta: int
    reason: str
    set_to: int | None = None
    location: str | None = None


class StockTransferred(StockEvent):
    """`quantity` available units left `source` for `target`; they are in transit."""

    transfer_id: str
    source: str
    target: str
    quantity: int


class TransferReceived(StockEvent):
    """`quantity` units of a transfer arrived at `location`; `lost` ones did not."""

    transfer_id: str
    location: str
    quantity: int
    lost: int = written(0)


class LocationOpened(StockEvent):
    """Lines may get units from `location`."""

    location: str


class LocationClosed(StockEvent):
    """Lines no longer get units from `location`; they get those it held elsewhere, or wait for them."""

    location: str
    reason: str
    unfinished: bool = False  # more reservations must be set back than one decision can


class StockReserved(ReservationEvent):
    """`quantity` units were reserved for the line. `place`: where in the queue the line waited for them.

    `head`: with locations, where the queue begins afterwards; missing in older events.
    """

    place: int | None = None
    head: int | None = None


class StockBackordered(ReservationEvent):
    """`quantity` units of the line wait at `place` in the product's queue."""

    place: int


class StockRequeued(ReservationEvent):
    """`quantity` reserved units are missing; the line waits for them at `place`, before all other lines."""

    place: int


class ReservationRejected(ReservationEvent):
    """`quantity` units of the line, which waited at `place`, were refused for `reason` (a rejection's code).

    `head`: with locations, where the queue begins afterwards; missing in older events.
    """

    reason: str
    place: int | None = None
    head: int | None = None


class StockReleased(ReservationEvent):
    """The line gave up `quantity` reserved units and `unqueued` waiting ones. `expiredAt`: when it expired."""

    unqueued: int = written(0)
    place: int | None = None
    expired_at: str | None = None


class ReservationMoved(ReservationEvent):
    """`quantity` reserved units of the line are reserved at other locations; 0 if the requested one lacks some.

    `proposal`: the number of the order's proposal that it answers.
    """

    proposal: int = 0


class StockShipped(ReservationEvent):
    """`quantity` reserved units left the warehouse. `shipped`: the line's total.

    `setBack` of them were no longer reserved, because a count had not found them: `unqueued` of these waited at
    `place`, and the others were rejected. `elsewhere` of them were reserved at other locations by then. `uncounted` of
    them are added to the units on hand.
    """

    shipped: int
    location: str | None = None
    set_back: int = 0
    unqueued: int = 0
    elsewhere: int = 0
    uncounted: int = 0
    place: int | None = None


class StockUnshipped(ReservationEvent):
    """`quantity` units of a cancelled shipment are back and reserved again. `shipped`: the line's total."""

    shipped: int
    location: str | None = None


class StockRestocked(ReservationEvent):
    """`quantity` returned units are available again and `damaged` are not. The totals are the line's."""

    damaged: int
    total_received: int
    total_damaged: int
    location: str | None = None


class ProductDiscontinued(StockEvent):
    """The product accepts no new reservations."""

    reason: str


class ProductReactivated(StockEvent):
    """The product accepts reservations again."""


InventoryEvent = (
    StockReceived | StockAdjusted | StockTransferred | TransferReceived | LocationOpened | LocationClosed
    | StockReserved | StockBackordered | StockRequeued | ReservationRejected | StockReleased | ReservationMoved
    | StockShipped | StockUnshipped | StockRestocked | ProductDiscontinued | ProductReactivated
)  # fmt: skip
