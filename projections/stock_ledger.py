"""The `stock_ledger` read model: every stock movement, never changed; the sum of `delta` is the units on hand."""

from domain.inventory.events import (
    ProductDiscontinued,
    ProductReactivated,
    ReservationEvent,
    StockAdjusted,
    StockEvent,
    StockReceived,
    StockRestocked,
    StockShipped,
    StockTransferred,
    StockUnshipped,
    TransferReceived,
)
from domain.message import Event
from projections.document import Document
from projections.event_log import ByAggregate, encoded, entry
from projections.projection import Log
from streams.messages.envelope import EventMessage

CREATED = (StockReceived, StockAdjusted)  # events after which a product exists
TURNED = (ProductDiscontinued, ProductReactivated)  # events that discontinue or reactivate it


def shown(message: EventMessage) -> Document:
    """Return an event as the API shows it; `delta`: the change of the units on hand."""
    event = message.event
    assert isinstance(event, StockEvent), f"{message.type} is not an event of a product"
    line = event if isinstance(event, ReservationEvent) else None
    data = message.document()
    return {
        "id": message.id,
        "productId": message.key,
        "sequence": message.sequence,
        "type": message.type,
        "time": message.time,
        "quantity": data.get("quantity"),
        "delta": _on_hand_delta(event),
        "orderId": line and line.order_id,
        "lineId": line and line.line_id,
        "reason": data.get("reason"),
        "balance": data["balance"],
        "commandId": message.causation_id,
        "correlationId": message.correlation_id,
        **({} if message.producer_time is None else {"producerTime": message.producer_time}),
        **({} if message.principal is None else {"principal": message.principal}),
        "causationId": message.causation_id,
    }


LOG = Log(entry, encoded, history=ByAggregate("productId", shown), sorts=("sequence", "-sequence"))


def _on_hand_delta(event: Event) -> int:
    match event:
        case StockAdjusted(delta=delta):
            return delta
        case StockTransferred(quantity=quantity):
            return -quantity
        case (
            StockReceived(quantity=quantity)
            | TransferReceived(quantity=quantity)
            | StockUnshipped(quantity=quantity)
            | StockRestocked(quantity=quantity)
        ):
            return quantity
        case StockShipped(quantity=quantity, uncounted=uncounted):
            return uncounted - quantity
    return 0
