"""How the rate of commands depends on existing orders in the tables and on open reservations of a product."""

from collections import defaultdict
from collections.abc import Iterator

import uvloop

from bench.arena import Arena, agent
from bench.backlog import command, orders, reservations
from bench.figure import Figure, Found
from bench.flow import fill, place
from bench.suite import Bench

HOT = "hot"
MILLION = 1_000_000
RATIO = "rate with them to rate without"


def growth(bench: Bench) -> Iterator[Found]:
    """Yield the ratios of rates: with existing orders to without, with open reservations to without."""
    yield from _decide(bench)
    yield from _hot_decide(bench)
    yield from _flow(bench)


def _decide(bench: Bench) -> Iterator[Found]:
    already, count, ratios = bench.sizes.already, bench.sizes.commands, defaultdict[int, list[float]](list)
    for _ in bench.rounds("order commands on a table that grows", 45):
        with Arena(bench.stacks.servers, agent("orders")) as arena:
            empty = arena.work_off(orders(count)).second
            there = count
            for wanted in (already, *([MILLION] if bench.sizes.million else [])):
                while there < wanted:
                    there += (step := min(wanted - there, 200_000))
                    arena.work_off(orders(step))
                ratios[wanted].append(arena.work_off(orders(count)).second / empty)
                there += count
            arena.check()
    for wanted, found in ratios.items():
        key = "growth.decide.million" if wanted == MILLION else "growth.decide"
        yield Figure(key, f"order commands, {wanted:,} existing orders", found, "×", RATIO)


def _hot_decide(bench: Bench) -> Iterator[Found]:
    count, most, ratios = bench.sizes.commands // 3, bench.sizes.reservations, list[float]()
    for _ in bench.rounds("reservations of one product", 40):
        with Arena(bench.stacks.servers, agent("inventory")) as arena:
            stocked = [command(HOT, "ReceiveStock", {"quantity": 100_000_000})]
            none = arena.work_off([*stocked, *reservations(HOT, count)]).second
            arena.work_off(reservations(HOT, max(most - count, 1)))
            ratios.append(arena.work_off(reservations(HOT, count)).second / none)
            arena.check()
    yield Figure("growth.hot", f"stock commands, a product with {most:,} open reservations", ratios, "×", RATIO)


def _flow(bench: Bench) -> Iterator[Found]:
    full, sizes = bench.main, bench.sizes
    uvloop.run(fill(full, sizes.already, HOT, bench.say))
    yield from _compared(bench, sizes.already, "growth.flow")
    if sizes.million:
        uvloop.run(fill(full, MILLION, HOT, bench.say))
        yield from _compared(bench, MILLION, "growth.flow.million")
    bench.stacks.end("few")


def _compared(bench: Bench, already: int, key: str) -> Iterator[Found]:
    count, full, few = bench.sizes.flow, bench.main, bench.stacks.install("few")
    spread, hot = list[float](), list[float]()
    for _ in bench.rounds(f"whole orders with {already:,} existing orders", 60):
        without = uvloop.run(place(few, count)).rate
        spread.append(uvloop.run(place(full, count)).rate / without)
        without = uvloop.run(place(few, count, f"{HOT}-{few.placed}")).rate
        hot.append(uvloop.run(place(full, count, HOT)).rate / without)
    yield Figure(key, f"whole orders, {already:,} existing orders", spread, "×", f"{RATIO} (or at most {few.placed:,})")
    what = f"whole orders, {already:,} existing orders, lines of a product with many open reservations"
    yield Figure("growth.flow.hot", what, hot, "×", RATIO)
