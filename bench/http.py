"""Over HTTP: orders accepted a second, when they are visible, and how long one takes."""

import asyncio
import time
from typing import Any

from bench.client import Answer, Connection, Load, run_load
from tests.system import ADDRESS, System, eventually

PRODUCTS = 20


def order(run: str, number: int) -> dict[str, Any]:
    """Return the body of an order with two lines."""
    lines = [(number % PRODUCTS, 1), ((number + 7) % PRODUCTS, 2)]
    items = [{"productId": f"{run}-{product}", "quantity": units, "price": "19.99"} for product, units in lines]
    return {
        "orderId": f"{run}-{number}",
        "customerId": f"{run}-customer-{number % 1000}",
        "items": items,
        "shippingAddress": ADDRESS,
        "billingAddress": ADDRESS,
        "totalCost": "59.97",
    }


async def stock_up(system: System, run: str) -> None:
    """Make plenty of every product available."""
    async with Connection(system.base) as connection:
        for product in range(PRODUCTS):
            answer = await connection.ask("PUT", f"/inventory/{run}-{product}", {"quantity": 100_000_000})
            assert answer.status == 200, answer.body


async def place_orders(system: System, run: str, count: int, connections: int) -> tuple[Load, float]:
    """Place orders as fast as so many connections can; return the load, and the seconds until the last was visible."""
    await stock_up(system, run)

    async def place(connection: Connection, number: int) -> Answer:
        return await connection.ask("POST", "/orders", order(run, number))

    load = await run_load(system.base, connections, iter(range(count)), place)
    began = time.perf_counter()
    await _all_visible(system, run, count - len(load.failures))
    return load, time.perf_counter() - began


async def _all_visible(system: System, run: str, count: int) -> None:
    from motor.motor_asyncio import AsyncIOMotorClient

    client: Any = AsyncIOMotorClient(system.settings.mongo)
    orders = client[system.settings.database]["orders_v1"]
    ours = {"_id": {"$gte": f"{run}-", "$lt": f"{run}."}, "allocationStatus": "ALLOCATED"}
    found = await eventually(lambda: orders.count_documents(ours), lambda visible: visible >= count, 120, 0.25)
    assert found == count, f"{found} orders visible, {count} accepted"
    client.close()


async def one_at_a_time(system: System, run: str, count: int, pause: float = 0.01) -> tuple[Load, Load]:
    """Place orders one after the other; return the loads of POST → outcome and of POST → visible."""
    await stock_up(system, run)
    outcome, visible = Load(), Load()
    async with Connection(system.base) as connection:
        for number in range(count):
            begun = time.perf_counter()
            answer = await connection.ask("POST", "/orders", order(run, number))
            assert answer.status == 201, answer.body
            outcome.latencies.append(time.perf_counter() - begun)
            while (await connection.ask("GET", f"/orders/{run}-{number}")).status != 200:
                pass
            visible.latencies.append(time.perf_counter() - begun)
            await asyncio.sleep(pause)
    return outcome, visible
