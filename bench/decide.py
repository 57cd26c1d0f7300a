"""Order commands a second through one worker, against the same decisions in a bare loop, in one run."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

import psutil

from bench.backlog import commands_a_second
from tests.system import FULFILLMENT, System, free_ports


@contextmanager
def ended(command: list[str], env: dict[str, str]) -> Iterator[psutil.Process]:
    """Run a process for as long as the block lasts."""
    child = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield psutil.Process(child.pid)
    finally:
        child.kill()
        child.wait()


def decide_rates(system: System, count: int) -> list[tuple[str, float, float]]:
    """Return (name, commands a second, and per CPU-second) of our worker and of the bare loop."""
    worker = [*FULFILLMENT, "worker", "orders"]
    bare = [sys.executable, "-m", "bench.bare"]
    rates = []
    for name, command in (("order agent", worker), ("bare loop", bare)):
        env = os.environ | system.env | {"FULFILLMENT_WORKER_PORT": str(free_ports(1))}
        with ExitStack() as stack:
            rate = commands_a_second(system, count, partial(_enter, stack, command, env))
        rates.append((name, *rate))
    return rates


def _enter(stack: ExitStack, command: list[str], env: dict[str, str]) -> psutil.Process:
    return stack.enter_context(ended(command, env))
