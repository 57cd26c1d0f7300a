"""CPU time per order of the roles' own code, without Kafka, MongoDB or HTTP, all in one process.

    python -m bench.cpu [--orders N] [--rounds N] [--profile STEP]

Orders of two lines pass all steps, from PlaceOrder to allocated and rendered; each step reads the output of the one
before. The figure is the minimum of many short rounds: on a shared machine, everything above it is the load of other
processes.
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
from projections.batch import Part
from projections.pipeline import Folding, _rendered
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
    """CPU seconds by step; the step `profiled` also runs under the profiler."""

    def __init__(self, profiled: str | None = None) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.profiled, self.profile = profiled, cProfile.Profile(time.process_time)

    @contextmanager
    def on(self, step: str) -> Iterator[None]:
        """Attribute the CPU time of the block to a step."""
        if step == self.profiled:
            self.profile.enable()
        began = time.process_time()
        yield
        self.seconds[step] += time.process_time() - began
        self.profile.disable()


def main() -> None:
    """Print CPU time per order by step."""
    parser = argparse.ArgumentParser(prog="bench.cpu", description=__doc__)
    parser.add_argument("--orders", type=int, default=ORDERS, help="per round")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="the minimum of these rounds is shown")
    parser.add_argument("--fetch", type=int, default=FETCH, help="records per fetch")
    parser.add_argument("--profile", metavar="STEP", help="print a profile of this step")
    asked = parser.parse_args()
    rounds = measured(asked.orders, asked.rounds, asked.fetch, asked.profile)
    least = least_of(rounds, asked.orders)
    for step, microseconds in [*least.items(), ("all", sum(least.values()))]:
        print(f"{step:28} {microseconds:8.1f} µs an order")
    if asked.profile:
        pstats.Stats(rounds[-1].profile).sort_stats("tottime").print_stats(40)


def costs(orders: int, rounds: int) -> dict[str, float]:
    """Return the minimum time per order of each step, in microseconds."""
    return least_of(measured(orders, rounds), orders)


def least_of(rounds: Sequence[Spent], orders: int) -> dict[str, float]:
    """Return the minimum time per order of each step, in microseconds."""
    return {step: min(1e6 * spent.seconds[step] / orders for spent in rounds) for step in rounds[0].seconds}


def measured(orders: int, rounds: int, fetch: int = FETCH, profile: str | None = None) -> list[Spent]:
    """Take `orders` orders through all steps in each round; the garbage collector stays set as in a worker."""
    garbage.configure()
    found = [Spent(profile) for _ in range(rounds)]
    for spent in found:
        measure(Settings(), orders, fetch, spent)
        gc.collect()
    return found


def measure(settings: Settings, orders: int, fetch: int, spent: Spent, customers: int = 1) -> None:
    """Take orders through all steps: decide until nothing is left to do, then project everything."""
    log = Log(settings)
    to_orders, to_stock = (settings.named(each.name) for each in (topics.ORDER_COMMANDS, topics.INVENTORY_COMMANDS))
    log.write(placed(to_orders, orders, customers))
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
    """Return the steps of an order: a name, the handler of a fetch, and its topics."""
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
    """Fold a fetch like a projector that has all views cached, up to the bytes for MongoDB."""
    name = f"projector: {projection.name}"
    with spent.on(f"{name} decode"):
        foldings = [
            Folding(Part(projection, tp.topic, tp.partition, part.records), known) for tp, part in fetch.parts.items()
        ]
    with spent.on(f"{name} fold"):
        for folding in foldings:
            folding.run()
            assert folding.part.stop is None, folding.part.stop
    with spent.on(f"{name} render"):
        rendered = (_rendered(model, foldings) for model in projection.models)
        documents = [put.document for places in rendered for puts in places.values() for put in puts]
        documents += [entry for folding in foldings for entries in folding.entries.values() for entry in entries]
        documents += [tally.document for folding in foldings for _, tally in folding.counts()]
    with spent.on(f"{name} to BSON"):
        for document in documents:
            bson.encode(document)
    for folding in foldings:
        known.update(folding.changed)


if __name__ == "__main__":
    main()
