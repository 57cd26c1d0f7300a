"""The state of a stack on disk: a lock that its supervisor holds, and a file that lists its processes.

The lock is an flock, which the kernel releases when its holder dies, so that locks are never stale. The pid in it is
for people. Processes are recognised by their pid and start time, because pids are reused; the start time counts from
the machine's boot, because its clock may jump.
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

SAME_SECONDS = 0.005  # the kernel's resolution is 0.01 s
HOPELESS_RESTARTS = 2
# starting: some processes have not started yet; complete: all have started; ready: all have been ready once
Phase = Literal["starting", "complete", "ready"]


class Process(BaseModel):
    """One process of the stack; `pid` is None if it is not running, or was not started by the stack (`external`)."""

    name: str
    role: str
    pid: int | None = None
    started: float | None = None  # in seconds since the machine's boot
    port: int | None = None
    state: str = "starting"
    restarts: int = 0
    said: str = ""  # the last line of its log when it last stopped unasked
    code: int | None = None  # its last exit code

    @property
    def hopeless(self) -> str:
        """Why another restart is pointless, if it has reported a wrong setting several times; else empty."""
        hopeless = self.restarts >= HOPELESS_RESTARTS and self.code == os.EX_CONFIG
        return reason_in(self.said) if hopeless else ""


class Stack(BaseModel):
    """The processes of one supervisor, the host of their web servers, and the messages printed while it started."""

    pid: int
    host: str
    phase: Phase = "starting"
    processes: list[Process] = []
    messages: list[str] = []


def state_file(data: Path) -> Path:
    """Return the state file of the stack in `data`."""
    return data / "stack.json"


def write(stack: Stack, data: Path) -> None:
    """Replace the state file atomically."""
    draft = state_file(data).with_suffix(".tmp")
    draft.write_text(stack.model_dump_json(indent=1))
    draft.chmod(0o600)
    draft.replace(state_file(data))


def read(data: Path) -> Stack | None:
    """Return the recorded state; None if it does not exist or cannot be read."""
    try:
        return Stack.model_validate_json(state_file(data).read_text())
    except (OSError, ValueError):  # a power cut may leave garbage in the file
        return None


def running(process: Process) -> psutil.Process | None:
    """Return the process that was recorded, if it still runs; never a newer process with the same pid."""
    if process.pid is None or process.started is None:
        return None
    with suppress(psutil.Error):
        found = psutil.Process(process.pid)
        if abs(started(found) - process.started) < SAME_SECONDS and found.status() != psutil.STATUS_ZOMBIE:
            return found
    return None


def started(process: psutil.Process) -> float:
    """Return the start time of a process, in seconds since the machine's boot; `psutil.Error` if it has ended."""
    while True:
        boot = psutil.boot_time()
        created = psutil.Process(
            process.pid
        ).create_time()  # a new object: psutil caches the time, which is by the clock
        if boot == psutil.boot_time():  # otherwise the clock jumped between the two calls
            return float(created - boot)


@contextmanager
def locked(data: Path) -> Iterator[None]:
    """Lock `data` for this process; Unavailable if another supervisor holds it."""
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
    """Take the lock; BlockingIOError if a supervisor holds it. `supervisor` only shares it for a moment."""
    while True:
        with suppress(BlockingIOError):
            return fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        fcntl.flock(handle, fcntl.LOCK_UN)


def refuse_running(data: Path) -> None:
    """Raise Unavailable if a supervisor runs for `data`."""
    if pid := supervisor(data):
        raise _in_use(data, pid)
    refuse_strays(data)


def refuse_strays(data: Path) -> None:
    """Raise Unavailable if a supervisor runs for `data` whose files were deleted or moved."""
    if found := strays(data):
        raise Unavailable(
            f"`fulfillment up` already runs for {data} (pid {found[0]}), and its files there were deleted or moved "
            "while it ran. Stop it with `fulfillment down`, then start it again."
        )


def _in_use(data: Path, pid: int | None) -> Unavailable:
    return Unavailable(
        f"{data} is in use: `fulfillment up` already runs there (pid {pid}). "
        "Check it with `fulfillment status`, stop it with `fulfillment down`, or set FULFILLMENT_DATA to another "
        "directory."
    )


def supervisors(data: Path) -> list[int]:
    """Return the pids of the supervisors that run for `data`: at most one, unless files were deleted or moved."""
    return [*([pid] if (pid := supervisor(data)) else []), *strays(data)]


def supervisor(data: Path) -> int | None:
    """Return the pid of the supervisor that holds `data`; None if there is none."""
    try:
        handle = os.open(lock_file(data), os.O_RDONLY)  # works on a read-only disk, too
    except OSError:
        return None
    try:
        fcntl.flock(
            handle, fcntl.LOCK_SH | fcntl.LOCK_NB
        )  # shared, so that commands that check at the same time do not see each other
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
    """Return the pid of the lock's holder: the one written in it if that process holds it, else another that does."""
    written, found = _pid_in(data), [pid for pid in holders(data) if pid != os.getpid()]
    return written if written in found or not found else found[0]


def _pid_in(data: Path) -> int | None:
    with suppress(OSError, ValueError):
        return int(lock_file(data).read_text())
    return None
