"""`fulfillment restart`: the workers of the running stack, one after the other, each ready before the next one stops.

A worker is asked to stop, and its supervisor starts it again: with the code that is installed by then.
"""

import asyncio
import signal
import time
from collections.abc import Sequence
from contextlib import suppress

import psutil

from ops.errors import CommandFailed, Misconfigured, Unavailable
from ops.stack import state
from ops.stack.status import Condition, collect
from ops.stack.stores import Say
from streams.runtime.settings import ROLES, Settings

STOP_SECONDS = 12.0  # a worker that is asked to stop ends itself within eight
LOOK_SECONDS = 0.2


class NotReady(CommandFailed):
    """A worker was restarted and is not ready."""


async def restart(settings: Settings, roles: Sequence[str], within: float, say: Say) -> int:
    """Restart the workers of `roles`, or all, and return how many; every one may take `within` seconds."""
    names = _chosen(settings, roles)
    for number, name in enumerate(names, 1):
        say(f"{name}: stopping ({number} of {len(names)})")
        began = time.monotonic()
        await _restart(settings, name, within)
        say(f"{name}: ready after {time.monotonic() - began:.1f} s")
    return len(names)


def _chosen(settings: Settings, roles: Sequence[str]) -> list[str]:
    for role in roles:
        if role not in ROLES:
            raise Misconfigured(f"There is no role {role!r}: choose from {', '.join(ROLES)}.")
    state.refuse_strays(settings.data)
    stack, pid = state.read(settings.data), state.supervisor(settings.data)
    if pid is None:
        raise Unavailable(f"Nothing runs in {settings.data}: start it with `fulfillment up`.")
    if stack is None or stack.pid != pid:
        raise Unavailable(
            f"{state.state_file(settings.data)} does not say what pid {pid} runs: stop it with `fulfillment down`, "
            "then start it again."
        )
    if stack.phase == "starting":
        raise Unavailable("`fulfillment up` is still starting: wait until `fulfillment status` says it is ready.")
    running = [process for process in stack.processes if process.role in ROLES]
    there = sorted({process.role for process in running}, key=ROLES.index)
    if missing := [role for role in roles if role not in there]:
        raise Misconfigured(f"No {missing[0]} runs here, only {', '.join(there) or 'Kafka and MongoDB'}.")
    return [process.name for process in running if not roles or process.role in roles]


async def _restart(settings: Settings, name: str, within: float) -> None:
    before = _process(settings, name)
    if before is not None:
        await asyncio.to_thread(_stop, before)
    until = time.monotonic() + within
    while not (condition := await _condition(settings, name)).ready or _is(before, condition):
        if condition.process.hopeless and not _is(before, condition):
            why = condition.process.hopeless.rstrip(".")
            raise NotReady(f"{name} cannot start: {why}. The others were not restarted.")
        if time.monotonic() > until:
            raise NotReady(
                f"{name} is not ready {within:.0f} s after its restart ({condition.reason or condition.state}): "
                f"see {settings.data / 'logs' / name}.log. The others were not restarted."
            )
        await asyncio.sleep(LOOK_SECONDS)


def _process(settings: Settings, name: str) -> psutil.Process | None:
    stack = state.read(settings.data)
    found = next((each for each in stack.processes if each.name == name), None) if stack else None
    return state.running(found) if found else None


def _stop(process: psutil.Process) -> None:
    """Ask a process to stop; kill it when it does not: what it has not committed, its restart does again."""
    with suppress(psutil.NoSuchProcess):
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except psutil.TimeoutExpired:
            process.kill()


async def _condition(settings: Settings, name: str) -> Condition:
    for condition in (await collect(settings)).processes:
        if condition.process.name == name:
            return condition
    raise Unavailable(f"{name} runs no more: `fulfillment up` was stopped meanwhile.")


def _is(before: psutil.Process | None, condition: Condition) -> bool:
    return before is not None and condition.process.pid == before.pid
