"""Commands for a product's stock. The product's id is the message's key and not part of the command."""

from typing import Annotated

from msgspec import Meta

from domain.message import (
    MAX_STOCK,
    MAX_VERSION,
    Command,
    Id,
    Instant,
    Text,
    Units,
    require_canonical,
    written,
)  # fmt: skip
from domain.policy import DEFAULT_LOCATION, AllocationPlan, AllocationPolicy
from domain.policy import MANUAL as MANUAL

Positive = Annotated[int, Meta(gt=0, le=MAX_STOCK)]
Version = Annotated[int, Meta(ge=0, le=MAX_VERSION)]


class ReceiveStock(Command):
    """Receive delivered units into stock. Creates the product, or a location of it, if it is unknown."""

    quantity: Positive
    location: Id | None = None


class SetStock(Command):
    """Make `quantity` units available, recorded as an adjustment. Creates the product if it is unknown.

    Waiting lines are served from these units, so fewer may be available afterwards. When the same quantity is set
    again, the units given to waiting lines count as available. The repeat therefore has no effect unless something else
    changed the units on hand.
    """

    quantity: Units


class AdjustStock(Command):
    """Correct the units on hand by `delta`. If fewer are left than are reserved, the newest reservations wait again."""

    delta: Annotated[int, Meta(ge=-MAX_STOCK, le=MAX_STOCK)]
    reason: Text = written("")
    expected_on_hand: Units | None = None
    location: Id | None = None


class CountStock(Command):
    """Record that `quantity` units were counted on hand. Creates the product, or a location of it, if it is unknown.

    If fewer units were counted than are reserved, the newest reservations return to waiting.
    """

    quantity: Units
    reason: Text = written("")
    expected_on_hand: Units | None = None
    location: Id | None = None


class TransferStock(Command):
    """Send available units from one location to another; they are in transit until they are received."""

    transfer_id: Id
    source: Id = written(DEFAULT_LOCATION)
    target: Id
    quantity: Positive


class ReceiveTransfer(Command):
    """Receive a transfer at its target and end it; `quantity` units arrived, by default all. The others are lost."""

    transfer_id: Id
    quantity: Units | None = None


class OpenLocation(Command):
    """Open a location of the product, which may be new: lines get units from it."""

    location: Id


class CloseLocation(Command):
    """Close a location: lines get no more units from it, and those it holds are reserved elsewhere or waited for."""

    location: Id
    reason: Text = written("")


class ReserveStock(Command):
    """Reserve `quantity` units for a line of an order. Repeating it has no effect, unless the line is `manual`.

    `orderVersion` is the version of the order whose event caused the command. It is zero in commands that are sent
    manually, which cannot change what an order has reserved. With `expiresAt`, the line gives up all units that have
    not shipped by then; repeated reservations of a `manual` line without it keep the time.
    """

    order_id: Id
    line_id: Id = written(MANUAL)
    quantity: Positive
    policy: AllocationPolicy = written(AllocationPolicy.BACKORDER)
    order_version: Version = written(0)
    plan: AllocationPlan | None = None
    expires_at: Instant | None = None

    def __post_init__(self) -> None:
        """Raise ValueError if the time is not canonical."""
        if self.expires_at is not None:
            require_canonical(self.expires_at)


class ReleaseStock(Command):
    """Reduce the units of a line, reserved and waiting, to `keep`, or release `quantity` units (of `manual` lines)."""

    order_id: Id
    line_id: Id = written(MANUAL)
    keep: Units | None = None
    quantity: Positive | None = None
    order_version: Version = written(0)

    def __post_init__(self) -> None:
        """Raise ValueError unless exactly one of the two is given."""
        if (self.keep is None) == (self.quantity is None):
            raise ValueError("either keep or quantity is required, not both")


class MoveReservation(Command):
    """Reserve all units that a line has reserved at `location` instead; nothing changes if it lacks some of them.

    Without a location, the line chooses locations again by its own plan. The answer repeats `proposal`, the number of
    the order's proposal. Units do not travel: other units are reserved.
    """

    order_id: Id
    line_id: Id = written(MANUAL)
    location: Id | None = None
    proposal: Units = 0
    order_version: Version = written(0)


class ShipStock(Command):
    """Ship reserved units until `shipped` units of the line have left the warehouse in total. Never rejected."""

    order_id: Id
    line_id: Id
    shipped: Units
    order_version: Version = written(0)
    location: Id | None = None


class UnshipStock(Command):
    """Return units of a cancelled shipment to stock, reserved again, until only `shipped` units have left in total."""

    order_id: Id
    line_id: Id
    shipped: Units
    order_version: Version = written(0)
    location: Id | None = None


class RestockReturn(Command):
    """Restock returned units. Both figures are totals of the line; damaged units do not become available again."""

    order_id: Id
    line_id: Id
    received: Units
    damaged: Units = written(0)
    order_version: Version = written(0)
    location: Id | None = None


class FillBackorders(Command):
    """Continue filling the backorder queue, because one decision was not enough."""


class DiscontinueProduct(Command):
    """Accept no new reservations. Waiting lines are rejected, reserved units stay reserved."""

    reason: Text = written("")


class ReactivateProduct(Command):
    """Accept reservations again."""


InventoryCommand = (
    ReceiveStock | SetStock | AdjustStock | CountStock | TransferStock | ReceiveTransfer | OpenLocation | CloseLocation
    | ReserveStock | ReleaseStock | MoveReservation | ShipStock | UnshipStock
    | RestockReturn | FillBackorders | DiscontinueProduct | ReactivateProduct
)  # fmt: skip
ReservationCommand = (  # all about one line
    ReserveStock | ReleaseStock | MoveReservation | ShipStock | UnshipStock | RestockReturn
)
