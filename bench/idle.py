"""The cost of an idle stack."""

import time
from collections.abc import Collection, Iterator

from bench.figure import Figure, Found
from bench.stacks import CLIENT, STORES, Install, Spent
from bench.suite import Bench


def idle(bench: Bench) -> Iterator[Found]:
    """Yield each process's share of a core, and its memory."""
    install = bench.main
    install.quiet()
    cores = idle_cores(install, bench.sizes.idle)
    roles = sum(share for role, share in cores.items() if role not in STORES)
    yield Figure("idle.roles", "all roles together", [roles], "% of a core", "idle")
    for role, share in cores.items():
        yield Figure("", role, [share], "% of a core", "idle")
    yield from memory(install, "without orders")


def memory(install: Install, how: str, roles: Collection[str] = ()) -> Iterator[Found]:
    """Yield the memory of each process, or of the processes of some roles."""
    for role, process in install.processes():
        if roles and role not in roles:
            continue
        yield Figure(f"memory.{role}", f"memory: {role}", [process.memory_info().rss / 2**20], "MiB", how)


def roles_memory(install: Install) -> int:
    """Return the bytes of memory that all roles use, without Kafka and MongoDB."""
    return sum(process.memory_info().rss for role, process in install.processes() if role not in STORES)


def idle_cores(install: Install, seconds: float) -> dict[str, float]:
    """Return the percentage of a core that each role uses while the stack is idle."""
    spent = Spent(install)
    time.sleep(seconds)
    used = spent.used()
    return {role: 100 * each / used.seconds for role, each in used.cpu.items() if role != CLIENT}
