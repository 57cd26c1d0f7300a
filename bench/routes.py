"""How long each GET route takes with few and with many existing orders.

Each number of orders has a database of its own, and all are measured in turns, so that the load of other processes
affects them alike. One request is sent at a time.
"""

import asyncio
import random
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from pathlib import Path
from statistics import median
from typing import NamedTuple
from urllib.parse import urlencode

import uvloop

from bench.filled import CUSTOMERS, PRODUCTS, customer_id, fill, order_id, placed_at, product_id
from bench.machine import machine
from bench.reader import read
from bench.stacks import Install, Stacks
from projections.mongo.queries import SORTS
from web import PREFIX
from web.documents.openapi import document
from web.queries.handling import QueryRoute
from web.queries.routes import QUERY_ROUTES

SIZES = (10_000, 100_000, 1_000_000)
MOST_GROWTH = 0.10  # a share, for any route
MOST_MS = 20.0  # for a list
SLOW_MS = 0.3  # a difference below this is the machine's
AGED_SECONDS = 2.1  # answers that are shared for this long are asked for after it
UNMEASURED = {  # why a route is not measured
    "/events": "a stream that never ends",
    "/messages/{topic}/{messageId}": "reads a topic from a given time",
    "/letters/{letterId}": "reads a letter, and the benchmark makes none",
    "/letters/{aggregate}/{key}": "reads letters, and the benchmark makes none",
    "/exports/orders": "a stream of all orders",
    "/webhooks": "reads subscriptions, and the benchmark makes none",
    "/webhooks/{webhookId}": "reads a subscription, and the benchmark makes none",
    "/webhooks/{webhookId}/deliveries": "reads a subscription's deliveries, and the benchmark makes none",
}


class Route(NamedTuple):
    """A request: its name in the table, its path for a database with a number of orders, and whether it is a list."""

    name: str
    path: Callable[[int], str]
    lists: bool = False
    aged: bool = False  # the answer is shared by all requests of a second or two


class Taken(NamedTuple):
    """The median milliseconds of a route by number of orders."""

    route: Route
    by_size: dict[int, float]

    @property
    def growth(self) -> float:
        """How much longer it takes with the most orders than with the fewest, as a share."""
        few, many = self.by_size[min(self.by_size)], self.by_size[max(self.by_size)]
        return many / few - 1

    @property
    def grows(self) -> bool:
        """Whether it misses the goal."""
        few, many = self.by_size[min(self.by_size)], self.by_size[max(self.by_size)]
        return self.growth > MOST_GROWTH and many - few > SLOW_MS


def measure(sizes: Sequence[int], rounds: int, requests: int, say: Callable[[str], None]) -> list[Taken]:
    """Fill a database for each number of orders, and measure all routes in turns."""
    with Stacks() as stacks, tempfile.TemporaryDirectory(prefix="bench-") as folder:
        installs = {size: Install(Path(folder) / f"{size}", f"o{size}", stacks.servers, FULFILLMENT_ROLES="api")
                    for size in sizes}  # fmt: skip
        try:
            for size, install in installs.items():
                began = time.monotonic()
                fill(install.settings, size)
                say(f"{size:,} orders written in {time.monotonic() - began:.0f} s")
                install.up()
            return uvloop.run(_measured(installs, rounds, requests, say))
        finally:
            for install in installs.values():
                install.down()


async def _measured(
    installs: dict[int, Install], rounds: int, requests: int, say: Callable[[str], None]
) -> list[Taken]:
    routes, found = list(all_routes()), defaultdict[tuple[str, int], list[float]](list)
    for number in range(rounds + 1):
        say(f"round {number} of {rounds}")
        for route in routes:
            for size, install in installs.items():
                taken = await _ask(install, route, size, requests)
                if number:  # the first round is a warm-up
                    found[route.name, size] += taken
    return [Taken(route, {size: 1000 * median(found[route.name, size]) for size in installs}) for route in routes]


async def _ask(install: Install, route: Route, size: int, requests: int) -> list[float]:
    if not route.aged:
        return (await read(install.base, [route.path(size) for _ in range(requests)], 1))[1]
    await asyncio.sleep(AGED_SECONDS)
    return (await read(install.base, [route.path(size)], 1))[1]


def all_routes() -> Iterator[Route]:
    """Yield every GET route of the API, and every list with each pair of filters in each order."""
    for route in QUERY_ROUTES:
        yield from _lists(route) if route.many else _single(route)
    for name in ("/summary", "/pipeline"):
        yield Route(name, lambda _, name=name: name, aged=True)  # type: ignore[misc]
    for name in ("/rates", "/projections", "/letters", "/operator-actions"):
        yield Route(name, lambda _, name=name: name)  # type: ignore[misc]
    yield Route("/commands/{commandId}", lambda size: f"/commands/command-0-{random.randrange(max(size // 100, 1))}")


