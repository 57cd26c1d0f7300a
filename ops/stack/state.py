"""What is running, on disk: the lock that says who supervises, and the file that says what.

The lock is an flock, which the kernel releases when its holder dies: a stale lock does not exist. The pid in it is for
people. Processes are recognised by pid and start time, because pids are used again; since the machine's boot, because
its clock may jump.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

import psutil
from pydantic import BaseModel

from ops.errors import Unavailable, file_error
from ops.stack.holders import holders, lock_file
from ops.stack.holders import strays as strays
from streams.runtime.process import reason_in

SAME_SECONDS = 0.005  # the kernel counts hundredths
HOPELESS_RESTARTS = 2
# starting: processes are still missing; complete: all have been started; ready: all have been ready once
Phase = Literal["starting", "complete", "ready"]


class Process(BaseModel):
    """One process of the stack; `pid` is None while it is not running, or when it is not ours (`external`)."""

    name: str
    role: str
    pid: int | None = None
    started: float | None = None  # seconds after the machine's boot
    port: int | None = None
    state: str = "starting"
    restarts: int = 0
    said: str = ""  # the last line of its log when it last stopped by itself
    code: int | None = None  # that it last exited with

    @property
    def hopeless(self) -> str:
        """Why starting it again does not help, as it has said repeatedly itself; empty when it may."""
        hopeless = self.restarts >= HOPELESS_RESTARTS and self.code == os.EX_CONFIG
        return reason_in(self.said) if hopeless else ""


class Stack(BaseModel):
    """Everything one supervisor runs, and where its web servers listen."""

    pid: int
    host: str
    phase: Phase = "starting"
    processes: list[Process] = []


def state_file(data: Path) -> Path:
    """Return where the state of the stack in `data` is."""
    return data / "stack.json"


def write(stack: Stack, data: Path) -> None:
    """Replace the state, whole or not at all."""
    draft = state_file(data).with_suffix(".tmp")
    draft.write_text(stack.model_dump_json(indent=1))
    draft.chmod(0o600)
    draft.replace(state_file(data))


def read(data: Path) -> Stack | None:
    """Return the recorded state; None when there is none that can be read."""
    try:
        return Stack.model_validate_json(state_file(data).read_text())
    except (OSError, ValueError):  # a power cut may leave anything there
        return None


def running(process: Process) -> psutil.Process | None:
    """Return the live process that was recorded, not another one that got its pid since."""
    if process.pid is None or process.started is None:
        return None
    with suppress(psutil.Error):
        found = psutil.Process(process.pid)
        if abs(started(found) - process.started) < SAME_SECONDS and found.status() != psutil.STATUS_ZOMBIE:
            return found
    return None


def started(process: psutil.Process) -> float:
    """Return when a process was started, in seconds after the machine's boot; `psutil.Error` when it is gone."""
    while True:
        boot = psutil.boot_time()
        created = psutil.Process(process.pid).create_time()  # asked anew: it is kept, and said by the clock
        if boot == psutil.boot_time():  # the clock did not jump in between
            return float(created - boot)


@contextmanager
def locked(data: Path) -> Iterator[None]:
    """Hold `data` for this process alone; Unavailable when another supervisor has it."""
    try:
        data.mkdir(parents=True, exist_ok=True)
        handle = os.open(lock_file(data), os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise file_error(error, data) from error
    try:
        _take(handle)
    except BlockingIOError as error:
        os.close(handle)
        raise _in_use(data, _holder(data)) from error
    try:
        refuse_strays(data)
        _note_pid(handle, data)
        yield
    finally:
        os.close(handle)


def _take(handle: int) -> None:
    """Take the lock; BlockingIOError when a supervisor holds it. `supervisor` shares it, and only for a moment."""
    while True:
        with suppress(BlockingIOError):
            return fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        fcntl.flock(handle, fcntl.LOCK_UN)


def refuse_running(data: Path) -> None:
    """Raise Unavailable when a supervisor runs for `data`."""
    if pid := supervisor(data):
        raise _in_use(data, pid)
    refuse_strays(data)


def refuse_strays(data: Path) -> None:
    """Raise Unavailable when a supervisor runs for `data` whose files are no longer there."""
    if found := strays(data):
        raise Unavailable(
            f"`fulfillment up` runs already for {data} (pid {found[0]}), and its files there were deleted or moved "
            "while it ran. Stop it with `fulfillment down`, then start again."
        )


def _in_use(data: Path, pid: int | None) -> Unavailable:
    return Unavailable(
        f"{data} is in use: `fulfillment up` runs there already (pid {pid}). "
        "See `fulfillment status`, stop it with `fulfillment down`, or set FULFILLMENT_DATA to another directory."
    )


def supervisors(data: Path) -> list[int]:
    """Return the pids of the supervisors that run for `data`; one, unless its files were deleted or moved."""
    return [*([pid] if (pid := supervisor(data)) else []), *strays(data)]


def supervisor(data: Path) -> int | None:
    """Return the pid of the supervisor that holds `data`, None when there is none."""
    try:
        handle = os.open(lock_file(data), os.O_RDONLY)  # also where nothing may be written
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: commands that look at once don't see each other
    except BlockingIOError:
        return _holder(data)
    finally:
        os.close(handle)
    return None


def _note_pid(handle: int, data: Path) -> None:
    try:
        os.truncate(handle, 0)
        os.pwrite(handle, str(os.getpid()).encode(), 0)
    except OSError as error:
        raise file_error(error, data) from error


def _holder(data: Path) -> int | None:
    """Return who holds the lock: the pid written in it, if that process holds it, else one that does."""
    written, found = _pid_in(data), [pid for pid in holders(data) if pid != os.getpid()]
    return written if written in found or not found else found[0]


def _pid_in(data: Path) -> int | None:
    with suppress(OSError, ValueError):
        return int(lock_file(data).read_text())
    return None
