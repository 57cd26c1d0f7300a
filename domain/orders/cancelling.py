"""Cancelling: a whole order or some of its units, as long as they have not shipped."""

from msgspec.structs import replace

from domain.errors import CancelledOrderModification, MoreThanUnshipped, OrderCannotBeCancelled

from .commands import CancelLines, CancelOrder, CloseShipment, OrderCommand, Release, UpdateStatus
from .events import CancellationCause, CancelledLine, LinesCancelled, OrderCancelled, OrderEvent
from .lines import named_lines, with_lines
from .shipping import refuse_another_rest
from .state import Line, Order, Shipment
from .status import OrderStatus, ShipmentStatus

# the reasons of cancellations by time
SHIP_BY, HOLD_UNTIL, BACKORDERS_EXPIRE_AT = "SHIP_BY", "HOLD_UNTIL", "BACKORDERS_EXPIRE_AT"


def cancel_order(command: CancelOrder, order: Order) -> list[OrderCancelled | LinesCancelled]:
    """Cancel all units that have not shipped, on hold or not; no event if a client has already cancelled them."""
    if not order.total("shipped"):
        return [*cancel_all(order, command.reason)]
    if lines := _all_unshipped(order):
        return [LinesCancelled(lines=lines, reason=command.reason)]
    if order.total("cancelled") > order.total("rejected"):
        return []
    raise OrderCannotBeCancelled(status=order.status)


def cancel_all(order: Order, reason: str) -> list[OrderCancelled]:
    """Return the order's cancellation, or no event if it is already cancelled; refused once any unit has shipped."""
    if order.cancelled:
        return []
    if order.total("shipped"):
        raise OrderCannotBeCancelled(status=order.status)
    return [OrderCancelled(lines=_all_unshipped(order), reason=reason, cause=CancellationCause.REQUEST)]


def cancelled_by_stock(order: Order, reason: str | None) -> list[OrderCancelled]:
    """Return the cancellation of an order that stock refused, or no event if some of its units have shipped."""
    if order.total("shipped"):
        return []
    return [OrderCancelled(lines=_all_unshipped(order), reason=reason or "", cause=CancellationCause.STOCK)]


def cancelled_by_deadline(order: Order, reason: str) -> LinesCancelled | OrderCancelled:
    """Return the cancellation that a client asked for beforehand, of all units that have not shipped."""
    if order.total("shipped"):
        return LinesCancelled(lines=_all_unshipped(order), reason=reason)
    return OrderCancelled(lines=_all_unshipped(order), reason=reason, cause=CancellationCause.REQUEST)


def cancelled_backorders(order: Order) -> LinesCancelled | OrderCancelled:
    """Return the cancellation that a client asked for beforehand, of all units that wait for stock."""
    lines = tuple(cancelled_line(line, line.backordered) for line in order.lines if line.backordered)
    if order.total("active") == sum(line.quantity for line in lines):
        return OrderCancelled(lines=lines, reason=BACKORDERS_EXPIRE_AT, cause=CancellationCause.REQUEST)
    return LinesCancelled(lines=lines, reason=BACKORDERS_EXPIRE_AT)


def cancel_lines(command: CancelLines, order: Order) -> list[LinesCancelled | OrderCancelled]:
    """Cancel units that have not shipped; if no units are left, the order is cancelled."""
    lines = []
    for line, quantity in named_lines(order, command.lines):
        if quantity > line.unshipped:
            raise MoreThanUnshipped(lineId=line.line_id, asked=quantity, unshipped=line.unshipped)
        lines.append(cancelled_line(line, quantity))
    if order.total("active") == sum(line.quantity for line in lines):
        return [OrderCancelled(lines=tuple(lines), reason=command.reason, cause=CancellationCause.REQUEST)]
    return [LinesCancelled(lines=tuple(lines), reason=command.reason)]


def decide_cancelled(command: OrderCommand, order: Order) -> list[OrderEvent]:
    """Refuse every command that would change a cancelled order."""
    match command:
        case CancelOrder() | UpdateStatus(status=OrderStatus.CANCELLED):
            return []
        case CloseShipment(shipment_id=shipment_id) if (shipment := _closed(order, shipment_id)) is not None:
            refuse_another_rest(shipment, command.rest)
            return []
        case Release(hold_id=hold_id) if all(hold_id not in (None, each.hold_id) for each in order.holds):
            return []
    raise CancelledOrderModification()


def _closed(order: Order, shipment_id: str) -> Shipment | None:
    shipment = order.shipment(shipment_id)
    return shipment if shipment is not None and shipment.status is ShipmentStatus.CLOSED else None


def _all_unshipped(order: Order) -> tuple[CancelledLine, ...]:
    return tuple(cancelled_line(line, line.unshipped) for line in order.lines if line.unshipped)


def cancelled_line(line: Line, quantity: int) -> CancelledLine:
    """Return the part of an event that cancels units of a line."""
    return CancelledLine(
        line_id=line.line_id, product_id=line.product_id, quantity=quantity, keep=line.unshipped - quantity
    )


def cancelled(order: Order, event: LinesCancelled | OrderCancelled) -> Order:
    """Return `order` with fewer active units."""
    return with_lines(order, event.lines, lambda line, item: without_units(line, item.quantity))


def without_units(line: Line, quantity: int) -> Line:
    """Return `line` with `quantity` units cancelled: pending units first, then backordered, then allocated ones."""
    pending = min(quantity, line.pending)
    backordered = min(quantity - pending, line.backordered)
    return replace(
        line,
        pending=line.pending - pending,
        backordered=line.backordered - backordered,
        allocated=line.allocated - (quantity - pending - backordered),
        cancelled=line.cancelled + quantity,
    )
