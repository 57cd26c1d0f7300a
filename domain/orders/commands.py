"""Commands for an order. The order's id is the message's key and not part of the command."""

from enum import StrEnum
from typing import Annotated, ClassVar
from uuid import UUID, uuid5

from msgspec import Meta
from msgspec.structs import replace

from domain.address import NewAddress, require_postal_code
from domain.message import (
    MAX_AMOUNT,
    MAX_LINES,
    MAX_QUANTITY,
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
from domain.policy import AllocationPlan, Granted
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


class WhenLate(StrEnum):
    """The treatment of units that have not shipped by `shipBy`."""

    KEEP = "KEEP"  # the order is late, and everything else stays as it is
    CANCEL = "CANCEL"  # they are cancelled


class PlaceOrder(Command):
    """Place an order. With `shipBy`, it is late if units have not shipped by that time.

    With `backordersExpireAt`, units that wait for stock at that time, or later, are cancelled.
    """

    # once the command is decoded, the addresses may be replaced by `Sealed` ones, which no client can send
    customer_id: Id
    lines: NewLines
    shipping_address: NewAddress
    billing_address: NewAddress
    total_cost: Money | None = None
    policy: AllocationPolicy = written(AllocationPolicy.BACKORDER)
    issued_at: Instant | None = None
    allocation: AllocationPlan | None = None  # the locations to use; by default, any
    ship_by: Instant | None = None
    when_late: WhenLate = WhenLate.KEEP
    backorders_expire_at: Instant | None = None

    def __post_init__(self) -> None:
        """Raise ValueError if a time is not canonical, or an address lacks its postal code."""
        if self.issued_at is not None:
            require_canonical(self.issued_at)
        if self.ship_by is not None:
            require_canonical(self.ship_by)
        if self.backorders_expire_at is not None:
            require_canonical(self.backorders_expire_at)
        require_postal_code(self.shipping_address)
        require_postal_code(self.billing_address)


class CancelOrder(Command):
    """Cancel all units that have not shipped; refused once all of them have."""

    reason: Text = written("")


class CancelLines(Command):
    """Cancel some of the units that have not shipped."""

    lines: LineQuantities
    reason: Text = written("")


class WhenOver(StrEnum):
    """The treatment of an order when a hold ends at its `until`."""

    RELEASE = "RELEASE"  # the hold ends
    CANCEL = "CANCEL"  # the units that have not shipped are cancelled


class Hold(Command):
    """Prevent the order from shipping; its reservations stay. An order may have several holds.

    A hold without a `holdId` gets an id derived from its reason: the same reason again changes nothing, and another
    reason is another hold. A `holdId` that is in use changes that hold. With `until`, it ends by itself at that time.
    """

    hold_id: Id | None = None
    reason: Text = written("")
    until: Instant | None = None
    when_over: WhenOver = WhenOver.RELEASE

    def __post_init__(self) -> None:
        """Raise ValueError if the time is not canonical."""
        if self.until is not None:
            require_canonical(self.until)


class Release(Command):
    """End a hold. Without a `holdId`, end the only one; refused if the order has several."""

    may_lack_data: ClassVar[bool] = True

    hold_id: Id | None = None


class AddLine(Command):
    """Add a line to an order that has not shipped completely. A missing `lineId` is derived from the command's id.

    `totalCost` is the expected total of the order afterwards; a different one is rejected.
    """

    line_id: Id | None = None
    product_id: Id
    quantity: Quantity
    price: Price
    total_cost: Money | None = None


class ChangeQuantity(Command):
    """Raise or lower a line to `quantity` units that are not cancelled; units that have shipped stay.

    Additional units become a line of their own, at the same price, whose `partOf` names this one.
    """

    line_id: Id
    quantity: Annotated[int, Meta(ge=0, le=MAX_QUANTITY)]
    total_cost: Money | None = None


class ReplaceProduct(Command):
    """Replace the unshipped units of a line with a line of another product.

    Without a quantity or a price, the new line has those of the old one. A missing `newLineId` is derived from the
    command's id.
    """

    line_id: Id
    product_id: Id
    quantity: Quantity | None = None
    price: Price | None = None
    new_line_id: Id | None = None
    total_cost: Money | None = None


class ChangeShippingAddress(Command):
    """Send everything that has not shipped to another address."""

    shipping_address: NewAddress

    def __post_init__(self) -> None:
        """Raise ValueError if the address lacks its postal code."""
        require_postal_code(self.shipping_address)


class ChangePolicy(Command):
    """Change what happens when stock is short; retryable until stock has answered for all lines.

    If the new policy does not allow waiting, units that wait are cancelled, or the whole order.
    """

    policy: AllocationPolicy


class CreateShipment(Command):
    """Ship allocated units: the given lines, or all. A missing `shipmentId` is derived from the command's id."""

    shipment_id: Id | None = None
    lines: LineQuantities | None = None
    carrier: Text | None = None
    tracking_number: Text | None = None
    location: Id | None = None  # where it leaves from; needed if the lines have units at several locations


class DeliverShipment(Command):
    """Record the delivery of a shipment, or of the given lines of it."""

    shipment_id: Id
    lines: LineQuantities | None = None


class Rest(StrEnum):
    """The treatment of the lost units of a shipment."""

    RESEND = "RESEND"  # they are reserved again, as a line without a price
    WRITE_OFF = "WRITE_OFF"


class CloseShipment(Command):
    """Close a shipment that lost units in transit: all units that were not delivered."""

    shipment_id: Id
    rest: Rest
    reason: Text = written("")


class CancelShipment(Command):
    """Cancel a shipment: its units return to the shelf and are allocated again."""

    shipment_id: Id


class RequestReturn(Command):
    """Announce the return of delivered units. A missing `returnId` is derived from the command's id."""

    return_id: Id | None = None
    lines: LineQuantities
    reason: Text = written("")


class ReceiveReturn(Command):
    """Record a parcel of a return; without lines, all announced units that have not arrived yet, undamaged.

    The first receipt closes the return: units that did not arrive can be announced again, or arrive in later parcels.
    Each parcel is counted once. A missing `receiptId` is derived from the command's id.
    """

    return_id: Id
    receipt_id: Id | None = None
    lines: CountedLines | None = None
    location: Id | None = None  # where the units are put


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
    recorded ones are ignored. `unrefused` of the reserved units had been refused, and shipped nevertheless.
    `at`: the reserved units by location, unless all are at `default`. For an order that asks for one location, `could`
    names open locations that could give all of the line's reserved units, and `proposal` the proposal it answers.
    """

    line_id: Id
    reserved: Units
    backordered: Units
    rejected: Units
    reason: str | None = None
    stock_version: Annotated[int, Meta(gt=0, le=MAX_VERSION)]
    unrefused: Units = 0
    at: tuple[Granted, ...] = ()
    could: tuple[Id, ...] = ()
    proposal: Units = 0


OrderCommand = (
    PlaceOrder | CancelOrder | CancelLines | Hold | Release | CreateShipment | DeliverShipment | CancelShipment
    | CloseShipment | AddLine | ChangeQuantity | ReplaceProduct | ChangeShippingAddress | ChangePolicy
    | RequestReturn | ReceiveReturn | UpdateStatus
    | RecordAllocation
)  # fmt: skip

_CREATING = frozenset({CreateShipment, UpdateStatus, RequestReturn, ReceiveReturn, AddLine, ReplaceProduct})
_IDS = UUID("5d0f3c1e-0f8e-5a52-9d0c-3f6a4b7c9e21")  # the namespace of ids derived here; any constant works


def hold_id_of(reason: str) -> str:
    """Return the id of a hold that was sent without one."""
    return derived_id(f"hold/{reason}")


def derived_id(name: str) -> str:
    """Return an id for `name`, always the same."""
    return str(uuid5(_IDS, name))


def identified(command: OrderCommand, command_id: str) -> OrderCommand:
    """Return `command` with an id for the thing it creates, derived from the command's id if it names none."""
    if type(command) not in _CREATING:
        return command
    match command:
        case CreateShipment(shipment_id=None) | UpdateStatus(shipment_id=None):
            return replace(command, shipment_id=derived_id(f"shipment/{command_id}"))
        case RequestReturn(return_id=None):
            return replace(command, return_id=derived_id(f"return/{command_id}"))
        case AddLine(line_id=None):
            return replace(command, line_id=derived_id(f"line/{command_id}"))
        case ReplaceProduct(new_line_id=None):
            return replace(command, new_line_id=derived_id(f"line/{command_id}"))
        case ReceiveReturn(receipt_id=None):
            return replace(command, receipt_id=_receipt_id(command_id))
    return command


def as_first_written(command: Command, command_id: str) -> Command:
    """Return `command` as the first code that knew it read it: without derived ids that were added later."""
    if isinstance(command, ReceiveReturn) and command.receipt_id == _receipt_id(command_id):
        return replace(command, receipt_id=None)
    return command


def _receipt_id(command_id: str) -> str:
    return derived_id(f"receipt/{command_id}")
