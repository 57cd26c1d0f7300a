"""Many deadlines in the same second, and how long commands wait meanwhile."""

import asyncio
import time
import uuid
from collections.abc import Iterator
from typing import NamedTuple

import aiohttp
import orjson
import uvloop

from bench.backlog import Message, Sender, place_order
from bench.client import Connection
from bench.figure import Figure, Found, percentile
from bench.flow import PRODUCTS, stock_up
from bench.http import order
from bench.latency import one_at_a_time
from bench.stacks import Install
from bench.suite import Bench
from streams.messages.envelope import instant_of
from streams.topics import ORDER_COMMANDS

PLACED = 1_000  # orders per second that even a slow machine decides
LEAD_SECONDS = 5.0
LOOK_SECONDS = 0.1
FIRED = "fulfillment_timers_fired_total"


class Storm(NamedTuple):
    """How long it took until all timers were handled, and from POST to outcome of each order placed meanwhile."""

    seconds: float
    outcome: list[float]


def timers(bench: Bench) -> Iterator[Found]:
    """Yield the rate of timers that are due at the same time, and the latency of commands before and meanwhile."""
    count, how = bench.sizes.timers, f"{bench.sizes.timers:,} orders with the same `shipBy`"
    before, _ = uvloop.run(one_at_a_time(bench.main, bench.sizes.singles))
    bench.say(f"placing {count:,} orders that are due at the same time")
    storm = uvloop.run(_storm(bench.main, count))
    yield Figure("timers.rate", "timers handled", [count / storm.seconds], "/s", how)
    for what, values in (("without timers", before), ("while timers are due", storm.outcome)):
        for mark, share in (("p50", 0.5), ("p99", 0.99), ("longest", 1.0)):
            key = f"timers.outcome.{mark}" if values is storm.outcome else ""
            yield Figure(key, f"POST → outcome, {mark}", [1000 * percentile(values, share)], "ms", what)


async def _storm(install: Install, count: int) -> Storm:
    """Place orders that must ship by one moment, and orders without a time while that moment passes."""
    run = uuid.uuid4().hex[:8]
    products = [f"{run}-{number}" for number in range(PRODUCTS)]
    await stock_up(install, products)
    due = time.time() + LEAD_SECONDS + count / PLACED
    commands = [_urgent(f"{run}-t{number}", products[number % PRODUCTS], due) for number in range(count)]
    await asyncio.to_thread(Sender(install.settings).send, ORDER_COMMANDS.name, commands)
    await asyncio.to_thread(install.quiet)
    install.placed += count
    assert time.time() < due, "the orders were not decided before they were due: this machine is too slow"
    async with aiohttp.ClientSession() as session, Connection(install.base) as connection:
        before = await _fired(session, install)
        await asyncio.sleep(due - time.time())
        began, outcome, looked = time.perf_counter(), list[float](), 0.0
        while True:
            asked = time.perf_counter()
            answer = await connection.ask("POST", "/orders", order(run, len(outcome)))
            assert answer.status == 201, answer.body
            outcome.append(time.perf_counter() - asked)
            if (now := time.perf_counter()) - looked > LOOK_SECONDS:
                looked = now
                if await _fired(session, install) - before >= count:
                    install.placed += len(outcome)
                    return Storm(now - began, outcome)


def _urgent(order_id: str, product: str, due: float) -> Message:
    key, value = place_order(order_id, product)
    command = orjson.loads(value)
    command["data"]["shipBy"] = instant_of(due)
    return key, orjson.dumps(command)


async def _fired(session: aiohttp.ClientSession, install: Install) -> float:
    """Return how many timers the worker has handled."""
    async with session.get(f"http://127.0.0.1:{install.ports['orders-0']}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"{FIRED} "))
