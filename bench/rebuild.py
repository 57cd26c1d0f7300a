"""`python -m bench.rebuild`: how fast read models are made again from offset zero, on a stack of their own."""

import argparse
import asyncio
import os
import tempfile
import time
from pathlib import Path

import psutil

from bench.events import fill
from ops.audit.settled import last_records
from ops.versions.deploy import deploy
from ops.versions.work import newest, work
from tests.system import System

NAMES = ("customer_summary", "orders", "inventory")


def main() -> None:
    """Fill the event topics, then build each read model."""
    parser = argparse.ArgumentParser(prog="bench.rebuild", description=__doc__)
    parser.add_argument("--orders", type=int, default=100_000)
    parser.add_argument("--names", nargs="*", default=NAMES, help="of projections")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        system = System(Path(folder), FULFILLMENT_ROLES="")
        system.up()
        try:
            began = time.monotonic()
            events = fill(system.settings, arguments.orders)
            print(f"{events:,} events of {arguments.orders:,} orders written in {time.monotonic() - began:.1f} s")
            for name in arguments.names:
                print(measure(system, name), flush=True)
        finally:
            system.down()


def measure(system: System, name: str) -> str:
    """Build a read model from offset zero; return the time, the rate and what it cost."""
    topic = newest(name).topic.name
    events = sum(last_records(system.settings, topic).values())
    servers = {each["name"]: psutil.Process(each["pid"]) for each in system.status()["processes"] if each["pid"]}
    before, ours, began = {n: cpu(process) for n, process in servers.items()}, own_cpu(), time.monotonic()
    asyncio.run(build(system, name))
    seconds = time.monotonic() - began
    spent = {n: cpu(process) - before[n] for n, process in servers.items()} | {"python": own_cpu() - ours}
    costs = ", ".join(f"{n} {1e6 * each / events:.1f}" for n, each in spent.items())
    total = sum(spent.values())
    return (
        f"{name}: {events:,} events in {seconds:.1f} s, {events / seconds:,.0f}/s; CPU µs an event: {costs}, "
        f"in all {1e6 * total / events:.1f}: {events / total:,.0f} a CPU second"
    )


async def build(system: System, name: str) -> None:
    """Build a version as `fulfillment projections deploy` does."""
    async with work(system.settings, name) as here:
        await deploy(here, name, newest(name).shape)


def cpu(process: psutil.Process) -> float:
    """Return the CPU seconds of a process."""
    times = process.cpu_times()
    return float(times.user + times.system)


def own_cpu() -> float:
    """Return the CPU seconds of this process and of its children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


if __name__ == "__main__":
    main()
