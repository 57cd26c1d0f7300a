"""Place the orders of a seed, and ship and deliver them once stock is allocated.

Commands go to the API in batches. Their results are checked in the read models, where users see them. Commands have
fixed ids, and an order that already has its expected status gets none.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from domain.orders.state import OrderStatus
from ops.http import HttpApi, Rejected, each
from ops.progress import Advance
from ops.seeding.data import SeedOrder
from ops.seeding.result import Seeded

WINDOW = 1_000  # orders that are processed together
BATCH = 150  # commands per request: an order of four lines has 1.2 kB, and the API accepts 256 kB
STILL_SECONDS = 15.0  # the read models are given up if they do not change for this time
FIRST_PAUSE, LONGEST_PAUSE = 0.02, 2.0  # seconds between two queries
PAGE = 500
READERS = 8
ASKED = 10  # orders whose outcomes are queried if the read models do not change

Shown = dict[str, Mapping[str, Any]]  # order id → its document in the read model
Holds = Callable[[SeedOrder, Mapping[str, Any] | None], bool]
WAYS = {  # expected status → the statuses an order has on the way to it
    OrderStatus.REGISTERED: ("REGISTERED",),
    OrderStatus.SHIPPED: ("REGISTERED", "SHIPPED"),
    OrderStatus.DELIVERED: ("REGISTERED", "SHIPPED", "DELIVERED"),
    OrderStatus.CANCELLED: ("REGISTERED", "CANCELLED"),
}


@dataclass(frozen=True)
class Seeding:
    """Brings orders to their expected states, one window at a time."""

    api: HttpApi
    seeded: Seeded
    advance: Advance

    async def window(self, numbers: Iterable[int]) -> None:
        """Bring a window of orders to their expected states."""
        orders = [self.seeded.seed.order(number) for number in numbers]
        shown: Shown = {}
        await self._look(orders, shown)
        await self._send(command for order in orders for command in self._placing(order, shown))
        if await self._until(_answered, orders, shown):
            await self._send(command for order in orders for command in _shipping(order, shown[order.id]))
            await self._until(_as_expected, orders, shown)
        self.seeded.shown |= {order_id: document["status"] for order_id, document in shown.items()}
        self.advance(len(orders))

    def _placing(self, order: SeedOrder, shown: Shown) -> Iterable[dict[str, Any]]:
        if order.id not in shown:
            self.seeded.placed += 1
            yield order.place()
            yield from order.change()
        if order.expected is OrderStatus.CANCELLED and not _as_expected(order, shown.get(order.id)):
            yield order.cancel()

    async def _send(self, commands: Iterable[dict[str, Any]]) -> None:
        """Send commands in order, and wait until they are durable; the read models show their results."""
        left = list(commands)
        while batch := left[:BATCH]:
            answer = await self.api.send("POST", "/commands", batch)
            self.seeded.refused.update(each["message"] for each in answer.data if each["status"] == "refused")
            left = left[BATCH:]

    async def _until(self, holds: Holds, orders: list[SeedOrder], shown: Shown) -> bool:
        """Wait until `holds` is true for all orders on their way; return False if nothing changes any more."""
        left, pause, moved = orders, FIRST_PAUSE, time.monotonic()
        while left := [order for order in left if _on_its_way(holds, order, shown.get(order.id))]:
            before = dict(shown)
            await asyncio.sleep(pause)
            await self._look(left, shown)
            pause = min(pause * 1.5, LONGEST_PAUSE)
            moved = time.monotonic() if shown != before else moved
            if time.monotonic() - moved > STILL_SECONDS:
                await each(left[:ASKED], self._ask_why, READERS)
                return False
        return True

    async def _look(self, orders: list[SeedOrder], shown: Shown) -> None:
        """Query the orders of the customers that placed `orders`."""
        await each({order.customer for order in orders}, lambda customer: self._history(customer, shown), READERS)

    async def _history(self, customer: str, shown: Shown) -> None:
        cursor: dict[str, str] = {}
        while True:
            page = await self.api.get(f"/customers/{customer}/orders", limit=PAGE, **cursor)
            shown.update({order["id"]: order for order in page.data if order["id"] in self.seeded.expected})
            if page.next_cursor is None:
                return
            cursor = {"cursor": page.next_cursor}

    async def _ask_why(self, order: SeedOrder) -> None:
        """Record why the order's commands were rejected."""
        for command in (order.place(), order.cancel(), *order.ship()):
            try:
                outcome = (await self.api.get(f"/commands/{command['id']}")).data
            except Rejected:  # the command was not sent
                continue
            if outcome["status"] == "rejected":
                self.seeded.refused[f"{command['type']}: {outcome['code']}: {outcome['message']}"] += 1


def _shipping(order: SeedOrder, shown: Mapping[str, Any]) -> list[dict[str, Any]]:
    shipped = order.expected in (OrderStatus.SHIPPED, OrderStatus.DELIVERED)
    return order.ship() if shipped and not _as_expected(order, shown) else []


def _on_its_way(holds: Holds, order: SeedOrder, shown: Mapping[str, Any] | None) -> bool:
    return not holds(order, shown) and (shown is None or shown["status"] in WAYS[order.expected])


def _answered(order: SeedOrder, shown: Mapping[str, Any] | None) -> bool:
    """Return whether stock is allocated for the order, or is not needed."""
    return shown is not None and bool(shown["allocationStatus"] == "ALLOCATED" or shown["status"] == "CANCELLED")


def _as_expected(order: SeedOrder, shown: Mapping[str, Any] | None) -> bool:
    return shown is not None and shown["status"] == order.expected.value
