"""Seed stock first, then orders, window by window, through the HTTP API of this installation."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

from ops.http import HttpApi, Rejected, each, http_api
from ops.progress import ShowProgress, silent
from ops.seeding.data import Delivery, Seed
from ops.seeding.orders import WINDOW, Seeding
from ops.seeding.result import Seeded
from streams.runtime.settings import Settings

WINDOWS_AT_ONCE = 4
CONNECTIONS = 32


async def run(
    settings: Settings, orders: int, seed: int, progress: ShowProgress = silent, locations: int = 1
) -> Seeded:
    """Seed, wait for the read models, and return their contents."""
    seeded = Seeded(Seed(seed, orders, locations))
    async with http_api(settings, CONNECTIONS) as api:
        began = time.monotonic()
        await each(seeded.seed.deliveries(), Stock(api, seeded.seed).receive, CONNECTIONS)
        await each(seeded.seed.products, Stock(api, seeded.seed).transfer, CONNECTIONS)
        with progress("orders", orders) as advance:
            seeding, half = Seeding(api, seeded, advance), orders // 2 if seeded.seed.places else 0
            await each(windows(0, half), seeding.window, WINDOWS_AT_ONCE)
            await each(seeded.seed.products, Stock(api, seeded.seed).close, CONNECTIONS)
            await each(windows(half, orders), seeding.window, WINDOWS_AT_ONCE)
        seeded.seconds = time.monotonic() - began
        found = [await api.get(f"/inventory/{product}") for product in seeded.seed.products]
        seeded.products = [answer.data for answer in found]
    return seeded


def windows(first: int, end: int) -> list[range]:
    """Return the numbers of some orders, window by window."""
    return [range(number, min(number + WINDOW, end)) for number in range(first, end, WINDOW)]


@dataclass(frozen=True)
class Stock:
    """Receives the stock that the orders need, and moves it between locations."""

    api: HttpApi
    seed: Seed

    async def receive(self, delivery: Delivery) -> None:
        """Receive the stock for a block of orders, unless the orders exist: then it was received before them."""
        if await self._exists(self.seed.order_id(delivery.first)):
            return
        key = f"seed-{self.seed.seed}-{delivery.product_id}-{delivery.number}"
        body: dict[str, object] = {"quantity": delivery.quantity}
        if delivery.location is not None:
            key, body = f"{key}-{delivery.location}", {**body, "location": delivery.location}
        await self.api.send("POST", f"/inventory/{delivery.product_id}/receive", body, **{"Idempotency-Key": key})

    async def transfer(self, product_id: str) -> None:
        """Transfer a unit of a product from its last location to its first, before there are orders."""
        places = self.seed.places
        if places and not await self._exists(self.seed.order_id(0)):
            transfer = {"transferId": "seed", "source": places[-1], "target": places[0], "quantity": 1}
            await self._once(product_id, "/transfers", transfer)
            await self._once(product_id, "/transfers/seed/receive", {})

    async def close(self, product_id: str) -> None:
        """Close the last location of a product, before the second half of the orders."""
        places = self.seed.places
        if places and not await self._exists(self.seed.order_id(self.seed.orders // 2)):
            await self._once(product_id, f"/locations/{places[-1]}/close", {"reason": "closed at noon"})

    async def _once(self, product_id: str, path: str, body: Mapping[str, object]) -> None:
        key = f"seed-{self.seed.seed}-{product_id}{path}"
        await self.api.send("POST", f"/inventory/{product_id}{path}", body, **{"Idempotency-Key": key})

    async def _exists(self, order_id: str) -> bool:
        try:
            await self.api.get(f"/orders/{order_id}")
        except Rejected as no:
            if no.status == 404:
                return False
            raise
        return True
