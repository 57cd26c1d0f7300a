"""What a product's stock can be asked to do. The product's id is the message's key, not part of these."""

from typing import Annotated

from msgspec import Meta

from domain.message import MAX_STOCK, MAX_VERSION, Command, Id, Text, Units, written
from domain.policy import MANUAL as MANUAL
from domain.policy import AllocationPolicy

Positive = Annotated[int, Meta(gt=0, le=MAX_STOCK)]
Version = Annotated[int, Meta(ge=0, le=MAX_VERSION)]


class ReceiveStock(Command):
    """Put delivered units on the shelf; creates an unknown product."""

    quantity: Positive


class SetStock(Command):
    """Make `quantity` units available (the previous system's PUT), counted as an adjustment; creates the product.

    Lines that wait are served from these units, so fewer may be available afterwards. The same quantity set again
    counts the units they got: it changes nothing as long as nothing else changed what is on hand.
    """

    quantity: Units


class AdjustStock(Command):
    """Correct what is on hand by `delta` units."""

    delta: Annotated[int, Meta(ge=-MAX_STOCK, le=MAX_STOCK)]
    reason: Text = written("")
    expected_on_hand: Units | None = None


class ReserveStock(Command):
    """Hold `quantity` units for an order's line. Asked again for the same line it is quiet, unless it is MANUAL.

    `order_version`: of the order event that asks; zero for people, who cannot move what an order has reserved.
    """

    order_id: Id
    line_id: Id = written(MANUAL)
    quantity: Positive
    policy: AllocationPolicy = written(AllocationPolicy.BACKORDER)
    order_version: Version = written(0)


class ReleaseStock(Command):
    """Let what is held and waiting for a line fall to at most `keep`, or give back `quantity` (MANUAL lines)."""

    order_id: Id
    line_id: Id = written(MANUAL)
    keep: Units | None = None
    quantity: Positive | None = None
    order_version: Version = written(0)

    def __post_init__(self) -> None:
        """Raise ValueError unless it says one of the two."""
        if (self.keep is None) == (self.quantity is None):
            raise ValueError("give either keep or quantity")


class ShipStock(Command):
    """Take a line's reserved units out of the house until `shipped` of them are gone in all; never rejected."""

    order_id: Id
    line_id: Id
    shipped: Units
    order_version: Version = written(0)


class UnshipStock(Command):
    """Put a cancelled shipment back on the shelf, reserved again, until only `shipped` of the line are gone in all."""

    order_id: Id
    line_id: Id
    shipped: Units
    order_version: Version = written(0)


class RestockReturn(Command):
    """Count returned units in; both are the line's totals. Damaged ones do not go back on sale."""

    order_id: Id
    line_id: Id
    received: Units
    damaged: Units = written(0)
    order_version: Version = written(0)


class FillBackorders(Command):
    """Go on filling the backorder queue where one decision was not enough."""


class DiscontinueProduct(Command):
    """Take no new reservations; waiting ones are rejected, held ones honoured."""

    reason: Text = written("")


class ReactivateProduct(Command):
    """Take reservations again."""


InventoryCommand = (
    ReceiveStock | SetStock | AdjustStock | ReserveStock | ReleaseStock | ShipStock | UnshipStock | RestockReturn
    | FillBackorders | DiscontinueProduct | ReactivateProduct
)  # fmt: skip
ReservationCommand = ReserveStock | ReleaseStock | ShipStock | UnshipStock | RestockReturn  # of one line