def unmeasured() -> set[str]:
    """Return the GET routes of the API that are not measured."""
    paths = {path.removeprefix(PREFIX) for path, all_of in document()["paths"].items()
             if path.startswith(PREFIX) and "get" in all_of}  # fmt: skip
    return paths - {route.name.partition("?")[0] for route in all_routes()}


def _filled(path: str) -> Callable[[int], str]:
    """Return the path of a random aggregate; the first product is the one that many orders wait for."""
    product = 0 if "backorders" in path or "reservations" in path or "ledger" in path else None

    def of(size: int) -> str:
        names = {
            "{orderId}": order_id(0 if "refusals" in path else random.randrange(size)),
            "{customerId}": customer_id(random.randrange(CUSTOMERS)),
            "{productId}": product_id(random.randrange(PRODUCTS) if product is None else product),
        }
        filled = path
        for name, value in names.items():
            filled = filled.replace(name, value)
        return filled

    return of


def _single(route: QueryRoute) -> Iterator[Route]:
    path = _filled(route.path)
    yield Route(route.path, path)
    if route.past:
        yield Route(f"{route.path}?version", lambda size: f"{path(size)}?version=1")
        yield Route(f"{route.path}?asOf", lambda size: f"{path(size)}?{urlencode({'asOf': placed_at(size)})}")


def _lists(route: QueryRoute) -> Iterator[Route]:
    names = [each["name"] for each in route.filters] + (["from"] if route.period else [])
    sorts = (None,) if route.sort or route.model not in SORTS else SORTS[route.model]
    path = _filled(route.path)
    for count in range(min(len(names), 2) + 1):
        for chosen in combinations(names, count):
            for sort in sorts:
                shown = "&".join([*chosen, *([f"sort={sort}"] if sort else [])])
                name = f"{route.path}?{shown}" if shown else route.path

                def ask(size: int, chosen: tuple[str, ...] = chosen, sort: str | None = sort) -> str:
                    query = [pair for each in chosen for pair in _values(route, each, size)]
                    query += [("sort", sort)] if sort else []
                    return f"{path(size)}?{urlencode(query)}" if query else path(size)

                yield Route(name, ask, lists=True)


def _values(route: QueryRoute, name: str, size: int) -> list[tuple[str, str]]:
    """Return parameters that match some orders; a period contains the middle tenth."""
    match name:
        case "status":
            return [(name, "AVAILABLE" if route.model == "inventory" else "REGISTERED")]
        case "allocationStatus":
            return [(name, "ALLOCATED")]
        case "customerId":
            return [(name, customer_id(random.randrange(CUSTOMERS)))]
    return [("from", placed_at(size * 45 // 100)), ("to", placed_at(size * 55 // 100))]


def as_markdown(taken: Sequence[Taken]) -> str:
    """Return the page of the results."""
    sizes = list(taken[0].by_size)
    head = f"| | {' | '.join(f'{size:,} orders' for size in sizes)} | growth |\n|---|{'---:|' * (len(sizes) + 1)}\n"
    lines = [
        f"| `GET {each.route.name}` | {' | '.join(f'{each.by_size[size]:.2f} ms' for size in sizes)} "
        f"| {each.growth:+.0%}{' ✗' if each.grows else ''} |\n"
        for each in taken
    ]
    left = "".join(f"- `{name}`: {why}.\n" for name, why in UNMEASURED.items())
    return f"""# Queries

How long every GET route takes, by the number of existing orders, to check that none grows with it
([ADR 59](../adr/0059-keep-counts-and-have-an-index-for-every-question.md)). Written by
`python -m bench.queries --growth --write docs/benchmarks/queries.md` on {machine()}.

The figures are medians of single requests, one at a time, with {CUSTOMERS} customers and {PRODUCTS} products, whatever
the number of orders. A list has pages of 50. Every list is measured with each filter, each pair of filters and each
order; `from` stands for a period (`from` and `to`) with the middle tenth of all orders. `/summary` and `/pipeline` are
asked for after the answer that requests share has expired. The goals are a growth of {MOST_GROWTH:.0%} ({SLOW_MS} ms
do not count, because the machine is shared), and {MOST_MS:.0f} ms for a list.

{head}{"".join(lines)}
Not measured:

{left}"""


def failed(taken: Sequence[Taken]) -> list[str]:
    """Return the names of routes that miss a goal."""
    return [
        each.route.name for each in taken if each.grows or (each.route.lists and max(each.by_size.values()) > MOST_MS)
    ]
