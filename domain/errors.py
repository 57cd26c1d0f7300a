"""Why the domain says no.

Rejection                          code, and the data that explains it
├── NotFound
│   ├── OrderNotFound              orderId
│   ├── LineNotFound               lineId
│   ├── ShipmentNotFound           shipmentId
│   ├── ReturnNotFound             returnId
│   └── ProductNotFound            productId
├── Invalid
│   ├── InvalidId                  field, id, reason
│   ├── InvalidOrder               reason
│   ├── InvalidQuantity            reason
│   └── InvalidStatusTransition    status, asked
├── Conflict
│   ├── OrderExists                orderId, differs
│   ├── ShipmentExists             shipmentId, status, lines, carrier, trackingNumber
│   ├── ReturnExists               returnId, status, lines, reason
│   ├── ReturnAlreadyReceived      returnId, lines
│   ├── ReservationExists          orderId, lineId, held, waiting, shipped, rejected
│   ├── AllocationPending          lines; retryable
│   ├── StaleQuantity              expected, onHand
│   └── StaleVersion               expected, version
├── CommandIdReused                commandId, source, commandType
├── TotalMismatch                  given, computed
├── OrderCannotBeCancelled         status
├── CancelledOrderModification
├── OrderOnHold                    reason
├── NotAllocated                   lineId, asked, allocated
├── MoreThanUnshipped              lineId, asked, unshipped
├── MoreThanShipped                lineId, asked, undelivered
├── MoreThanDelivered              lineId, asked, returnable
├── ShipmentAlreadyDelivered       shipmentId
├── ShipmentIsCancelled            shipmentId
├── TooManyShipments               shipments, bytes, limit
├── TooManyReturns                 returns, bytes, limit
├── ProductDiscontinued            productId
├── OrderLineByHand                orderId, lineId
└── InsufficientStock              productId, asked, available

`CorruptHistory` is no rejection: an event that cannot apply is a bug upstream.
"""

import re
from typing import Any, ClassVar


class CorruptHistory(Exception):
    """An event does not fit the state it is applied to: the history is not one the domain wrote."""


class Rejection(Exception):
    """The command is understood and refused; `code` says why and `details` carries the data."""

    code: ClassVar[str] = "REJECTED"
    sentence: ClassVar[str] = "the command was rejected"
    retryable: ClassVar[bool] = False

    def __init_subclass__(cls) -> None:
        """Derive the code from the class name: OrderOnHold → ORDER_ON_HOLD."""
        cls.code = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", cls.__name__).upper()

    def __init__(self, **details: Any) -> None:
        self.details = details
        super().__init__(self.message)

    @property
    def message(self) -> str:
        """The sentence a person reads, with the data filled in."""
        said = {name: ", ".join(map(str, it)) if isinstance(it, list) else it for name, it in self.details.items()}
        return self.sentence.format(**said)


class NotFound(Rejection):
    """The thing the command names does not exist."""


class Invalid(Rejection):
    """The command makes no sense, whatever the state."""


class Conflict(Rejection):
    """The command does not fit what is there now."""


class OrderNotFound(NotFound):
    """No such order."""

    sentence = "there is no order {orderId}"


class LineNotFound(NotFound):
    """No such line in the order."""

    sentence = "the order has no line {lineId}"


class ShipmentNotFound(NotFound):
    """No such shipment of the order."""

    sentence = "the order has no shipment {shipmentId}"


class ReturnNotFound(NotFound):
    """No such return of the order."""

    sentence = "the order has no return {returnId}"


class ProductNotFound(NotFound):
    """Nobody ever stocked the product."""

    sentence = "there is no product {productId}"


class InvalidId(Invalid):
    """Something new must not be called so."""

    sentence = "{field}: {reason}"


class InvalidOrder(Invalid):
    """An order nobody could fulfil."""

    sentence = "{reason}"


class InvalidQuantity(Invalid):
    """A quantity that makes no sense here."""

    sentence = "{reason}"


class InvalidStatusTransition(Invalid):
    """The quantities do not allow the status that was asked for."""

    sentence = "an order that is {status} cannot become {asked}"


class OrderExists(Conflict):
    """The id belongs to another order; `differs` names the fields."""

    sentence = "order {orderId} exists already with other contents: {differs}"


