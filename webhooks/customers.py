"""The customers of orders: known from the events that placed them, or looked up in the log of events."""

import asyncio
from collections import OrderedDict
from typing import Any

from projections.mongo.queries import Queries

REMEMBERED = 20_000  # orders
LOOK_SECONDS = 0.5


class Customers:
    """Order id → customer id."""

    def __init__(self, queries: Queries) -> None:
        self._queries = queries
        self._known: OrderedDict[str, str | None] = OrderedDict()

    async def of(self, order_id: str, data: dict[str, Any], event_type: str) -> str | None:
        """Return the customer of an order, given one of its events; None if that was skipped in the log.

        The first event of an order names its customer. If it was read by another process, this waits until the
        projector has it.
        """
        if event_type == "OrderPlaced" and isinstance(found := data.get("customerId"), str):
            self._remember(order_id, found)
            return found
        while order_id not in self._known:
            if (first := await self._first(order_id)) is None:
                await asyncio.sleep(LOOK_SECONDS)
            else:
                self._remember(order_id, getattr(first.event, "customer_id", None))
        return self._known[order_id]

    async def _first(self, order_id: str) -> Any:
        entries, history = self._queries.log("order_events")
        found = await entries.find_one(history.between(order_id), sort=[(history.order, 1)])
        return None if found is None else history.message_of(found)

    def _remember(self, order_id: str, customer_id: str | None) -> None:
        self._known[order_id] = customer_id
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
