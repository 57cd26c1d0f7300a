"""Commands for an order. The order's id is the message's key and not part of the command."""

from typing import Annotated
from uuid import UUID, uuid5

from msgspec import Meta
from msgspec.structs import replace

from domain.address import NewAddress, require_postal_code
from domain.message import (
    MAX_AMOUNT,
    MAX_LINES,
    MAX_VERSION,
    Asked,
    Before,
    Command,
    Id,
    Instant,
    Quantity,
    Text,
    Units,
    require_canonical,
    written,
)
from domain.money import Currency, Money
from domain.policy import AllocationPolicy as AllocationPolicy

from .status import OrderStatus as OrderStatus


class Price(Asked):
    """The price of one unit."""

    amount: Annotated[int, Meta(ge=0, le=MAX_AMOUNT)]
    currency: Currency


class NewLine(Asked):
    """A line as ordered; without an id it gets its number: 1, 2, 3 …"""

    line_id: Id | None = None
    product_id: Id
    quantity: Quantity
    price: Price


class LineQuantity(Asked):
    """A quantity of one line."""

    line_id: Id
    quantity: Quantity


class CountedLine(Asked):
    """The warehouse's count of a returned line; `damaged` of the `received` units cannot be sold again."""

    line_id: Id
    received: Units
    damaged: Units = written(0)


def refuse_many_lines(lines: object) -> object:
    """Return `lines`; raise ValueError if there are too many, before checking each of them."""
    if isinstance(lines, list | tuple) and len(lines) > MAX_LINES:
        raise ValueError(f"must have at most {MAX_LINES} lines")
    return lines


FEW = Before(
    refuse_many_lines
)  # checked first, because a million invalid lines would cause a million errors and take a minute
NewLines = Annotated[tuple[NewLine, ...], Meta(min_length=1, max_length=MAX_LINES), FEW]
LineQuantities = Annotated[tuple[LineQuantity, ...], Meta(min_length=1, max_length=MAX_LINES), FEW]
CountedLines = Annotated[tuple[CountedLine, ...], Meta(min_length=1, max_length=MAX_LINES), FEW]


class PlaceOrder(Command):
    """Place an order."""

    customer_id: Id
    lines: NewLines
    shipping_address: NewAddress
    billing_address: NewAddress
    total_cost: Money | None = None
    policy: AllocationPolicy = written(AllocationPolicy.BACKORDER)
    issued_at: Instant | None = None

    def __post_init__(self) -> None:
        """Raise ValueError if the time is not canonical, or an address lacks its postal code."""
        if self.issued_at is not None:
            require_canonical(self.issued_at)
        require_postal_code(self.shipping_address)
        require_postal_code(self.billing_address)


class CancelOrder(Command):
    """Cancel all units that have not shipped; refused once any unit has shipped."""

    reason: Text = written("")


class CancelLines(Command):
    """Cancel some of the units that have not shipped."""

    lines: LineQuantities
    reason: Text = written("")


class Hold(Command):
    """Prevent the order from shipping; its reservations stay."""

    reason: Text = written("")


class Release(Command):
    """Release the order from hold."""


class CreateShipment(Command):
    """Ship allocated units: the given lines, or all. A missing `shipmentId` is derived from the command's id."""

    shipment_id: Id | None = None
    lines: LineQuantities | None = None
    carrier: Text | None = None
    tracking_number: Text | None = None


class DeliverShipment(Command):
    """Record the delivery of a shipment, or of the given lines of it."""

    shipment_id: Id
    lines: LineQuantities | None = None


class CancelShipment(Command):
    """Cancel a shipment: its units return to the shelf and are allocated again."""

    shipment_id: Id


class RequestReturn(Command):
    """Announce the return of delivered units. A missing `returnId` is derived from the command's id."""

    return_id: Id | None = None
    lines: LineQuantities
    reason: Text = written("")


class ReceiveReturn(Command):
    """Record the received units of a return and close it; without lines, all announced units arrived undamaged."""

    return_id: Id
    lines: CountedLines | None = None


class UpdateStatus(Command):
    """Ship, deliver or cancel units until the order has `status`, as in the previous system.

    A missing `shipmentId` is derived from the command's id.
    """

    status: OrderStatus
    shipment_id: Id | None = None


class RecordAllocation(Command):
    """Record the allocation of a line by the stock; all figures are totals since the order was placed.

    `reserved` counts the units granted, including shipped units, `backordered` the units that wait, and `rejected` the
    units refused. `stockVersion` is the version of the product that the figures belong to: figures older than the
    recorded ones are ignored.
    """

    line_id: Id
    reserved: Units
    backordered: Units
    rejected: Units
    reason: str | None = None
    stock_version: Annotated[int, Meta(gt=0, le=MAX_VERSION)]


OrderCommand = (
    PlaceOrder | CancelOrder | CancelLines | Hold | Release | CreateShipment | DeliverShipment | CancelShipment
    | RequestReturn | ReceiveReturn | UpdateStatus | RecordAllocation
)  # fmt: skip

_CREATING = frozenset({CreateShipment, UpdateStatus, RequestReturn})
_IDS = UUID("5d0f3c1e-0f8e-5a52-9d0c-3f6a4b7c9e21")  # the namespace of ids derived here; any constant works


def identified(command: OrderCommand, command_id: str) -> OrderCommand:
    """Return `command` with an id for the thing it creates, derived from the command's id if it names none."""
    if type(command) not in _CREATING:
        return command
    match command:
        case CreateShipment(shipment_id=None) | UpdateStatus(shipment_id=None):
            return replace(command, shipment_id=str(uuid5(_IDS, f"shipment/{command_id}")))
        case RequestReturn(return_id=None):
            return replace(command, return_id=str(uuid5(_IDS, f"return/{command_id}")))
    return command
