"""Restart the workers of a running stack one at a time: each is ready before the next one stops.

A worker is asked to stop, and its supervisor starts it again, with the code that is installed at that moment.
"""

import asyncio
import signal
import time
from collections.abc import Sequence
from contextlib import suppress

import psutil

from ops.errors import CommandFailed, Misconfigured, Unavailable
from ops.stack import state
from ops.stack.servers import Say
from ops.stack.status import Condition, collect
from streams.runtime.settings import ROLES, Settings

STOP_SECONDS = 12.0  # a worker that is asked to stop needs at most eight
LOOK_SECONDS = 0.2


class NotReady(CommandFailed):
    """A worker was restarted and does not become ready."""


async def restart(settings: Settings, roles: Sequence[str], within: float, say: Say) -> int:
    """Restart the workers of `roles`, or all, and return how many; each has `within` seconds to become ready."""
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
    running = [process for process in _running_stack(settings).processes if process.role in ROLES]
    found = sorted({process.role for process in running}, key=ROLES.index)
    if missing := [role for role in roles if role not in found]:
        only = f"only {', '.join(found)}" if found else "only Kafka and MongoDB"
        raise Misconfigured(f"No worker of {missing[0]} runs in this stack, {only}.")
    return [process.name for process in running if not roles or process.role in roles]


def _running_stack(settings: Settings) -> state.Stack:
    """Return the stack that runs in `settings.data`; Unavailable if there is none, or if it is still starting."""
    state.refuse_strays(settings.data)
    stack, pid = state.read(settings.data), state.supervisor(settings.data)
    if pid is None:
        raise Unavailable(f"Nothing is running in {settings.data}: start it with `fulfillment up`.")
    if stack is None or stack.pid != pid:
        raise Unavailable(
            f"{state.state_file(settings.data)} does not list the processes of pid {pid}: stop it with "
            "`fulfillment down`, then start it again."
        )
    if stack.phase == "starting":
        raise Unavailable("`fulfillment up` is still starting: wait until `fulfillment status` shows it as ready.")
    return stack


async def _restart(settings: Settings, name: str, within: float) -> None:
    before = _process(settings, name)
    if before is not None:
        await asyncio.to_thread(_stop, before)
    until = time.monotonic() + within
    while not (condition := await _condition(settings, name)).ready or _is(before, condition):
        if condition.process.hopeless and not _is(before, condition):
            why = condition.process.hopeless.rstrip(".")
            raise NotReady(f"{name} cannot start: {why}. The remaining workers were not restarted.")
        if time.monotonic() > until:
            raise NotReady(
                f"{name} is not ready {within:.0f} s after its restart ({condition.reason or condition.state}): "
                f"see {settings.data / 'logs' / name}.log. The remaining workers were not restarted."
            )
        await asyncio.sleep(LOOK_SECONDS)


def _process(settings: Settings, name: str) -> psutil.Process | None:
    stack = state.read(settings.data)
    found = next((each for each in stack.processes if each.name == name), None) if stack else None
    return state.running(found) if found else None


def _stop(process: psutil.Process) -> None:
    """Stop a process; kill it if it does not end in time, because its restart repeats what it has not committed."""
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
    raise Unavailable(f"{name} is no longer running: `fulfillment up` was stopped during the restart.")


def _is(before: psutil.Process | None, condition: Condition) -> bool:
    return before is not None and condition.process.pid == before.pid
