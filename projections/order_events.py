"""The `order_events` read model: every event of an order as it was written, for its history and for time travel."""

from projections.document import Document
from streams.messages.codec import EVENTS, UPCASTERS
from streams.messages.envelope import EventMessage


def entry(message: EventMessage) -> Document:
    """Return the event's entry; it is inserted once and never changes."""
    return {
        "_id": message.id,
        "orderId": message.key,
        "sequence": message.sequence,
        "type": message.type,
        "time": message.time,
        "data": message.document(),
        "schemaVersion": message.event.schema_version,
        "source": message.source,
        "causationId": message.causation_id,
        "correlationId": message.correlation_id,
        **({} if message.producer_time is None else {"producerTime": message.producer_time}),
    }


def upcast(document: Document) -> Document:
    """Return an entry as it would be written today: those of older event versions stay as they are in the database."""
    name, version = document["type"], document["schemaVersion"]
    today = EVENTS[name].schema_version
    if version >= today:
        return document
    return {**document, "data": UPCASTERS.upcast(name, version, document["data"]), "schemaVersion": today}


def shown(document: Document) -> Document:
    """Return an entry as the API shows it; what caused an event is always a command."""
    return {**upcast(document), "commandId": document["causationId"]}


def message_of(document: Document) -> EventMessage:
    """Return the event an entry was made of, as today's code knows it."""
    document = upcast(document)
    return EventMessage(
        id=document["_id"],
        key=document["orderId"],
        event=EVENTS[document["type"]].model_validate(document["data"]),
        sequence=document["sequence"],
        time=document["time"],
        source=document["source"],
        correlation_id=document["correlationId"],
        causation_id=document["causationId"],
        producer_time=document.get("producerTime"),
    )
