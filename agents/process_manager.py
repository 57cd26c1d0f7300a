"""The process manager between orders and stock: the commands an event causes.

They are written in the transaction that writes the event, so that an event never exists without them.
"""

from typing import cast

from domain import fulfilment
from domain.inventory import InventoryEvent
from domain.orders import OrderEvent
from streams import topics
from streams.kafka.transactions import ANY_PARTITION, Write
from streams.messages.envelope import CONTENT_TYPE, CommandMessage, EventMessage, derived_id
from streams.runtime.settings import Settings

PROCESS_MANAGER = "fulfilment"  # the source of its commands


class ProcessManager:
    """Turns events into the commands they cause; it has no state."""

    def __init__(self, settings: Settings) -> None:
        named = settings.named
        self._topics = {"order": named(topics.ORDER_COMMANDS.name), "inventory": named(topics.INVENTORY_COMMANDS.name)}

    def commands(self, event: EventMessage) -> list[Write]:
        """Return the commands that `event` causes; for the same event they are the same, ids included."""
        caused_by = cast("OrderEvent | InventoryEvent", event.event)  # there are no others
        return [
            self._write(event, number, request)
            for number, request in enumerate(fulfilment.commands(caused_by, event.key, event.sequence))
        ]

    def _write(self, event: EventMessage, number: int, request: fulfilment.Request) -> Write:
        command = CommandMessage(
            id=derived_id(event.id, number),
            key=request.key,
            command=request.command,
            time=event.time,
            source=PROCESS_MANAGER,
            correlation_id=event.correlation_id,
            causation_id=event.id,
        )
        topic = self._topics[request.aggregate]
        return Write(topic, ANY_PARTITION, request.key.encode(), command.encode(), CONTENT_TYPE)
