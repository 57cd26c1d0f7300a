"""Whose order is it? Asked only when somebody listens to one customer."""

from collections import OrderedDict
from collections.abc import Iterable

from projections.mongo.queries import Queries

from .event import LiveEvent

REMEMBERED = 50_000  # orders


class Customers:
    """Order id → customer id: as events said when they came, or as the read model says."""

    def __init__(self, queries: Queries) -> None:
        self._queries = queries
        self._known: OrderedDict[str, str] = OrderedDict()

    def of(self, event: LiveEvent) -> str | None:
        """Return the customer of the order an event is about, if it is known."""
        return self._known.get(event.order_id) if event.order_id else None

    def learn(self, event: LiveEvent) -> None:
        """Remember what an event says."""
        if event.customer_id and event.order_id:
            self._remember(event.order_id, event.customer_id)

    async def look_up(self, events: Iterable[LiveEvent]) -> None:
        """Ask for the customers of orders nobody remembers; an order that is not projected yet stays unknown."""
        unknown = {event.order_id for event in events if event.order_id and event.order_id not in self._known}
        if unknown:
            for document in await self._queries.find_many("orders", sorted(unknown)):
                self._remember(document["id"], document["customerId"])

    def _remember(self, order_id: str, customer_id: str) -> None:
        self._known[order_id] = customer_id
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
