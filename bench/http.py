"""Orders accepted a second over HTTP, at 32 and at 128 connections."""

import time
import uuid
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, NamedTuple

import uvloop

from bench.client import Answer, Connection, Load, run_load
from bench.figure import Figure, Found, Profile
from bench.flow import PRODUCTS, stock_up, wait_visible
from bench.stacks import CLIENT, Install, Spent
from bench.suite import Bench
from streams.messages.envelope import now
from tests.system import ADDRESS

CONNECTIONS = (32, 128)


class Accepted(NamedTuple):
    """A load, how long after its last answer everything was visible, and CPU seconds by process."""

    load: Load
    lag: float
    spent: dict[str, float]


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


def http(bench: Bench) -> Iterator[Found]:
    """Yield orders a second, and where their CPU time goes."""
    found: dict[int, list[Accepted]] = defaultdict(list)
    uvloop.run(place_orders(bench.main, bench.sizes.orders // 2, 32))  # warm
    for _ in bench.rounds("orders over HTTP", 45):
        for connections in CONNECTIONS:
            found[connections].append(uvloop.run(place_orders(bench.main, bench.sizes.orders, connections)))
    for connections in CONNECTIONS:
        yield from _figures(connections, found[connections], bench.sizes.orders)


def _figures(connections: int, rounds: list[Accepted], orders: int) -> Iterator[Found]:
    how, key = f"{connections} connections, {orders:,} orders of 2 lines", f"http.{connections}"
    what = "orders accepted over HTTP"
    yield Figure(f"{key}.rate", what, [one.load.rate for one in rounds], "/s", how)
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        values = [one.load.percentile(share) for one in rounds]
        yield Figure(f"{key}.{name}", f"{what}, {name}", values, "ms", f"{connections} connections")
    yield Figure("", "… all visible and allocated, after the last answer", [one.lag for one in rounds], "s")
    spent = sorted(rounds, key=lambda one: one.load.rate)[len(rounds) // 2].spent
    yield Figure("", "… the load client's share of the CPU time", [100 * spent[CLIENT] / sum(spent.values())], "%")
    milliseconds = {name: 1000 * each / orders for name, each in spent.items()}
    yield Profile(f"HTTP, {connections} connections", "order", milliseconds)


async def place_orders(install: Install, count: int, connections: int) -> Accepted:
    """Place orders as fast as so many connections can, and wait until all are visible; none may be refused."""
    run = uuid.uuid4().hex[:8]
    await stock_up(install, [f"{run}-{number}" for number in range(PRODUCTS)])

    async def place(connection: Connection, number: int) -> Answer:
        return await connection.ask("POST", "/orders", order(run, number))

    spent, since = Spent(install), now()
    load = await run_load(install.base, connections, iter(range(count)), place)
    assert not load.failures, load.failures[0].body
    began = time.perf_counter()
    await wait_visible(install, count, {"allocationStatus": "ALLOCATED", "createdAt": {"$gte": since}})
    install.placed += count
    return Accepted(load, time.perf_counter() - began, spent.each())
