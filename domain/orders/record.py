"""Recording what stock says of a line."""

from domain.errors import InsufficientStock, LineNotFound
from domain.policy import AllocationPolicy

from .cancel import end_after
from .commands import RecordAllocation
from .events import AllocationRecorded, OrderEvent
from .evolve import evolve
from .state import Line, Order

OUT_OF_STOCK = "OUT_OF_STOCK"


def record_allocation(command: RecordAllocation, order: Order, order_id: str) -> list[OrderEvent]:
    """Clamp stock's figures to what is still active; refused units are cancelled, and with them perhaps the order.

    Figures that change nothing leave no event, hence no `stock_version`. That is safe: a line's quantities are a
    function of the newest figures that changed it and of its active units, which only ever fall, so whatever changed
    nothing then changes nothing later either.
    """
    line = order.line(command.line_id)
    if line is None:
        raise LineNotFound(lineId=command.line_id)
    if command.stock_version <= line.stock_version:
        return []
    recorded = _recorded(command, line)
    if recorded is None:
        return []
    if recorded.rejected == line.rejected:
        return [recorded]
    after = evolve(order, recorded)
    if order.policy is AllocationPolicy.ALL_OR_NOTHING or after.cancelled:
        return [recorded, *end_after(recorded, after)]
    return [recorded]


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
