"""The `stock_ledger` read model: every movement of stock, never changed; `delta` adds up to what is on hand."""

from domain.inventory.events import (
    ReservationEvent,
    StockAdjusted,
    StockEvent,
    StockReceived,
    StockRestocked,
    StockShipped,
    StockUnshipped,
)
from domain.message import Event
from projections.document import Document
from streams.messages import EventMessage


def entry(message: EventMessage) -> Document:
    """Return the ledger's entry of an event; `delta`: by how many units it changed what is on hand."""
    event = message.event
    assert isinstance(event, StockEvent), f"{message.type} is no event of a product"
    line = event if isinstance(event, ReservationEvent) else None
    return {
        "_id": message.id,
        "productId": message.key,
        "sequence": message.sequence,
        "type": message.type,
        "time": message.time,
        "quantity": getattr(event, "quantity", None),
        "delta": _on_hand_delta(event),
        "orderId": line and line.order_id,
        "lineId": line and line.line_id,
        "reason": getattr(event, "reason", None),
        "balance": event.balance.model_dump(by_alias=True),
        "commandId": message.causation_id,
        "correlationId": message.correlation_id,
    }


def _on_hand_delta(event: Event) -> int:
    match event:
        case StockAdjusted(delta=delta):
            return delta
        case StockReceived(quantity=quantity) | StockUnshipped(quantity=quantity) | StockRestocked(quantity=quantity):
            return quantity
        case StockShipped(quantity=quantity):
            return -quantity
    return 0
