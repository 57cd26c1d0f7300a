"""`python -m bench`: run the benchmarks against a stack of their own, print the table."""

import argparse
import asyncio
import tempfile
import uuid
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.http import one_at_a_time, place_orders
from bench.idle import Spent, idle_cost
from tests.system import System


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--orders", type=int, default=5_000, help="orders placed at a time")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        system = System(Path(folder))
        system.up()
        try:
            measure(system, arguments.orders)
        finally:
            system.down()


def measure(system: System, orders: int, idle_seconds: float = 15.0) -> None:
    """Run all benchmarks and print their table."""
    table = Table("what", "how", "measured")
    run = uuid.uuid4().hex[:6]
    costs = idle_cost(system, idle_seconds)
    asyncio.run(place_orders(system, f"{run}w", 500, 32))  # warm
    for connections in (32, 128):
        spent = Spent(system)
        load, lag = asyncio.run(place_orders(system, f"{run}h{connections}", orders, connections))
        cost = {name: 1000 * seconds / orders for name, seconds in spent.each().items()}
        assert not load.failures, load.failures[0].body
        rate = f"{load.rate:,.0f}/s, p50 {load.percentile(0.5):.0f} ms, p99 {load.percentile(0.99):.0f} ms"
        table.add_row("orders accepted over HTTP", f"{connections} connections, 2 lines", rate)
        table.add_row("… of them visible, allocated", f"{orders} of {orders}", f"{lag:.2f} s after the last answer")
        shares = ", ".join(f"{name} {each:.2f}" for name, each in cost.items())
        table.add_row("… CPU an order", f"{sum(cost.values()):.2f} ms", shares)
    outcome, visible = asyncio.run(one_at_a_time(system, f"{run}s", 300))
    for name, load in (("POST → outcome", outcome), ("POST → visible", visible)):
        figures = f"p50 {load.percentile(0.5):.1f} ms, p99 {load.percentile(0.99):.1f} ms"
        table.add_row(name, "one at a time", figures)
    for name, cpu, memory in costs:
        table.add_row("idle", name, f"{cpu:.1f} % of a core, {memory:.0f} MiB")
    table.add_row("idle", "all", f"{sum(c for _, c, _ in costs):.1f} % of a core, {sum(m for *_, m in costs):.0f} MiB")
    Console().print(table)


if __name__ == "__main__":
    main()
