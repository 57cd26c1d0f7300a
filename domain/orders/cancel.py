"""Cancelling: all of an order, part of it, or what stock refused."""

from collections.abc import Iterable

from domain.errors import LineNotFound, MoreThanUnshipped, OrderCannotBeCancelled

from .commands import CancelLines, CancelOrder, LineQuantity
from .events import AllocationRecorded, CancellationCause, CancelledLine, LinesCancelled, OrderCancelled, OrderEvent
from .state import Line, Order


def cancel_order(command: CancelOrder, order: Order, order_id: str) -> list[OrderEvent]:
    """Cancel all that is left, unless something has shipped; a hold is no obstacle."""
    return cancel_all(order, command.reason)


def cancel_all(order: Order, reason: str) -> list[OrderEvent]:
    """Return the order's end; none if it has ended."""
    if order.cancelled:
        return []
    if order.total("shipped"):
        raise OrderCannotBeCancelled(status=order.status)
    lines = tuple(_gone(line, line.unshipped) for line in order.lines if line.unshipped)
    return [OrderCancelled(lines=lines, reason=reason, cause=CancellationCause.REQUEST)]


def cancel_lines(command: CancelLines, order: Order, order_id: str) -> list[OrderEvent]:
    """Cancel part of what is not shipped; where nothing is left, the order is cancelled."""
    lines = []
    for line, quantity in each_line(order, command.lines):
        if quantity > line.unshipped:
            raise MoreThanUnshipped(lineId=line.line_id, asked=quantity, unshipped=line.unshipped)
        lines.append(_gone(line, quantity))
    if order.total("active") == sum(line.quantity for line in lines):
        return [OrderCancelled(lines=tuple(lines), reason=command.reason, cause=CancellationCause.REQUEST)]
    return [LinesCancelled(lines=tuple(lines), reason=command.reason)]


def each_line(order: Order, asked: Iterable[LineQuantity]) -> list[tuple[Line, int]]:
    """Return the lines asked for with their units; a line asked for twice is asked for the sum."""
    quantities = summed(asked)
    lines = {line.line_id: line for line in order.lines}
    if unknown := quantities.keys() - lines.keys():
        raise LineNotFound(lineId=min(unknown))
    return [(lines[line_id], quantity) for line_id, quantity in quantities.items()]


def summed(asked: Iterable[LineQuantity]) -> dict[str, int]:
    """Return the units asked for by line."""
    quantities: dict[str, int] = {}
    for item in asked:
        quantities[item.line_id] = quantities.get(item.line_id, 0) + item.quantity
    return quantities


def _gone(line: Line, quantity: int) -> CancelledLine:
    return CancelledLine(
        line_id=line.line_id, product_id=line.product_id, quantity=quantity, keep=line.unshipped - quantity
    )


def end_after(recorded: AllocationRecorded, order: Order) -> list[OrderEvent]:
    """Return the order's end if `recorded`, after which it stands as `order`, leaves nothing to wait for."""
    if order.total("shipped"):
        return []
    lines = tuple(_gone(line, line.unshipped) for line in order.lines if line.unshipped)
    return [OrderCancelled(lines=lines, reason=recorded.reason or "", cause=CancellationCause.STOCK)]
