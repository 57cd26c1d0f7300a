"""Commands for a product's stock. The product's id is the message's key and not part of the command."""

from typing import Annotated

from msgspec import Meta

from domain.message import MAX_STOCK, MAX_VERSION, Command, Id, Text, Units, written
from domain.policy import MANUAL as MANUAL
from domain.policy import AllocationPolicy

Positive = Annotated[int, Meta(gt=0, le=MAX_STOCK)]
Version = Annotated[int, Meta(ge=0, le=MAX_VERSION)]


class ReceiveStock(Command):
    """Receive delivered units into stock. Creates the product if it is unknown."""

    quantity: Positive


class SetStock(Command):
    """Make `quantity` units available, recorded as an adjustment. Creates the product if it is unknown.

    Waiting lines are served from these units, so fewer may be available afterwards. When the same quantity is set
    again, the units given to waiting lines count as available. The repeat therefore has no effect unless something else
    changed the units on hand.
    """

    quantity: Units


class AdjustStock(Command):
    """Correct the units on hand by `delta`."""

    delta: Annotated[int, Meta(ge=-MAX_STOCK, le=MAX_STOCK)]
    reason: Text = written("")
    expected_on_hand: Units | None = None


class ReserveStock(Command):
    """Reserve `quantity` units for a line of an order. Repeating it has no effect, unless the line is `manual`.

    `orderVersion` is the version of the order whose event caused the command. It is zero in commands that are sent
    manually, which cannot change what an order has reserved.
    """

    order_id: Id
    line_id: Id = written(MANUAL)
    quantity: Positive
    policy: AllocationPolicy = written(AllocationPolicy.BACKORDER)
    order_version: Version = written(0)


class ReleaseStock(Command):
    """Reduce the units reserved and waiting for a line to `keep`, or release `quantity` units (of `manual` lines)."""

    order_id: Id
    line_id: Id = written(MANUAL)
    keep: Units | None = None
    quantity: Positive | None = None
    order_version: Version = written(0)

    def __post_init__(self) -> None:
        """Raise ValueError unless exactly one of the two is given."""
        if (self.keep is None) == (self.quantity is None):
            raise ValueError("either keep or quantity is required, not both")


class ShipStock(Command):
    """Ship reserved units until `shipped` units of the line have left the warehouse in total. Never rejected."""

    order_id: Id
    line_id: Id
    shipped: Units
    order_version: Version = written(0)


class UnshipStock(Command):
    """Return units of a cancelled shipment to stock, reserved again, until only `shipped` units have left in total."""

    order_id: Id
    line_id: Id
    shipped: Units
    order_version: Version = written(0)


class RestockReturn(Command):
    """Restock returned units. Both figures are totals of the line; damaged units do not become available again."""

    order_id: Id
    line_id: Id
    received: Units
    damaged: Units = written(0)
    order_version: Version = written(0)


class FillBackorders(Command):
    """Continue filling the backorder queue, because one decision was not enough."""


class DiscontinueProduct(Command):
    """Accept no new reservations. Waiting lines are rejected, reserved units stay reserved."""

    reason: Text = written("")


class ReactivateProduct(Command):
    """Accept reservations again."""


InventoryCommand = (
    ReceiveStock | SetStock | AdjustStock | ReserveStock | ReleaseStock | ShipStock | UnshipStock | RestockReturn
    | FillBackorders | DiscontinueProduct | ReactivateProduct
)  # fmt: skip
ReservationCommand = ReserveStock | ReleaseStock | ShipStock | UnshipStock | RestockReturn  # all about one line
