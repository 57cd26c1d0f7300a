"""Whole orders per second: from PlaceOrder on Kafka to allocated, and visible in every read model."""

import asyncio
import uuid
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import orjson
import uvloop

from bench.backlog import Sender, place_order
from bench.client import Connection
from bench.figure import Figure, Found, Profile
from bench.stacks import Install, Spent, Used
from bench.suite import Bench
from bench.visible import check_outcomes, check_stock, wait_visible
from streams.topics import ORDER_COMMANDS

PRODUCTS = 20
PLENTY = 100_000_000
CHECKED = 50  # one in this many outcomes is checked


class Flowed(NamedTuple):
    """The number of orders, the start (`time.perf_counter`), and the resources used."""

    orders: int
    began: float
    used: Used

    @property
    def rate(self) -> float:
        """Orders per second."""
        return self.orders / self.used.seconds

    def profile(self, load: str) -> Profile:
        """Return the CPU ms per order."""
        return Profile(load, "order", {name: 1000 * each / self.orders for name, each in self.used.cpu.items()})


def flow(bench: Bench) -> Iterator[Found]:
    """Yield the rate of whole orders, and a profile of their CPU time."""
    install, flowed = bench.main, list[Flowed]()
    uvloop.run(place(install, bench.sizes.flow // 4))  # warm-up
    for _ in bench.rounds("whole orders", 30):
        flowed.append(uvloop.run(place(install, bench.sizes.flow)))
    how = f"{bench.sizes.flow:,} PlaceOrder of 2 lines on Kafka → allocated, in every read model"
    yield Figure("flow.rate", "whole orders", [one.rate for one in flowed], "/s", how)
    yield sorted(flowed, key=lambda one: one.rate)[len(flowed) // 2].profile("whole orders over Kafka")


async def place(install: Install, count: int, hot: str | None = None) -> Flowed:
    """Place orders of two lines in bulk and wait until all of them are allocated and visible; none may be rejected.

    One order is sent before the clock starts, so that the producer is connected, like that of an upstream service.
    `hot`: the product of every order's first line; by default both lines are spread over several products.
    """
    run = uuid.uuid4().hex[:8]
    products = [f"{run}-{number}" for number in range(PRODUCTS)]
    await stock_up(install, [*products, *([hot] if hot else [])])
    commands = [
        place_order(f"{run}-{number}", hot or products[number % PRODUCTS], products[(number + 7) % PRODUCTS])
        for number in range(count)
    ]
    sender, since = Sender(install.settings), str(orjson.loads(commands[0][1])["time"])
    await asyncio.to_thread(sender.send, ORDER_COMMANDS.name, commands[:1])
    spent = Spent(install)
    await asyncio.to_thread(sender.send, ORDER_COMMANDS.name, commands[1:])
    used = await wait_visible(install, count, since, spent)
    install.placed += count
    await check_stock(install, products, run, count if hot else 2 * count)
    await check_outcomes(install, [orjson.loads(value)["id"] for _, value in commands[::CHECKED]])
    return Flowed(count, spent.began, used)


async def stock_up(install: Install, products: Sequence[str]) -> None:
    """Receive plenty of every product."""
    async with Connection(install.base) as connection:
        for product in products:
            answer = await connection.ask("PUT", f"/inventory/{product}", {"quantity": PLENTY})
            assert answer.status == 200, answer.body


async def fill(install: Install, count: int, hot: str | None = None, say: Any = None) -> None:
    """Place orders until `install` has `count`."""
    while (missing := count - install.placed) > 0:
        if say:
            say(f"placing orders: {install.placed:,} of {count:,} exist")
        await place(install, min(missing, 25_000), hot)
