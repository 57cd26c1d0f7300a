"""What the stack costs when nobody asks anything of it."""

import time
from collections.abc import Collection, Iterator

from bench.figure import Figure, Found
from bench.stacks import Install, cpu_seconds, processes
from bench.suite import Bench

STORES = ("kafka", "mongod")


def idle(bench: Bench) -> Iterator[Found]:
    """Yield each process's share of a core, and its memory."""
    install = bench.main
    install.quiet(120)
    cores = _cores(install, bench.sizes.idle)
    roles = sum(share for role, share in cores.items() if role not in STORES)
    yield Figure("idle.roles", "all roles together", [roles], "% of a core", "idle")
    for role, share in cores.items():
        yield Figure("", role, [share], "% of a core", "idle")
    yield from memory(install, "without orders")


def memory(install: Install, how: str, roles: Collection[str] = ()) -> Iterator[Found]:
    """Yield the memory of each process, or of those of some roles."""
    for role, process in [*processes(install.servers), *processes(install)]:
        if roles and role not in roles:
            continue
        yield Figure(f"memory.{role}", f"memory: {role}", [process.memory_info().rss / 2**20], "MiB", how)


def _cores(install: Install, seconds: float) -> dict[str, float]:
    found = [*processes(install.servers), *processes(install)]
    before, began = [cpu_seconds(process) for _, process in found], time.perf_counter()
    time.sleep(seconds)
    passed = time.perf_counter() - began
    return {
        role: 100 * (cpu_seconds(process) - used) / passed for (role, process), used in zip(found, before, strict=True)
    }
