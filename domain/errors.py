"""The reasons for which the domain rejects a command.

Rejection                          code, and the data that explains it
├── NotFound
│   ├── OrderNotFound              orderId
│   ├── LineNotFound               lineId
│   ├── ShipmentNotFound           shipmentId
│   ├── ReturnNotFound             returnId
│   ├── ProductNotFound            productId
│   ├── LocationNotFound           location
│   └── TransferNotFound           transferId
├── Invalid
│   ├── InvalidId                  field, id, reason
│   ├── InvalidOrder               reason
│   ├── InvalidQuantity            reason
│   └── InvalidStatusTransition    status, asked
├── Conflict
│   ├── OrderExists                orderId, differs
│   ├── LineExists                 lineId, productId, quantity
│   ├── ShipmentExists             shipmentId, status, lines, carrier, trackingNumber
│   ├── ReturnExists               returnId, status, lines, reason
│   ├── ReturnAlreadyReceived      returnId, lines
│   ├── ReservationExists          orderId, lineId, held, waiting, shipped, rejected
│   ├── TransferExists             transferId
│   ├── AllocationPending          lines; retryable
│   ├── SeveralHolds               holds
│   ├── StaleQuantity              expected, onHand
│   └── StaleVersion               expected, version
├── CommandIdReused                commandId, source, commandType
├── CommandExpired                 validUntil
├── TotalMismatch                  given, computed
├── OrderCannotBeCancelled         status
├── CancelledOrderModification
├── OrderOnHold                    reason
├── SeveralLocations               locations
├── NotAllocated                   lineId, asked, allocated
├── MoreThanUnshipped              lineId, asked, unshipped
├── MoreThanShipped                lineId, asked, undelivered
├── MoreThanDelivered              lineId, asked, returnable
├── ShipmentAlreadyDelivered       shipmentId
├── ShipmentIsCancelled            shipmentId
├── ShipmentIsClosed               shipmentId
├── CannotChange                   reason
├── TooManyShipments               shipments, bytes, limit
├── TooManyReturns                 returns, bytes, limit
├── TooManyHolds                   holds, bytes, limit
├── ProductDiscontinued            productId
├── LocationClosed                 location
├── OrderLineByHand                orderId, lineId
└── InsufficientStock              productId, asked, available

`CorruptHistory` is not a rejection: an event that cannot apply is a bug upstream.
"""

import re
from typing import Any, ClassVar


class CorruptHistory(Exception):
    """An event does not fit the state it is applied to; the domain did not write this history."""


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
        """The sentence for people, with the data filled in."""
        said = {name: ", ".join(map(str, it)) if isinstance(it, list) else it for name, it in self.details.items()}
        return self.sentence.format(**said)


class NotFound(Rejection):
    """The command names something that does not exist."""


class Invalid(Rejection):
    """The command is invalid, whatever the state."""


class Conflict(Rejection):
    """The command does not fit the current state."""


class OrderNotFound(NotFound):
    """The order does not exist."""

    sentence = "there is no order {orderId}"


class LineNotFound(NotFound):
    """The order has no such line."""

    sentence = "the order has no line {lineId}"


class ShipmentNotFound(NotFound):
    """The order has no such shipment."""

    sentence = "the order has no shipment {shipmentId}"


class ReturnNotFound(NotFound):
    """The order has no such return."""

    sentence = "the order has no return {returnId}"


class ProductNotFound(NotFound):
    """The product has never been stocked."""

    sentence = "there is no product {productId}"


class LocationNotFound(NotFound):
    """The product has never been at the location."""

    sentence = "the product has no location {location}"


class TransferNotFound(NotFound):
    """No such transfer of the product is under way."""

    sentence = "no transfer {transferId} is under way"


class InvalidId(Invalid):
    """The id of a new thing could be mistaken for another id."""

    sentence = "{field}: {reason}"


class InvalidOrder(Invalid):
    """The order cannot be fulfilled as it is."""

    sentence = "{reason}"


class InvalidQuantity(Invalid):
    """The quantity is not possible here."""

    sentence = "{reason}"


class InvalidStatusTransition(Invalid):
    """The order's units do not allow the requested status."""

    sentence = "an order that is {status} cannot become {asked}"


class OrderExists(Conflict):
    """The id belongs to another order; `differs` names the fields."""

    sentence = "order {orderId} already exists with different contents: {differs}"


class LineExists(Conflict):
    """The id belongs to another line of the order."""

    sentence = "line {lineId} already exists: {quantity} units of {productId}; use another id for a new line"


class ShipmentExists(Conflict):
    """The id belongs to another shipment of the order, or to a cancelled one."""

    sentence = "shipment {shipmentId} already exists and is {status}: use another id for a new shipment"


class ReturnExists(Conflict):
    """The id belongs to another return of the order."""

    sentence = "return {returnId} already exists with different contents: use another id for a new return"


class ReturnAlreadyReceived(Conflict):
    """The return was already received with different quantities."""

    sentence = "return {returnId} was already received with different quantities: request another return for the rest"


