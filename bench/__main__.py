"""`python -m bench`: run the benchmarks against stacks of their own, print the table, write it where asked."""

import argparse
import asyncio
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from bench.decide import decide_rates
from bench.http import one_at_a_time, place_orders
from bench.idle import Spent, idle_cost
from bench.report import Row, as_markdown, as_table
from tests.system import System


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--orders", type=int, default=10_000, help="orders placed at a time over HTTP")
    parser.add_argument("--commands", type=int, default=100_000, help="backlog of order commands to decide")
    parser.add_argument("--write", type=Path, help="also write the table to this file, as Markdown")
    arguments = parser.parse_args()
    rows: list[Row] = []
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("benchmarks", total=None)
        for measure in (measure_flow(arguments.orders), measure_decide(arguments.commands)):
            for row in measure:
                progress.update(task, description=row.what)
                rows.append(row)
    Console().print(as_table(rows))
    if arguments.write:
        arguments.write.write_text(as_markdown(rows))


def measure_flow(orders: int) -> Iterator[Row]:
    """Yield what the whole system does: idle, under load over HTTP, and one order at a time."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        system, run = System(Path(folder)), uuid.uuid4().hex[:6]
        system.up()
        try:
            yield from _idle(system)
            asyncio.run(place_orders(system, f"{run}w", orders // 2, 32))  # warm
            for connections in (32, 128):
                yield from _load(system, f"{run}h{connections}", orders, connections)
            yield from _singles(system, f"{run}s")
        finally:
            system.down()


def _idle(system: System) -> Iterator[Row]:
    costs = idle_cost(system)
    for name, cpu, memory in [*costs, ("all", sum(c for _, c, _ in costs), sum(m for *_, m in costs))]:
        yield Row("idle", name, f"{cpu:.1f} % of a core, {memory:.0f} MiB")


def _load(system: System, run: str, orders: int, connections: int) -> Iterator[Row]:
    spent = Spent(system)
    load, lag = asyncio.run(place_orders(system, run, orders, connections))
    cost = {name: 1000 * seconds / orders for name, seconds in spent.each().items()}
    assert not load.failures, load.failures[0].body
    rate = f"{load.rate:,.0f}/s, p50 {load.percentile(0.5):.0f} ms, p99 {load.percentile(0.99):.0f} ms"
    yield Row("orders accepted over HTTP", f"{connections} connections, 2 lines each", rate)
    yield Row("… visible and allocated", f"{orders:,} of {orders:,}", f"{lag:.2f} s after the last answer")
    shares = ", ".join(f"{name} {each:.2f}" for name, each in cost.items())
    yield Row("… CPU an order", shares, f"{sum(cost.values()):.2f} ms")


def _singles(system: System, run: str) -> Iterator[Row]:
    for name, load in zip(("outcome", "visible"), asyncio.run(one_at_a_time(system, run, 300)), strict=True):
        figures = f"p50 {load.percentile(0.5):.1f} ms, p99 {load.percentile(0.99):.1f} ms"
        yield Row(f"POST → {name}", "one at a time", figures)


def measure_decide(commands: int) -> Iterator[Row]:
    """Yield how fast one worker decides a backlog, and a bare loop with the same decisions."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        system = System(Path(folder), FULFILLMENT_ROLES="")
        system.up()
        try:
            rates = decide_rates(system, commands)
        finally:
            system.down()
    for name, rate, per_cpu in rates:
        yield Row("PlaceOrder commands decided", name, f"{rate:,.0f}/s, {per_cpu:,.0f} a CPU-second")
    yield Row("… our agent to the bare loop", "same run", f"{rates[0][1] / rates[1][1]:.2f}")


if __name__ == "__main__":
    main()
