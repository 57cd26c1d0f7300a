"""The latency of one order, until its outcome and until it is visible, in an idle system and at half load."""

import asyncio
import time
import uuid
from collections.abc import Iterator

import uvloop

from bench.client import Answer, Connection
from bench.figure import Figure, Found, Profile, percentile
from bench.flow import PRODUCTS, stock_up
from bench.http import order, place_orders
from bench.stacks import Install, Spent
from bench.suite import Bench
from bench.visible import wait_visible
from streams.messages.envelope import now

PAUSE_SECONDS = 0.01  # between two orders in an idle system
# Between two checks whether an order is visible: checking all the time would take a core from the system.
LOOK_SECONDS, LOOK_SECONDS_IN_LOAD = 0.001, 0.003
LOOKED_FOR = 40  # sample every nth order of a load

Seconds = list[float]


def latency(bench: Bench) -> Iterator[Found]:
    """Yield the latencies of an idle system, then those at half of the rate that 32 connections reach."""
    warm = uvloop.run(place_orders(bench.main, bench.sizes.orders, 32)).load.rate
    outcome, visible = uvloop.run(one_at_a_time(bench.main, bench.sizes.singles))
    yield from _figures("idle", "one at a time", outcome, visible)
    known = bench.results.figure("http.32.rate")
    known_rate = warm if known is None else known.median
    bench.say("latencies at half load")
    rate, seconds, spent = known_rate / 2, bench.sizes.half_load, Spent(bench.main)
    outcome, visible = uvloop.run(at_rate(bench.main, rate, seconds, spent))
    yield from _figures("half", f"at half load: {rate:,.0f}/s, arriving evenly", outcome, visible)
    per_order = {name: 1000 * each / int(rate * seconds) for name, each in spent.used().cpu.items()}
    yield Profile("HTTP, half load", "order", per_order)


def _figures(key: str, how: str, outcome: Seconds, visible: Seconds) -> Iterator[Found]:
    for name, values in (("outcome", outcome), ("visible", visible)):
        for mark, share in (("p50", 0.5), ("p99", 0.99)):
            milliseconds = 1000 * percentile(values, share)
            yield Figure(f"latency.{key}.{name}.{mark}", f"POST → {name}, {mark}", [milliseconds], "ms", how)


async def one_at_a_time(install: Install, count: int) -> tuple[Seconds, Seconds]:
    """Place orders one after the other; return POST → outcome and POST → visible."""
    run, outcome, visible = await _stocked(install), Seconds(), Seconds()
    async with Connection(install.base) as connection:
        for number in range(-count // 10, count):  # the first ones are a warm-up
            begun = time.perf_counter()
            answer = await connection.ask("POST", "/orders", order(run, abs(number) if number >= 0 else number + 10**9))
            assert answer.status == 201, answer.body
            decided = time.perf_counter() - begun
            await _visible(connection, answer, LOOK_SECONDS)
            if number >= 0:
                outcome.append(decided)
                visible.append(time.perf_counter() - begun)
            await asyncio.sleep(PAUSE_SECONDS)
    install.placed += len(range(-count // 10, count))
    return outcome, visible


async def at_rate(install: Install, rate: float, seconds: float, spent: Spent) -> tuple[Seconds, Seconds]:
    """Place `rate` orders per second without waiting for answers; return POST → outcome and POST → visible.

    Latency counts from the time when an order was due, so that a blocked system does not get better figures.
    """
    run, outcome, visible = await _stocked(install), Seconds(), Seconds()
    idle: list[Connection] = []
    since, began, count = now(), time.perf_counter() + 0.1, int(rate * seconds)

    async def one(number: int, due: float) -> None:
        connection = idle.pop() if idle else await Connection(install.base).__aenter__()
        answer = await connection.ask("POST", "/orders", order(run, number))
        assert answer.status == 201, answer.body
        outcome.append(time.perf_counter() - due)
        if number % LOOKED_FOR == 0:
            await _visible(connection, answer, LOOK_SECONDS_IN_LOAD)
            visible.append(time.perf_counter() - due)
        idle.append(connection)

    async with asyncio.TaskGroup() as tasks:
        for number in range(count):
            due = began + number / rate
            if (early := due - time.perf_counter()) > 0:
                await asyncio.sleep(early)
            tasks.create_task(one(number, due))
    for connection in idle:
        await connection.__aexit__()
    install.placed += count
    await wait_visible(install, count, since, spent)
    return outcome, visible


async def _stocked(install: Install) -> str:
    run = uuid.uuid4().hex[:8]
    await stock_up(install, [f"{run}-{number}" for number in range(PRODUCTS)])
    return run


async def _visible(connection: Connection, placed: Answer, pause: float) -> None:
    path = placed.headers["location"].removeprefix("/api/v1")
    while (await connection.ask("GET", path)).status != 200:  # noqa: ASYNC110  # as a client would
        await asyncio.sleep(pause)
