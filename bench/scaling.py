"""Two workers per role instead of one, on the same machine."""

from collections.abc import Iterator

import uvloop

from bench.arena import Arena, agent
from bench.backlog import orders
from bench.figure import Figure, Found
from bench.flow import place
from bench.suite import Bench

TWICE = ",".join(f"{role}=2" for role in ("orders", "inventory", "projector", "api"))
RATIO = "two workers to one"


def scaling(bench: Bench) -> Iterator[Found]:
    """Yield the ratios of rates with two workers to those with one."""
    servers, sizes = bench.stacks.servers, bench.sizes
    decided, flowed = list[float](), list[float]()
    for _ in bench.rounds("order commands with one worker and with two", 40):
        rates = []
        for workers in (1, 2):
            with Arena(servers, agent("orders", workers)) as arena:
                rates.append(arena.work_off(orders(2 * sizes.commands)).second)
                arena.check()
        decided.append(rates[1] / rates[0])
    yield Figure("scaling.decide", "order commands decided", decided, "×", RATIO)
    one, two = bench.stacks.install("few"), bench.stacks.install("two", TWICE)
    for install in (one, two):
        uvloop.run(place(install, sizes.flow // 4))  # warm-up
    for _ in bench.rounds("whole orders with one worker per role and with two", 30):
        alone = uvloop.run(place(one, sizes.flow)).rate
        flowed.append(uvloop.run(place(two, sizes.flow)).rate / alone)
    bench.stacks.end("two")
    yield Figure("scaling.flow", "whole orders, two workers of every role", flowed, "×", RATIO)
