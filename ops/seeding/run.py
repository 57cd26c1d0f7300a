"""Seed stock first, then orders, window by window, through the HTTP API of this installation."""

import time
from dataclasses import dataclass

from ops.http import HttpApi, Rejected, each, http_api
from ops.progress import ShowProgress, silent
from ops.seeding.data import Delivery, Seed
from ops.seeding.orders import WINDOW, Seeding
from ops.seeding.result import Seeded
from streams.runtime.settings import Settings

WINDOWS_AT_ONCE = 4
CONNECTIONS = 32


async def run(settings: Settings, orders: int, seed: int, progress: ShowProgress = silent) -> Seeded:
    """Seed, wait for the read models, and return their contents."""
    seeded = Seeded(Seed(seed, orders))
    async with http_api(settings, CONNECTIONS) as api:
        began = time.monotonic()
        await each(seeded.seed.deliveries(), Stock(api, seeded.seed).receive, CONNECTIONS)
        with progress("orders", orders) as advance:
            windows = (range(first, min(first + WINDOW, orders)) for first in range(0, orders, WINDOW))
            await each(windows, Seeding(api, seeded, advance).window, WINDOWS_AT_ONCE)
        seeded.seconds = time.monotonic() - began
        found = [await api.get(f"/inventory/{product}") for product in seeded.seed.products]
        seeded.products = [answer.data for answer in found]
    return seeded


@dataclass(frozen=True)
class Stock:
    """Receives the stock that the orders need."""

    api: HttpApi
    seed: Seed

    async def receive(self, delivery: Delivery) -> None:
        """Receive the stock for a block of orders, unless the orders exist: then it was received before them."""
        if await self._exists(self.seed.order_id(delivery.first)):
            return
        key = f"seed-{self.seed.seed}-{delivery.product_id}-{delivery.number}"
        body = {"quantity": delivery.quantity}
        await self.api.send("POST", f"/inventory/{delivery.product_id}/receive", body, **{"Idempotency-Key": key})

    async def _exists(self, order_id: str) -> bool:
        try:
            await self.api.get(f"/orders/{order_id}")
        except Rejected as no:
            if no.status == 404:
                return False
            raise
        return True
