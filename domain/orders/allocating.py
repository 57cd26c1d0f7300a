"""Allocating: stock reports how many units of a line it granted, queued or refused."""

from domain.errors import InsufficientStock, LineNotFound
from domain.policy import AllocationPolicy

from .cancelling import cancelled_by_stock
from .commands import RecordAllocation
from .events import AllocationRecorded, OrderCancelled
from .lines import with_lines
from .state import Line, Order

OUT_OF_STOCK = "OUT_OF_STOCK"


def record_allocation(command: RecordAllocation, order: Order) -> list[AllocationRecorded | OrderCancelled]:
    """Limit stock's figures to the line's active units; cancel refused units, and the order if its policy says so.

    Figures that change nothing cause no event, so `stock_version` is not recorded for them. This is safe: a line's
    quantities depend only on the newest figures that changed it and on its active units, which only decrease. Figures
    that changed nothing at first therefore change nothing later.
    """
    line = order.line(command.line_id)
    if line is None:
        raise LineNotFound(lineId=command.line_id)
    if command.stock_version <= line.stock_version:
        return []
    event = _recorded(command, line)
    if event is None:
        return []
    if event.rejected == line.rejected:
        return [event]
    after = allocation_recorded(order, event)
    if order.policy is AllocationPolicy.ALL_OR_NOTHING or after.cancelled:
        return [event, *cancelled_by_stock(after, event.reason)]
    return [event]


def _recorded(command: RecordAllocation, line: Line) -> AllocationRecorded | None:
    granted = min(command.reserved, line.active)
    allocated = max(granted - line.shipped, 0)
    backordered = min(command.backordered, line.active - line.shipped - allocated)
    left = line.active - line.shipped - allocated - backordered
    refused = min(max(command.rejected - line.rejected, 0), left)
    if (allocated, backordered, refused) == (line.allocated, line.backordered, 0):
        return None
    return AllocationRecorded(
        line_id=line.line_id,
        product_id=line.product_id,
        pending=left - refused,
        backordered=backordered,
        allocated=allocated,
        cancelled=line.cancelled + refused,
        rejected=line.rejected + refused,
        reason=_reason(command.reason) if refused else None,
        stock_version=command.stock_version,
    )


def _reason(reason: str | None) -> str | None:
    return OUT_OF_STOCK if reason == InsufficientStock.code else reason


def allocation_recorded(order: Order, event: AllocationRecorded) -> Order:
    """Return `order` with stock's figures for one line."""
    return with_lines(order, (event,), _with_figures)


def _with_figures(line: Line, event: AllocationRecorded) -> Line:
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
