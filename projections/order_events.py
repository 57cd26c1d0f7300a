"""The `order_events` read model: every event of an order as it was written, for its history and for time travel."""

from projections.document import Document
from projections.event_log import ByAggregate, encoded, entry
from projections.projection import Log
from streams.messages.envelope import EventMessage


def shown(message: EventMessage) -> Document:
    """Return an event as the API shows it; the cause of an event is always a command."""
    return {
        "id": message.id,
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
        **({} if message.principal is None else {"principal": message.principal}),
        "commandId": message.causation_id,
    }


LOG = Log(entry, encoded, history=ByAggregate("orderId", shown), sorts=("sequence", "-sequence"))
