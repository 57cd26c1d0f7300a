"""What can happen to a product's stock. Every event carries the `balance` after it."""

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
    """Any event of a product; `more`: the backorder queue could be worked on further than one decision goes."""

    balance: Balance
    more: bool = written(False)


class ReservationEvent(StockEvent):
    """An event of one line's reservation, with the line's totals after it.

    `reserved` counts units granted, shipped ones included; `backordered` those that wait; `rejected` those refused.
    """

    order_id: str
    line_id: str
    quantity: int  # units this event moved
    reserved: int
    backordered: int
    rejected: int
    order_version: int = written(0)


class StockReceived(StockEvent):
    """Units were put on the shelf."""

    quantity: int


class StockAdjusted(StockEvent):
    """What is on hand was corrected by `delta` units; `set_to`: the quantity, if it was set."""

    delta: int
    reason: str
    set_to: int | None = None


class StockReserved(ReservationEvent):
    """`quantity` units are held for the line; `place`: the queue's place they were waiting at."""

    place: int | None = None


class StockBackordered(ReservationEvent):
    """`quantity` units of the line wait at `place` of the product's queue."""

    place: int


class ReservationRejected(ReservationEvent):
    """`quantity` units of the line will not be had, for `reason` (a rejection's code); `place`: where they waited."""

    reason: str
    place: int | None = None


class StockReleased(ReservationEvent):
    """`quantity` held units and `unqueued` waiting ones were given up by the line."""

    unqueued: int = written(0)
    place: int | None = None


class StockShipped(ReservationEvent):
    """`quantity` reserved units left the house; `shipped`: the line's total."""

    shipped: int


class StockUnshipped(ReservationEvent):
    """`quantity` units came back from a cancelled shipment and are reserved again; `shipped`: the line's total."""

    shipped: int


class StockRestocked(ReservationEvent):
    """`quantity` returned units are on sale again, `damaged` are not; the totals are the line's."""

    damaged: int
    total_received: int
    total_damaged: int


class ProductDiscontinued(StockEvent):
    """No new reservations are taken."""

    reason: str


class ProductReactivated(StockEvent):
    """Reservations are taken again."""


InventoryEvent = (
    StockReceived | StockAdjusted | StockReserved | StockBackordered | ReservationRejected | StockReleased
    | StockShipped | StockUnshipped | StockRestocked | ProductDiscontinued | ProductReactivated
)  # fmt: skip