class ShipmentExists(Conflict):
    """The id belongs to another shipment of the order, or to one that was cancelled."""

    sentence = "shipment {shipmentId} exists already and is {status}: give another shipment an id of its own"


class ReturnExists(Conflict):
    """The id belongs to another return of the order."""

    sentence = "return {returnId} exists already with other contents: give another return an id of its own"


class ReturnAlreadyReceived(Conflict):
    """The return was counted in otherwise."""

    sentence = "return {returnId} was received already with other quantities: announce the rest as another return"


class ReservationExists(Conflict):
    """The line has reserved another quantity."""

    sentence = (
        "line {lineId} of order {orderId} has reserved this product already: "
        "{held} units held, {waiting} waiting, {shipped} shipped, {rejected} rejected"
    )


class AllocationPending(Conflict):
    """Stock has not answered yet; the same command may succeed in a moment."""

    sentence = "stock for the lines {lines} is still being allocated; try again in a moment"
    retryable = True


class StaleQuantity(Conflict):
    """Somebody else moved the stock first."""

    sentence = "expected {expected} units on hand, there are {onHand}"


class StaleVersion(Conflict):
    """The aggregate is not at the version the command is for: another client changed it first."""

    sentence = "expected version {expected}, it is at {version}"

    @property
    def message(self) -> str:
        """The sentence a person reads; version 0 is that of an aggregate that does not exist."""
        if self.details["version"] == 0:
            return "it does not exist"
        if self.details["expected"] == 0:
            return f"it exists already, at version {self.details['version']}"
        return super().message


class CommandIdReused(Rejection):
    """The id belongs to another command of the same source."""

    sentence = (
        "the command id {commandId} of source {source} was used for another {commandType}; "
        "send this command under a new id"
    )


class TotalMismatch(Rejection):
    """The total given is not the sum of the lines."""

    sentence = "the total given, {given}, is not the sum of the lines, {computed}"


class OrderCannotBeCancelled(Rejection):
    """Something has left the warehouse already."""

    sentence = "an order that is {status} cannot be cancelled; ask for a return instead"


class CancelledOrderModification(Rejection):
    """A cancelled order stays as it is."""

    sentence = "the order is cancelled and cannot be changed"


class OrderOnHold(Rejection):
    """Nothing ships while the order is on hold."""

    sentence = "the order is on hold: {reason}"


class NotAllocated(Rejection):
    """More than stock has granted."""

    sentence = "line {lineId}: {asked} units asked, {allocated} allocated"


class MoreThanUnshipped(Rejection):
    """More than is left to cancel."""

    sentence = "line {lineId}: {asked} units asked to cancel, {unshipped} not shipped yet"


class MoreThanShipped(Rejection):
    """More than the shipment still carries."""

    sentence = "line {lineId}: {asked} units asked to deliver, {undelivered} under way"


class MoreThanDelivered(Rejection):
    """More than the customer has."""

    sentence = "line {lineId}: {asked} units asked to return, {returnable} delivered and not returned"


class ShipmentAlreadyDelivered(Rejection):
    """What was delivered is no longer ours to cancel."""

    sentence = "shipment {shipmentId} is delivered already"


class ShipmentIsCancelled(Rejection):
    """The shipment went back to the shelf."""

    sentence = "shipment {shipmentId} is cancelled"


class TooManyShipments(Rejection):
    """An order is kept as a whole, with all its shipments: there is an end to its size."""

    sentence = (
        "the order has {shipments} shipments, cancelled ones included, which take {bytes} bytes; after {limit} bytes "
        "it takes no more: cancel the lines that are left, and place another order for them"
    )


class TooManyReturns(Rejection):
    """An order is kept as a whole, with all its returns: there is an end to its size."""

    sentence = (
        "the order has {returns} returns, received ones included, which take {bytes} bytes; after {limit} bytes it "
        "takes no more"
    )


class ProductDiscontinued(Rejection):
    """No new reservations of this product."""

    sentence = "product {productId} is discontinued"


class OrderLineByHand(Rejection):
    """Stock of an order's line moves as its order says: otherwise the two would disagree for ever."""

    sentence = (
        "line {lineId} of order {orderId} cannot be moved by hand: cancel, ship or return it on the order; "
        "what is reserved outside of orders has the line manual"
    )


class InsufficientStock(Rejection):
    """More than is available."""

    sentence = "product {productId}: {asked} units asked, {available} available"
