"""Cancelling: a whole order or some of its units, as long as they have not shipped."""

from msgspec.structs import replace

from domain.errors import CancelledOrderModification, MoreThanUnshipped, OrderCannotBeCancelled

from .commands import CancelLines, CancelOrder, OrderCommand, RecordAllocation, Release, UpdateStatus
from .events import CancellationCause, CancelledLine, LinesCancelled, OrderCancelled, OrderEvent
from .lines import named_lines, with_lines
from .state import Line, Order
from .status import OrderStatus


def cancel_order(command: CancelOrder, order: Order) -> list[OrderCancelled]:
    """Cancel the whole order, on hold or not, unless some of its units have shipped."""
    return cancel_all(order, command.reason)


def cancel_all(order: Order, reason: str) -> list[OrderCancelled]:
    """Return the order's cancellation, or no event if it is already cancelled."""
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


def cancel_lines(command: CancelLines, order: Order) -> list[LinesCancelled | OrderCancelled]:
    """Cancel units that have not shipped; if no units are left, the order is cancelled."""
    lines = []
    for line, quantity in named_lines(order, command.lines):
        if quantity > line.unshipped:
            raise MoreThanUnshipped(lineId=line.line_id, asked=quantity, unshipped=line.unshipped)
        lines.append(_cancelled_line(line, quantity))
    if order.total("active") == sum(line.quantity for line in lines):
        return [OrderCancelled(lines=tuple(lines), reason=command.reason, cause=CancellationCause.REQUEST)]
    return [LinesCancelled(lines=tuple(lines), reason=command.reason)]


def decide_cancelled(command: OrderCommand, order: Order) -> list[OrderEvent]:
    """Refuse every command that would change a cancelled order."""
    match command:
        case CancelOrder() | UpdateStatus(status=OrderStatus.CANCELLED) | RecordAllocation():
            return []
        case Release() if order.hold is None:
            return []
    raise CancelledOrderModification()


def _all_unshipped(order: Order) -> tuple[CancelledLine, ...]:
    return tuple(_cancelled_line(line, line.unshipped) for line in order.lines if line.unshipped)


def _cancelled_line(line: Line, quantity: int) -> CancelledLine:
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
