"""A worker is killed with -9: how long until it, or another one, has its partitions and works."""

import asyncio
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import psutil
import uvloop

from bench.client import Answer, Connection
from bench.figure import Figure, Found
from bench.flow import fill
from bench.http import order
from bench.idle import memory
from bench.stacks import Install, partitions_at
from bench.suite import Bench
from ops.stack import state
from ops.stack.logs import log_of
from streams.kafka.partitions import partition_of
from tests.system import free_ports, wait_until

ROLES = ("orders", "inventory")
RESTORED = re.compile(r"restored (\d+) entries of \S+, (\d+) partitions, in ([\d.]+) s")
PATIENCE_SECONDS = 120
DECIDED = (200, 201, 409, 422)


class Restored(NamedTuple):
    """The last restore, by a worker's log."""

    entries: int
    partitions: int
    seconds: float


def recovery(bench: Bench) -> Iterator[Found]:
    """Yield memory, then the durations of restarts, restores and takeovers."""
    install, already = bench.main, bench.sizes.already
    uvloop.run(fill(install, already, say=bench.say))
    install.quiet()
    how = f"with {install.placed:,} orders"
    yield from memory(install, how)
    for role in ROLES:
        restarts, restores = list[float](), list[Restored]()
        for _ in bench.rounds(f"killing {role}", 25):
            restarts.append(restarted(install, role))
            restores.append(last_restore(log_of(install.settings.data, f"{role}-0").read_text()))
        yield Figure(f"recovery.{role}.restart", f"{role}: kill -9 → works again, restarted", restarts, "s", how)
        seconds = [one.seconds * 100_000 / install.placed for one in restores]
        entries = f"{restores[-1].entries:,} entries"
        yield Figure(
            f"recovery.{role}.restore", f"{role}: restore of the table per 100,000 orders", seconds, "s", entries
        )
        bench.say(f"another member takes over from {role}")
        taken = [taken_over(install, role)]
        yield Figure(f"recovery.{role}.takeover", f"{role}: kill -9 → another member works", taken, "s", how)
    yield from memory(install, f"{how}, restarted", ROLES)


def last_restore(log: str) -> Restored:
    """Return the last restore of all partitions, by a worker's log."""
    found = RESTORED.findall(log)
    assert found, "the worker's log does not mention a restore"
    entries, partitions, seconds = found[-1]
    return Restored(int(entries), int(partitions), float(seconds))


def restarted(install: Install, role: str) -> float:
    """Kill a role's only worker; return the seconds until the restarted one decides in every partition."""
    probes, killed = Probes(install, role), install.process(f"{role}-0")
    began = time.perf_counter()
    killed.kill()
    seconds = uvloop.run(probes.all_decided(began))
    assert install.pid(f"{role}-0") not in (None, killed.pid)
    install.quiet()
    return seconds


def taken_over(install: Install, role: str) -> float:
    """Kill one of two workers and prevent its restart; return the seconds until the other has all partitions."""
    with _second_worker(install, role) as port, _paused_supervisor(install) as pause:
        wait_until(lambda: 0 < partitions_at(port) < install.settings.partitions, "two to share")
        probes = Probes(install, role)
        pause()
        began = time.perf_counter()
        install.kill(f"{role}-0")
        seconds = uvloop.run(probes.all_decided(began))
        assert partitions_at(port) == install.settings.partitions
    install.quiet()
    return seconds


@contextmanager
def _second_worker(install: Install, role: str) -> Iterator[int]:
    port = free_ports(1)
    env = install.env | {"FULFILLMENT_WORKER_PORT": str(port), "FULFILLMENT_INSTANCE": "1"}
    log = log_of(install.settings.data, f"{role}-1")
    with log.open("ab") as output:
        child = subprocess.Popen([sys.executable, "-m", "ops.worker", role], env=env, stdout=output, stderr=output)
    try:
        yield port
    finally:
        child.terminate()
        child.wait(60)


@contextmanager
def _paused_supervisor(install: Install) -> Iterator[Callable[[], None]]:
    """Suspend the supervisor, so that it does not restart workers; it continues at the end of the block."""
    stack = state.read(install.settings.data)
    assert stack is not None
    supervisor = psutil.Process(stack.pid)
    try:
        yield supervisor.suspend
    finally:
        supervisor.resume()


class Probes:
    """A command for each partition of a role, repeated until it is decided."""

    def __init__(self, install: Install, role: str) -> None:
        self._install, self._role, self._run = install, role, os.urandom(4).hex()

    async def all_decided(self, began: float) -> float:
        """Return the seconds since `began` at which every partition has decided a command."""
        await asyncio.sleep(0)
        count = self._install.settings.partitions
        done = await asyncio.gather(*(self._decided(partition, count) for partition in range(count)))
        return max(done) - began

    async def _decided(self, partition: int, count: int) -> float:
        end, key = time.monotonic() + PATIENCE_SECONDS, self._key(partition, count)
        async with Connection(self._install.base) as connection:
            while (answer := await self._ask(connection, key)).status not in DECIDED:
                assert time.monotonic() < end, f"partition {partition} of {self._role}: {answer.body!r}"
        return time.perf_counter()

    def _key(self, partition: int, count: int) -> str:
        keys = (f"{self._run}-{number}" for number in range(10_000))
        return next(key for key in keys if partition_of(key.encode(), count) == partition)

    async def _ask(self, connection: Connection, key: str) -> Answer:
        if self._role == "orders":
            return await connection.ask("POST", "/orders", order(self._run, 0) | {"orderId": key})
        return await connection.ask("PUT", f"/inventory/{key}", {"quantity": 1})
