"""Allocating: stock reports how many units of a line it granted, queued or refused."""

from collections.abc import Sequence

from domain.errors import InsufficientStock, LineNotFound
from domain.policy import AllocationPolicy

from .cancelling import cancelled_by_stock
from .commands import RecordAllocation
from .events import AllocationRecorded, LocationProposed, OrderCancelled
from .gathering import answered, awaits, propose
from .lines import with_lines
from .state import Line, Order

OUT_OF_STOCK = "OUT_OF_STOCK"


Recorded = AllocationRecorded | OrderCancelled | LocationProposed


def record_allocation(command: RecordAllocation, order: Order) -> Sequence[Recorded]:
    """Limit stock's figures to the line's active units; cancel refused units, and the order if its policy says so.

    Figures that change nothing cause no event, so `stock_version` is not recorded for them. This is safe: a line's
    quantities depend only on the newest figures that changed it and on its active units, which only decrease. Figures
    that changed nothing at first therefore change nothing later. The exceptions are figures by which stock took back
    units that have shipped: they would count once the shipment is cancelled, so they are recorded. Answers
    to a proposal are recorded, too.
    """
    line = order.line(command.line_id)
    if line is None:
        raise LineNotFound(lineId=command.line_id)
    if command.stock_version <= line.stock_version:
        return []
    proposal = command.proposal if awaits(order, command.line_id, command.proposal) else 0
    event = _recorded(command, line, proposal)
    if event is None:
        return propose(order)
    if event.rejected == line.rejected:
        return [event] if order.allocation is None else [event, *propose(allocation_recorded(order, event))]
    after = allocation_recorded(order, event)
    if (order.policy is AllocationPolicy.ALL_OR_NOTHING and not line.added) or after.cancelled:
        return [event, *cancelled_by_stock(after, event.reason)]
    return [event, *propose(after)]


def _recorded(command: RecordAllocation, line: Line, proposal: int) -> AllocationRecorded | None:
    active, shipped = line.active, line.shipped
    reserved = command.reserved - line.lost
    granted = min(reserved, active)
    allocated = max(granted - shipped, 0)
    backordered = min(command.backordered, active - shipped - allocated)
    left = active - shipped - allocated - backordered
    refused = min(max(command.rejected - line.rejected, 0), left)
    same = (allocated, backordered, refused, command.at) == (line.allocated, line.backordered, 0, line.at)
    if same and reserved >= shipped and not command.unrefused and not proposal:
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
        keep=active - shipped if command.unrefused else None,
        at=command.at,
        could=command.could,
        proposal=proposal,
    )


def _reason(reason: str | None) -> str | None:
    return OUT_OF_STOCK if reason == InsufficientStock.code else reason


def allocation_recorded(order: Order, event: AllocationRecorded) -> Order:
    """Return `order` with stock's figures for one line."""
    if event.proposal and order.proposal is not None:
        return with_lines(order, (event,), _with_figures, proposal=answered(order.proposal, event))
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
        line.lost,
        line.reduced,
        line.added,
        line.part_of,
        event.at,
        event.could if event.could or event.proposal else line.could,
    )
