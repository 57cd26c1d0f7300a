"""What the roles' own code costs, without Kafka, MongoDB or HTTP: CPU per order, all in one process.

    python -m bench.cpu [--orders N] [--rounds N] [--profile STEP]

Orders of two lines go all the way, from PlaceOrder to allocated and rendered; what one step writes is what the next
one reads. On a shared machine the least of many short rounds is what the code costs; all else is other people's.
"""

import argparse
import cProfile
import gc
import pstats
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import bson

from agents.deciding import Deciding
from agents.inventory import PRODUCT
from agents.orders import ORDER
from bench.memory import Log, owned, placed, stocked
from projections.batch import Folding, Part
from projections.pipeline import _rendered
from projections.projection import Projection
from projections.table import PROJECTIONS
from streams import topics
from streams.kafka.transport import Fetch
from streams.runtime import garbage
from streams.runtime.app import create_app
from streams.runtime.settings import Settings
from tables.orders import orders_table
from tables.stock import stock_table

Step = tuple[str, Callable[[Fetch], Any], list[str]]

ORDERS, ROUNDS, FETCH = 500, 20, 400


class Spent:
    """CPU seconds by step; the step `profiled` is profiled too."""

    def __init__(self, profiled: str | None = None) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.profiled, self.profile = profiled, cProfile.Profile(time.process_time)

    @contextmanager
    def on(self, step: str) -> Iterator[None]:
        """Count what the block takes as the step's."""
        if step == self.profiled:
            self.profile.enable()
        began = time.process_time()
        yield
        self.seconds[step] += time.process_time() - began
        self.profile.disable()


def main() -> None:
    """Print CPU per order by step."""
    parser = argparse.ArgumentParser(prog="bench.cpu", description=__doc__)
    parser.add_argument("--orders", type=int, default=ORDERS, help="in a round")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="the least of so many is shown")
    parser.add_argument("--fetch", type=int, default=FETCH, help="records in a fetch")
    parser.add_argument("--profile", metavar="STEP", help="print where this step's time goes")
    asked = parser.parse_args()
    rounds = measured(asked.orders, asked.rounds, asked.fetch, asked.profile)
    least = least_of(rounds, asked.orders)
    for step, microseconds in [*least.items(), ("all", sum(least.values()))]:
        print(f"{step:28} {microseconds:8.1f} µs an order")
    if asked.profile:
        pstats.Stats(rounds[-1].profile).sort_stats("tottime").print_stats(40)


def costs(orders: int, rounds: int) -> dict[str, float]:
    """Return the microseconds an order that each step takes at least."""
    return least_of(measured(orders, rounds), orders)


def least_of(rounds: Sequence[Spent], orders: int) -> dict[str, float]:
    """Return the microseconds an order that each step took at least."""
    return {step: min(1e6 * spent.seconds[step] / orders for spent in rounds) for step in rounds[0].seconds}


def measured(orders: int, rounds: int, fetch: int = FETCH, profile: str | None = None) -> list[Spent]:
    """Take so many orders all the way in each round; the collector is set as in a worker, for good."""
    garbage.configure()
    found = [Spent(profile) for _ in range(rounds)]
    for spent in found:
        measure(Settings(), orders, fetch, spent)
        gc.collect()
    return found


def measure(settings: Settings, orders: int, fetch: int, spent: Spent) -> None:
    """Take orders all the way: decide until nothing is left to do, then project it all."""
    log = Log(settings)
    to_orders, to_stock = (settings.named(each.name) for each in (topics.ORDER_COMMANDS, topics.INVENTORY_COMMANDS))
    log.write(placed(to_orders, orders))
    log.write(stocked(to_stock))
    for step, handle, inputs in steps(settings, to_orders, to_stock):
        for each in log.fetches(inputs, fetch):
            with spent.on(step):
                decided = handle(each)
                decided.merge()
                garbage.collect()
            log.write(decided.writes)
    log.begin_again()
    for projection in PROJECTIONS:
        known: dict[Any, Any] = {}
        for each in log.fetches([settings.named(projection.topic.name)], fetch):
            project(projection, each, known, spent)


def steps(settings: Settings, to_orders: str, to_stock: str) -> list[Step]:
    """Return what orders go through, one after the other: a name, what handles a fetch, and of which topics."""
    ids = dict.fromkeys([to_orders, to_stock], "id")
    orders = owned(orders_table(create_app("orders", settings)))
    stock = owned(stock_table(create_app("inventory", settings)))
    place = Deciding(settings, ORDER, orders, ids).decide
    reserve = Deciding(settings, PRODUCT, stock, ids).decide
    return [
        ("inventory: receive", reserve, [to_stock]),
        ("orders: place", place, [to_orders]),
        ("inventory: reserve", reserve, [to_stock]),
        ("orders: record", place, [to_orders]),
    ]


def project(projection: Projection, fetch: Fetch, known: dict[Any, Any], spent: Spent) -> None:
    """Fold a fetch as a projector does that remembers all views, up to the bytes that go to MongoDB."""
    name = f"projector: {projection.name}"
    with spent.on(f"{name} decode"):
        foldings = [Folding(Part(projection, *tp, part.records), known) for tp, part in fetch.parts.items()]
    with spent.on(f"{name} fold"):
        for folding in foldings:
            folding.run()
            assert folding.part.stop is None, folding.part.stop
    with spent.on(f"{name} render"):
        documents = [put.document for model in projection.models for put in _rendered(model, foldings)]
        documents += [entry for folding in foldings for entries in folding.entries.values() for entry in entries]
    with spent.on(f"{name} to BSON"):
        for document in documents:
            bson.encode(document)
    for folding in foldings:
        known.update(folding.changed)


if __name__ == "__main__":
    main()
