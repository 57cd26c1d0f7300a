"""The customers of orders, which are looked up only while a client listens for a customer."""

from collections import OrderedDict
from collections.abc import Iterable

from projections.mongo.queries import Queries

from .event import StreamedEvent

REMEMBERED = 50_000  # orders


class Customers:
    """Order id → customer id, from the events as they arrive or from the read model."""

    def __init__(self, queries: Queries) -> None:
        self._queries = queries
        self._known: OrderedDict[str, str] = OrderedDict()

    def of(self, event: StreamedEvent) -> str | None:
        """Return the customer of an event's order, if known."""
        return self._known.get(event.order_id) if event.order_id else None

    def learn(self, event: StreamedEvent) -> None:
        """Remember the customer of an order that an event places."""
        if event.customer_id and event.order_id:
            self._remember(event.order_id, event.customer_id)

    async def look_up(self, events: Iterable[StreamedEvent]) -> None:
        """Look up unknown customers; the customer of an order that is not projected yet stays unknown."""
        unknown = {event.order_id for event in events if event.order_id and event.order_id not in self._known}
        if unknown:
            for document in await self._queries.find_many("orders", sorted(unknown)):
                self._remember(document["id"], document["customerId"])

    def _remember(self, order_id: str, customer_id: str) -> None:
        self._known[order_id] = customer_id
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
