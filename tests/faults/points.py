"""Processes that kill or suspend themselves at a named point (`streams/runtime/faults.py`), watched until they recover.

A file asks a process for its fault. The process deletes the file before it obeys, so that a missing file means it got
there.
"""

import asyncio
import os
import random
import signal
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import psutil
from schedule import CLOSED_AFTER
from system import System

from ops.stack import state
from streams.runtime.faults import POINTS, Point

STARTING = ("starting", "claimed", "assigned", "offsets-read", "restored", "prepared", "sought", "started")
UNDER_WAY_MS = (1, 3, 6)  # after a commit was requested: while it is in flight, and around its answer
PATIENCE = 240.0  # seconds, for steps that take one or two

# Short time-outs, so that the broker gives up suspended workers within seconds and killed ones rejoin at once.
SETTINGS = {
    "FULFILLMENT_SESSION_TIMEOUT": "3",
    "FULFILLMENT_HEARTBEAT_INTERVAL": "1",
    "FULFILLMENT_TRANSACTION_TIMEOUT": "3",
    "FULFILLMENT_COMMAND_TIMEOUT": "3",
    "FULFILLMENT_RESTART_PAUSE": "0.2",
    "FULFILLMENT_CLOSED_AFTER": CLOSED_AFTER,
}
PAUSE = 7.5  # seconds: longer than session and transaction time-out plus the interval of the broker's checks


class Aim(NamedTuple):
    """A point, and when: `milliseconds` after the process reaches it for the `passage`-th time."""

    point: str
    passage: int = 1
    milliseconds: int = 0

    def fault(self, action: str) -> str:
        """Return it as a fault."""
        return f"{action}:{self.point}@{self.passage}" + (f"+{self.milliseconds}" if self.milliseconds else "")

    def __str__(self) -> str:
        return self.point + (f" +{self.milliseconds} ms" if self.milliseconds else "")


def aims(point: Point, seed: int) -> list[Aim]:
    """Return when to hit a point: at some passage, and during a commit for points of a commit."""
    passage = 1 if point.name in STARTING else random.Random(f"{seed} {point.name}").randint(1, 4)
    if point.name == "commit-asked":
        return [Aim(point.name, passage, milliseconds) for milliseconds in UNDER_WAY_MS]
    return [Aim(point.name, passage)]


def in_turn(role: str, seed: int) -> list[Aim]:
    """Return all targets of a role, in its work and in the restart that follows, in turns."""
    own = [aim for point in POINTS if role in point.roles for aim in aims(point, seed)]
    starts = [aim for aim in own if aim.point in STARTING]
    works = [aim for aim in own if aim.point not in STARTING]
    return [aim for pair in zip(works, [*starts, *[None] * len(works)], strict=False) for aim in pair if aim]


class Marksman:
    """Hits the processes of a system that was started with `environment(folder)`."""

    def __init__(self, system: System, folder: Path) -> None:
        self.system, self.folder = system, folder

    @staticmethod
    def environment(folder: Path) -> dict[str, str]:
        """Return the settings of a system whose processes look for their faults in `folder`."""
        return SETTINGS | {"FULFILLMENT_FAULTS": f"ask:{folder}"}

    async def kill(self, name: str, aim: Aim) -> int:
        """Let a process kill itself and wait until it is gone; return how often it was restarted meanwhile, ideally
        once."""
        before = self._record(name).restarts
        await self._ask(name, aim.fault("kill"))
        if aim.point in STARTING and self._record(name).pid and self._record(name).restarts == before:
            await self._end(name)
            before += 1
        await self._obeyed(name)
        await until(lambda: self._record(name).restarts > before, f"{name} to be gone after {aim}")
        return self._record(name).restarts - before

    async def stop(self, name: str, aim: Aim) -> psutil.Process:
        """Let a process suspend itself; return it once it is stopped."""
        await self._ask(name, aim.fault("stop"))
        if aim.point in STARTING:
            await self._end(name)
        await self._obeyed(name)
        process = psutil.Process(self._record(name).pid)
        await until(lambda: process.status() == psutil.STATUS_STOPPED, f"{name} to stop at {aim}")
        return process

    async def back(self, *names: str) -> None:
        """Wait until processes are ready again."""

        async def ready() -> bool:
            found = await asyncio.to_thread(self.system.status)
            return {each["name"] for each in found["processes"] if each["state"] == "ready"} >= set(names)

        async with asyncio.timeout(PATIENCE):
            while not await ready():  # noqa: ASYNC110  # of other processes
                await asyncio.sleep(0.5)

    def restarts(self, name: str) -> int:
        """Return how often a process was restarted."""
        return self._record(name).restarts

    async def _ask(self, name: str, fault: str) -> None:
        draft = self.folder / f".{name}"
        draft.write_text(fault)
        draft.rename(self.folder / name)

    async def _obeyed(self, name: str) -> None:
        asked = self.folder / name
        text = asked.read_text() if asked.exists() else "its fault"
        await until(lambda: not asked.exists(), f"{name} to get to {text}")

    async def _end(self, name: str) -> None:
        """Kill a process from outside, so that its supervisor restarts it."""
        await until(lambda: self._record(name).pid is not None, f"{name} to run")
        pid = self._record(name).pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await until(lambda: self._record(name).pid != pid, f"{name} to be gone")

    def _record(self, name: str) -> state.Process:
        stack = state.read(self.system.settings.data)
        assert stack is not None, "the system is not running"
        return next(each for each in stack.processes if each.name == name)


async def until(holds: Callable[[], bool], what: str) -> None:
    """Wait until a condition of another process holds."""
    end = asyncio.get_running_loop().time() + PATIENCE
    while not holds():
        assert asyncio.get_running_loop().time() < end, f"waited {PATIENCE:.0f} s for {what}"
        await asyncio.sleep(0.02)
