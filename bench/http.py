"""Orders accepted per second over HTTP, at 32 and at 128 connections."""

import uuid
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, NamedTuple

import uvloop

from bench.client import Answer, Connection, Load, run_load
from bench.figure import Figure, Found, Profile
from bench.flow import PRODUCTS, stock_up
from bench.stacks import CLIENT, Install, Spent, Used
from bench.suite import Bench
from bench.visible import wait_visible
from streams.messages.envelope import now
from tests.system import ADDRESS

CONNECTIONS = (32, 128)


class Accepted(NamedTuple):
    """A load, and the resources used until everything was visible."""

    load: Load
    used: Used

    @property
    def lag(self) -> float:
        """Seconds from the last answer until everything was visible."""
        return self.used.seconds - self.load.seconds

    def profile(self, load: str) -> Profile:
        """Return the CPU ms per order."""
        orders = len(self.load.latencies)
        return Profile(load, "order", {name: 1000 * each / orders for name, each in self.used.cpu.items()})


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
    """Yield orders per second, and a profile of their CPU time."""
    found: dict[int, list[Accepted]] = defaultdict(list)
    uvloop.run(place_orders(bench.main, bench.sizes.orders // 2, 32))  # warm-up
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
    middle = sorted(rounds, key=lambda one: one.load.rate)[len(rounds) // 2]
    client = 100 * middle.used.cpu[CLIENT] / sum(middle.used.cpu.values())
    yield Figure("", "… the load client's share of the CPU time", [client], "%")
    yield middle.profile(f"HTTP, {connections} connections")


async def place_orders(install: Install, count: int, connections: int) -> Accepted:
    """Place orders as fast as the connections can, and wait until all are visible; none may be refused."""
    run = uuid.uuid4().hex[:8]
    await stock_up(install, [f"{run}-{number}" for number in range(PRODUCTS)])

    async def place(connection: Connection, number: int) -> Answer:
        return await connection.ask("POST", "/orders", order(run, number))

    since, spent = now(), Spent(install)
    load = await run_load(install.base, connections, iter(range(count)), place)
    assert not load.failures, load.failures[0].body
    used = await wait_visible(install, count, since, spent)
    install.placed += count
    return Accepted(load, used)
