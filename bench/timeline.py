"""Which processes are busy at what time while whole orders flow, to find the bottleneck.

    python -m bench.timeline [--orders N] [--rounds N]

Rows are points in time, columns processes, and figures cores. If the last column is below the machine's cores,
processes wait for one another. A first round, whose figures are not shown, warms everything up.
"""

import argparse
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import NamedTuple

import uvloop

from bench.flow import Flowed, place
from bench.stacks import Install, Stacks, cpu_seconds

ROWS = 24
LOOK_SECONDS = 0.1


class Sample(NamedTuple):
    """CPU seconds that each process had used at a time (`time.perf_counter`)."""

    at: float
    spent: tuple[float, ...]


def main() -> None:
    """Print one table per round."""
    parser = argparse.ArgumentParser(prog="bench.timeline", description=__doc__)
    parser.add_argument("--orders", type=int, default=6_000, help="per round")
    parser.add_argument("--rounds", type=int, default=1)
    asked = parser.parse_args()
    with Stacks() as stacks:
        install = stacks.install("main")
        uvloop.run(place(install, asked.orders))
        for _ in range(asked.rounds):
            with sampled(install) as samples:
                flowed = uvloop.run(place(install, asked.orders))
            show(flowed, [name for name, _ in install.processes()], samples)


@contextmanager
def sampled(install: Install) -> Iterator[list[Sample]]:
    """Yield the CPU time that each process has used, repeatedly until the block ends."""
    samples, ended, watching = list[Sample](), threading.Event(), install.processes()

    def sample() -> None:
        while not ended.wait(LOOK_SECONDS):
            samples.append(Sample(time.perf_counter(), tuple(cpu_seconds(process) for _, process in watching)))

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield samples
    finally:
        ended.set()
        thread.join()


def show(flowed: Flowed, names: Sequence[str], samples: Sequence[Sample]) -> None:
    """Print how many cores each process used while the orders flowed, and how many all did."""
    during = [sample for sample in samples if 0 <= sample.at - flowed.began <= flowed.used.seconds]
    used, cores = sum(flowed.used.cpu.values()) / flowed.used.seconds, os.cpu_count() or 1
    rate = f"{flowed.orders:,} orders in {flowed.used.seconds:.2f} s, {flowed.rate:,.0f} per second"
    print(f"\n{rate}, {used:.2f} of {cores} cores")
    print("seconds ", *(f"{name:>10}" for name in names), "       all")
    rows = during[:: max(len(during) // ROWS, 1)]
    for one, next_one in pairwise(rows):
        seconds = next_one.at - one.at
        busy = [(after - before) / seconds for before, after in zip(one.spent, next_one.spent, strict=True)]
        print(f"{next_one.at - flowed.began:7.2f} ", *(f"{each:10.2f}" for each in (*busy, sum(busy))))


if __name__ == "__main__":
    main()
