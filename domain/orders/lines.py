"""How lines change: every function returns another order or line."""

from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeVar

from domain.errors import CorruptHistory
from domain.frozen import replace

from .events import AllocationRecorded, LinesCancelled, OrderCancelled
from .state import Line, Order


class OfLine(Protocol):
    """What an event says of one line."""

    @property
    def line_id(self) -> str:
        """The line's id."""


Item = TypeVar("Item", bound=OfLine)


def changed(order: Order, about: Iterable[Item], change: Callable[[Line, Item], Line], **also: Any) -> Order:
    """Return `order` with `change` made to each line that an item of `about` names, and `also` these fields."""
    items = {item.line_id: item for item in about}
    lines = [change(line, items.pop(line.line_id)) if line.line_id in items else line for line in order.lines]
    if items:
        raise CorruptHistory(f"no lines {', '.join(items)}")
    return replace(order, lines=tuple(lines), **also)


def recorded(order: Order, event: AllocationRecorded) -> Order:
    """Return `order` with stock's figures for one line."""
    return changed(order, (event,), _record)


def _record(line: Line, event: AllocationRecorded) -> Line:
    return Line(
        line.line_id,
        line.product_id,
        line.price,
        line.ordered,
        event.pending,
        event.backordered,
        event.allocated,
        line.shipped,
        line.delivered,
        event.cancelled,
        event.rejected,
        line.returned,
        line.damaged,
        event.stock_version,
    )


def cancelled(order: Order, event: LinesCancelled | OrderCancelled) -> Order:
    """Return `order` with fewer units active."""
    return changed(order, event.lines, lambda line, gone: cancel(line, gone.quantity))


def cancel(line: Line, quantity: int) -> Line:
    """Return `line` with `quantity` fewer units: pending ones go first, then backordered, then allocated ones."""
    pending = min(quantity, line.pending)
    backordered = min(quantity - pending, line.backordered)
    return replace(
        line,
        pending=line.pending - pending,
        backordered=line.backordered - backordered,
        allocated=line.allocated - (quantity - pending - backordered),
        cancelled=line.cancelled + quantity,
    )
