"""Events of a product's stock. Each carries the `balance` after it."""

from domain.message import Event, Value, written


class Balance(Value):
    """A product's units after an event.

    `available = on_hand - allocated`; `received + adjusted + restocked = on_hand + shipped`, all totals since the
    product's first event. `damaged` units came back and are not on hand.
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


class StockEvent(Event):
    """Any event of a product. `more`: the queue can be processed further than one decision allows."""

    balance: Balance
    more: bool = written(False)


class ReservationEvent(StockEvent):
    """An event of one line's reservation, with the line's totals after it.

    `reserved` counts the units granted, including shipped ones, `backordered` the units that wait, and `rejected` the
    units refused.
    """

    order_id: str
    line_id: str
    quantity: int  # units that this event moved
    reserved: int
    backordered: int
    rejected: int
    order_version: int = written(0)


class StockReceived(StockEvent):
    """Units were received into stock."""

    quantity: int


class StockAdjusted(StockEvent):
    """The units on hand were corrected by `delta`. `setTo`: the quantity, if it was set."""

    delta: int
    reason: str
    set_to: int | None = None


class StockReserved(ReservationEvent):
    """`quantity` units were reserved for the line. `place`: where in the queue the line waited for them."""

    place: int | None = None


class StockBackordered(ReservationEvent):
    """`quantity` units of the line wait at `place` in the product's queue."""

    place: int


class ReservationRejected(ReservationEvent):
    """`quantity` units of the line, which waited at `place`, were refused for `reason` (a rejection's code)."""

    reason: str
    place: int | None = None


class StockReleased(ReservationEvent):
    """The line gave up `quantity` reserved units and `unqueued` waiting ones."""

    unqueued: int = written(0)
    place: int | None = None


class StockShipped(ReservationEvent):
    """`quantity` reserved units left the warehouse. `shipped`: the line's total."""

    shipped: int


class StockUnshipped(ReservationEvent):
    """`quantity` units of a cancelled shipment are back and reserved again. `shipped`: the line's total."""

    shipped: int


class StockRestocked(ReservationEvent):
    """`quantity` returned units are available again and `damaged` are not. The totals are the line's."""

    damaged: int
    total_received: int
    total_damaged: int


class ProductDiscontinued(StockEvent):
    """The product accepts no new reservations."""

    reason: str


class ProductReactivated(StockEvent):
    """The product accepts reservations again."""


InventoryEvent = (
    StockReceived | StockAdjusted | StockReserved | StockBackordered | ReservationRejected | StockReleased
    | StockShipped | StockUnshipped | StockRestocked | ProductDiscontinued | ProductReactivated
)  # fmt: skip
