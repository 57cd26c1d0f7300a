"""CPU time of the roles' own code, for comparing machines and builds of Python."""

from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from bench.cpu import ORDERS, ROUNDS, costs
from bench.figure import Figure
from bench.suite import Bench


def code(bench: Bench) -> Iterator[Figure]:
    """Yield the CPU time per order, in all roles together and in each."""
    orders, rounds = min(ORDERS, bench.sizes.orders), ROUNDS if bench.sizes.meaning else 1
    bench.say("the roles' own code")
    with ProcessPoolExecutor(1, get_context("spawn")) as clean:  # the collector's settings differ from the suite's
        steps = clean.submit(costs, orders, rounds).result()
    roles: dict[str, float] = defaultdict(float)
    for step, microseconds in steps.items():
        roles[step.partition(":")[0]] += microseconds
    how = f"in one process, without Kafka or MongoDB; the minimum of {rounds} rounds"
    yield Figure("", "all roles' own code", [sum(roles.values())], "µs per order", how)
    for role, microseconds in roles.items():
        yield Figure("", role, [microseconds], "µs per order")
