"""Whole orders a second: from PlaceOrder on Kafka to allocated, and visible in every read model."""

import asyncio
import time
import uuid
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import aiohttp
import orjson
import uvloop

from bench.backlog import Message, Sender, place_order
from bench.client import Connection
from bench.figure import Figure, Found, Profile
from bench.stacks import Install, Spent
from bench.suite import Bench
from projections.commands import document_id
from streams.topics import ORDER_COMMANDS
from tests.system import eventually

PRODUCTS = 20
PLENTY = 100_000_000
PATIENCE_SECONDS = 600
POLL_SECONDS = 0.1


class Flowed(NamedTuple):
    """How many orders flowed in which time, since when (`time.perf_counter`), and CPU seconds by process."""

    orders: int
    seconds: float
    spent: dict[str, float]
    began: float

    @property
    def rate(self) -> float:
        """Orders a second."""
        return self.orders / self.seconds

    def profile(self, load: str) -> Profile:
        """Return the CPU ms of an order."""
        return Profile(load, "order", {name: 1000 * each / self.orders for name, each in self.spent.items()})


def flow(bench: Bench) -> Iterator[Found]:
    """Yield whole orders a second, and where their CPU time goes."""
    install, flowed = bench.main, list[Flowed]()
    uvloop.run(place(install, bench.sizes.flow // 4))  # warm
    for _ in bench.rounds("whole orders", 30):
        flowed.append(uvloop.run(place(install, bench.sizes.flow)))
    how = f"{bench.sizes.flow:,} PlaceOrder of 2 lines on Kafka → allocated, in every read model"
    yield Figure("flow.rate", "whole orders", [one.rate for one in flowed], "/s", how)
    yield sorted(flowed, key=lambda one: one.rate)[len(flowed) // 2].profile("whole orders over Kafka")


async def place(install: Install, count: int, hot: str | None = None) -> Flowed:
    """Place orders of two lines in bulk and wait until all of them are allocated and visible; none may be rejected.

    One is sent before the clock starts: it connects the producer, as that of an upstream service is.
    `hot`: the product of every order's first line; else both lines are spread over some products of their own.
    """
    run = uuid.uuid4().hex[:8]
    products = [f"{run}-{number}" for number in range(PRODUCTS)]
    await stock_up(install, [*products, *([hot] if hot else [])])
    commands = [
        place_order(f"{run}-{number}", hot or products[number % PRODUCTS], products[(number + 7) % PRODUCTS])
        for number in range(count)
    ]
    watch, sender = Watch(install, commands), Sender(install.settings)
    await asyncio.to_thread(sender.send, ORDER_COMMANDS.name, commands[:1])
    spent, began = Spent(install), time.perf_counter()
    await asyncio.to_thread(sender.send, ORDER_COMMANDS.name, commands[1:])
    await watch.all_visible()
    seconds = time.perf_counter() - began
    install.placed += count
    flowed = Flowed(count, seconds, spent.each(), began)
    await watch.check(run)
    return flowed


async def stock_up(install: Install, products: Sequence[str]) -> None:
    """Make plenty of every product available."""
    async with Connection(install.base) as connection:
        for product in products:
            answer = await connection.ask("PUT", f"/inventory/{product}", {"quantity": PLENTY})
            assert answer.status == 200, answer.body


class Watch:
    """Looks at the read models of orders that are on their way, as cheaply as that can be done."""

    def __init__(self, install: Install, commands: Sequence[Message]) -> None:
        self._install, self._count = install, len(commands)
        envelopes = [(key, orjson.loads(value)) for key, value in commands]
        self._ids = [document_id(each["id"], each["source"], "order", key) for key, each in envelopes]
        since = orjson.loads(commands[0][1])["time"]  # before the broker's clock dates any of them
        self._ours = {"allocationStatus": "ALLOCATED", "createdAt": {"$gte": since}}

    async def all_visible(self) -> None:
        """Return when every order is allocated and the projector has nothing left to do."""
        await wait_visible(self._install, self._count, self._ours)

    async def check(self, run: str) -> None:
        """Make sure that every read model has what it must have, and that nothing was rejected."""
        ours = {"$gte": f"{run}-", "$lt": f"{run}."}
        wanted: dict[str, tuple[dict[str, Any], int]] = {
            "commands_v1": ({"_id": {"$in": self._ids}, "status": "accepted"}, self._count),
            "order_events_v1": ({"orderId": ours, "type": "OrderPlaced"}, self._count),
            "reservations_v1": ({"orderId": ours, "open": True}, 2 * self._count),
            "stock_ledger_v1": ({"orderId": ours, "type": "StockReserved"}, 2 * self._count),
        }
        for collection, (which, count) in wanted.items():
            found = await self._install.count(collection, which)
            assert found == count, f"{collection} has {found:,} of {count:,}"


async def wait_visible(install: Install, count: int, ours: dict[str, Any]) -> None:
    """Return when so many of `ours` are in `orders` and the projector has handled all there is."""
    found = await eventually(
        lambda: install.count("orders_v1", ours), lambda visible: visible >= count, PATIENCE_SECONDS, POLL_SECONDS
    )
    assert found == count, f"{found} orders visible, {count} accepted"
    ports = [port for name, port in install.ports.items() if name.startswith("projector")]
    async with aiohttp.ClientSession() as session:
        await eventually(lambda: _lag(session, ports), lambda lag: lag == 0, PATIENCE_SECONDS, POLL_SECONDS)


async def _lag(session: aiohttp.ClientSession, ports: Sequence[int]) -> int:
    lags = 0
    for port in ports:
        async with session.get(f"http://127.0.0.1:{port}/lag") as answer:
            lags += sum((await answer.json())["lag"].values())
    return lags


async def fill(install: Install, count: int, hot: str | None = None, say: Any = None) -> None:
    """Place orders until `install` has `count`."""
    while (missing := count - install.placed) > 0:
        if say:
            say(f"placing orders: {install.placed:,} of {count:,} are there")
        await place(install, min(missing, 25_000), hot)
