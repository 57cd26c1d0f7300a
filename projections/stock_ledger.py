"""The `stock_ledger` read model: every movement of stock, never changed; `delta` adds up to what is on hand."""

from typing import Any

from domain.inventory.events import (
    ProductDiscontinued,
    ProductReactivated,
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
from streams.messages.envelope import EventMessage

CREATED = (StockReceived, StockAdjusted)  # what a product exists from
TURNED = (ProductDiscontinued, ProductReactivated)  # what ends and begins its reservations
_WHOLE: dict[str, type[StockEvent]] = {each.__name__: each for each in (*CREATED, *TURNED)}


def entry(message: EventMessage) -> Document:
    """Return the ledger's entry of an event; `delta`: by how many units it changed what is on hand."""
    event = message.event
    assert isinstance(event, StockEvent), f"{message.type} is no event of a product"
    line = event if isinstance(event, ReservationEvent) else None
    fields = event.__dict__  # asked with `getattr`, a model takes 2 µs to say that it has no such field
    return {
        "_id": message.id,
        "productId": message.key,
        "sequence": message.sequence,
        "type": message.type,
        "time": message.time,
        "quantity": fields.get("quantity"),
        "delta": _on_hand_delta(event),
        "orderId": line and line.order_id,
        "lineId": line and line.line_id,
        "reason": fields.get("reason"),
        "balance": message.document()["balance"],
        "commandId": message.causation_id,
        "correlationId": message.correlation_id,
        **({} if message.producer_time is None else {"producerTime": message.producer_time}),
    }


def shown(document: Document) -> Document:
    """Return an entry as the API shows it, with the names all histories have."""
    return {**document, "causationId": document["commandId"]}


def message_of(document: Document) -> EventMessage:
    """Return what an entry's event says of the product: an event of a reservation is no more than its balance here."""
    event: Any = _WHOLE.get(document["type"], StockEvent)
    return EventMessage(
        id=document["_id"],
        key=document["productId"],
        event=event.model_validate(document),
        sequence=document["sequence"],
        time=document["time"],
        source="inventory",
        correlation_id=document["correlationId"],
        causation_id=document["commandId"],
        producer_time=document.get("producerTime"),
    )


def _on_hand_delta(event: Event) -> int:
    match event:
        case StockAdjusted(delta=delta):
            return delta
        case StockReceived(quantity=quantity) | StockUnshipped(quantity=quantity) | StockRestocked(quantity=quantity):
            return quantity
        case StockShipped(quantity=quantity):
            return -quantity
    return 0
