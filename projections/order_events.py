"""The `order_events` read model: every event of an order as it was written, for its history and for time travel."""

from projections.document import Document
from streams.codec import EVENTS, UPCASTERS
from streams.messages import EventMessage


def entry(message: EventMessage) -> Document:
    """Return the event's entry; it is inserted once and never changes."""
    return {
        "_id": message.id,
        "orderId": message.key,
        "sequence": message.sequence,
        "type": message.type,
        "time": message.time,
        "data": message.event.model_dump(mode="json", by_alias=True, exclude_none=True),
        "schemaVersion": message.event.schema_version,
        "source": message.source,
        "causationId": message.causation_id,
        "correlationId": message.correlation_id,
    }


def message_of(document: Document) -> EventMessage:
    """Return the event an entry was made of, as today's code knows it."""
    name, data = document["type"], document["data"]
    if document["schemaVersion"] < EVENTS[name].schema_version:
        data = UPCASTERS.upcast(name, document["schemaVersion"], data)
    return EventMessage(
        id=document["_id"],
        key=document["orderId"],
        event=EVENTS[name].model_validate(data),
        sequence=document["sequence"],
        time=document["time"],
        source=document["source"],
        correlation_id=document["correlationId"],
        causation_id=document["causationId"],
    )
