"""Queries per second: one order, a page of a hundred, the warehouse's work queue.

`python -m bench.queries --growth`: how long every GET route takes with few and with many existing orders.
"""

import argparse
import random
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import uvloop

from bench.figure import Figure, Found, Profile, percentile
from bench.flow import fill
from bench.reader import read
from bench.routes import SIZES, as_markdown, failed, measure
from bench.stacks import CLIENT, Install, Spent, Used
from bench.suite import Bench
from bench.visible import order_ids

CONNECTIONS = 16
SAMPLE = 5_000  # the number of orders that are queried


class Query(NamedTuple):
    """A query, and its share of the load: a page costs more than an order."""

    key: str
    what: str
    path: Callable[[list[str]], str]
    share: float


QUERIES = (
    Query("one", "one order", lambda ids: f"/orders/{random.choice(ids)}", 1.0),
    Query("page", "page of 100 orders", lambda ids: "/orders?limit=100", 0.4),
    Query("work", "page of 100 of the work queue", lambda ids: "/work-queue?limit=100", 0.4),
)


class Answered(NamedTuple):
    """How fast a load of queries was answered, and the resources it used."""

    rate: float
    latencies: list[float]
    used: Used


def queries(bench: Bench) -> Iterator[Found]:
    """Yield the rate of each query, and a profile of CPU time."""
    install, found = bench.main, defaultdict[str, list[Answered]](list)
    uvloop.run(fill(install, min(SAMPLE, bench.sizes.already), say=bench.say))
    ids = uvloop.run(order_ids(install, SAMPLE))
    for _ in bench.rounds("queries", 30):
        for query in QUERIES:
            paths = [query.path(ids) for _ in range(int(bench.sizes.queries * query.share))]
            found[query.key].append(_ask(install, paths))
    for query in QUERIES:
        yield from _figures(query, found[query.key], f"{CONNECTIONS} connections, {install.placed:,} existing orders")


def _ask(install: Install, paths: list[str]) -> Answered:
    spent = Spent(install)
    seconds, latencies = uvloop.run(read(install.base, paths, CONNECTIONS))
    assert len(latencies) == len(paths)
    return Answered(len(paths) / seconds, latencies, spent.used())


def _figures(query: Query, rounds: list[Answered], how: str) -> Iterator[Found]:
    yield Figure(f"queries.{query.key}.rate", query.what, [one.rate for one in rounds], "/s", how)
    for mark, share in (("p50", 0.5), ("p99", 0.99)):
        values = [1000 * percentile(one.latencies, share) for one in rounds]
        yield Figure(f"queries.{query.key}.{mark}", f"{query.what}, {mark}", values, "ms")
    middle = sorted(rounds, key=lambda one: one.rate)[len(rounds) // 2]
    client = 100 * middle.used.cpu[CLIENT] / sum(middle.used.cpu.values())
    yield Figure("", "… the load client's share of the CPU time", [client], "%")
    milliseconds = {name: 1000 * each / len(middle.latencies) for name, each in middle.used.cpu.items()}
    yield Profile(query.what, "query", milliseconds)


def main() -> int:
    """Measure the growth of all routes; return 1 if one misses its goal."""
    parser = argparse.ArgumentParser(prog="bench.queries", description=__doc__)
    parser.add_argument("--growth", action="store_true", required=True, help="measure every GET route")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="numbers of orders (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=20, help="per route, number of orders and round")
    parser.add_argument("--write", type=Path, help="also write the page to this file")
    asked = parser.parse_args()
    taken = measure(asked.sizes, asked.rounds, asked.requests, lambda what: print(what, file=sys.stderr, flush=True))
    page = as_markdown(taken)
    print(page)
    if asked.write:
        asked.write.write_text(page)
    missed = failed(taken)
    print(f"missed: {', '.join(missed)}" if missed else "every route reaches its goal", file=sys.stderr)
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