class ReservationExists(Conflict):
    """The line has already reserved a different quantity."""

    sentence = (
        "line {lineId} of order {orderId} has already reserved this product: "
        "{held} units held, {waiting} waiting, {shipped} shipped, {rejected} rejected"
    )


class TransferExists(Conflict):
    """The id belongs to another transfer of the product that is under way."""

    sentence = "transfer {transferId} is under way with different contents: use another id for a new transfer"


class AllocationPending(Conflict):
    """Stock has not answered yet; the same command may succeed in a moment."""

    sentence = "stock for the lines {lines} is still being allocated; try again in a moment"
    retryable = True


class SeveralHolds(Conflict):
    """The order has several holds, and the command names none of them."""

    sentence = "the order has several holds: name the one to end"


class StaleQuantity(Conflict):
    """The number of units on hand is not the one the command expects."""

    sentence = "expected {expected} units on hand, there are {onHand}"


class StaleVersion(Conflict):
    """The aggregate's version is not the one the command expects."""

    sentence = "expected version {expected}, the current version is {version}"

    @property
    def message(self) -> str:
        """The sentence for people; an aggregate that does not exist has version 0."""
        if self.details["version"] == 0:
            return "it does not exist"
        if self.details["expected"] == 0:
            return f"it already exists, at version {self.details['version']}"
        return super().message


class CommandIdReused(Rejection):
    """The id belongs to another command of the same source."""

    sentence = (
        "the command id {commandId} of source {source} was used for another {commandType}; "
        "send this command under a new id"
    )


class CommandExpired(Rejection):
    """The command was valid until a time that has passed."""

    sentence = "the command was valid until {validUntil}, which has passed; nothing has changed"


class TotalMismatch(Rejection):
    """The total in the command is not the sum of the lines."""

    sentence = "the total given, {given}, is not the sum of the lines, {computed}"


class OrderCannotBeCancelled(Rejection):
    """Units of the order have already shipped, and none are left to cancel."""

    sentence = "an order that is {status} cannot be cancelled; request a return instead"


class CancelledOrderModification(Rejection):
    """The order is cancelled and cannot be changed."""

    sentence = "the order is cancelled and cannot be changed"


class OrderOnHold(Rejection):
    """The order is on hold and cannot ship."""

    sentence = "the order is on hold: {reason}"


class SeveralLocations(Rejection):
    """The units to ship are at several locations, and a shipment leaves from one."""

    sentence = "the units are at several locations: create a shipment from each of {locations}"


class NotAllocated(Rejection):
    """The command ships more units than are allocated."""

    sentence = "line {lineId}: {asked} units requested, {allocated} allocated"


class MoreThanUnshipped(Rejection):
    """The command cancels more units than are left to ship."""

    sentence = "line {lineId}: {asked} units to cancel, {unshipped} not shipped yet"


class MoreThanShipped(Rejection):
    """The command delivers more units than are in transit."""

    sentence = "line {lineId}: {asked} units to deliver, {undelivered} in transit"


class MoreThanDelivered(Rejection):
    """The command returns more units than were delivered and not returned."""

    sentence = "line {lineId}: {asked} units to return, {returnable} delivered and not returned"


class ShipmentAlreadyDelivered(Rejection):
    """The shipment was delivered, at least in part, and can no longer be cancelled."""

    sentence = "shipment {shipmentId} is already delivered"


class ShipmentIsCancelled(Rejection):
    """The shipment has been cancelled."""

    sentence = "shipment {shipmentId} is cancelled"


class ShipmentIsClosed(Rejection):
    """The shipment was closed, because units of it were lost."""

    sentence = "shipment {shipmentId} is closed, and the units that were not delivered are lost"


class CannotChange(Rejection):
    """The change does not fit the order."""

    sentence = "the order cannot be changed like this: {reason}"


class TooManyShipments(Rejection):
    """The order's shipments take up too many bytes; an order is stored as one record."""

    sentence = (
        "the order's {shipments} shipments, cancelled ones included, take {bytes} bytes, and the limit is {limit}: "
        "cancel the remaining lines and place another order for them"
    )


class TooManyReturns(Rejection):
    """The order's returns take up too many bytes; an order is stored as one record."""

    sentence = (
        "the order's {returns} returns, received ones included, take {bytes} bytes, and the limit is {limit}: "
        "the order accepts no more returns"
    )


class TooManyHolds(Rejection):
    """The order's holds take up too many bytes; an order is stored as one record."""

    sentence = "the order's {holds} holds take {bytes} bytes, and the limit is {limit}: end some of them first"


class ProductDiscontinued(Rejection):
    """The product accepts no new reservations."""

    sentence = "product {productId} is discontinued"


class LocationClosed(Rejection):
    """The location accepts no units of the product."""

    sentence = "location {location} is closed: open it first, or use another one"


class OrderLineByHand(Rejection):
    """The line belongs to an order, and only commands to the order may move its stock."""

    sentence = (
        "line {lineId} of order {orderId} can only be changed through the order: cancel, ship or return it there; "
        "reservations outside of orders have the line 'manual'"
    )


class InsufficientStock(Rejection):
    """Fewer units are available than the command requests."""

    sentence = "product {productId}: {asked} units requested, {available} available"
