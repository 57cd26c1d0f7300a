"""Start the stack as a background process, and follow its progress until everything is ready."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

from ops.errors import CommandFailed, Unavailable, file_error
from ops.stack import state, up
from ops.stack.cluster import Size
from ops.stack.logs import log_of
from ops.stack.servers import Say
from ops.stack.status import collect
from ops.stack.workers import count_workers, environment
from streams.runtime.settings import Settings

LOOK_SECONDS = 0.1
STOP_SECONDS = up.STOP_SECONDS + 3.0  # a supervisor needs more only if a download or another process blocks it
INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(CommandFailed):
    """The command was interrupted while the stack was starting."""

    exit_code = 130


def start(settings: Settings, workers: str, wait: float, say: Say, size: Size = up.ONE_EACH) -> None:
    """Start the supervisor in the background and return when everything is ready.

    An interrupt stops the stack again. Signals set a flag instead of raising an exception: an exception could leave
    a supervisor that was started but is not known yet.
    """
    count_workers(workers, settings.roles)
    size.settings(settings)
    state.refuse_running(settings.data)  # before the log of a running stack is overwritten
    log = log_of(settings.data, "supervisor")
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise file_error(error, log.parent) from error
    up.refuse_full_disk(settings)  # on a full disk the supervisor could not even log why it stops
    with _interrupts() as interrupted:
        supervisor = _launch(settings, workers, size, log)
        say(f"starting in the background, log: {log}")
        if not _await_ready(settings, supervisor, log, wait, say, interrupted):
            say("interrupted, stopping")
            _stop(supervisor)
            raise Interrupted("Interrupted: everything that was started has been stopped.")


def _stop(supervisor: "subprocess.Popen[bytes]") -> None:
    """Stop the supervisor; kill it if it does not stop in time, which ends its children as well."""
    supervisor.terminate()
    try:
        supervisor.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        supervisor.kill()
        supervisor.wait()


@contextmanager
def _interrupts() -> Iterator[Event]:
    """Give an event that is set by the signals that ask this process to stop; ignored ones stay ignored (`nohup`)."""
    interrupted = Event()
    heeded = [number for number in INTERRUPTS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, lambda *_: interrupted.set()) for number in heeded}
    try:
        yield interrupted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _await_ready(
    settings: Settings, supervisor: "subprocess.Popen[bytes]", log: Path, wait: float, say: Say, interrupted: Event
) -> bool:
    """Report progress until everything is ready; return False if the wait was interrupted."""
    deadline, reported = time.monotonic() + wait, list[str]()
    while not interrupted.wait(LOOK_SECONDS):
        stack = state.read(settings.data)
        if stack is not None and stack.pid == supervisor.pid:
            for line in stack.messages[len(reported) :]:
                say(line)
            reported = stack.messages
            if stack.phase == "ready":
                return True
            _refuse_hopeless(stack)
        if supervisor.poll() is not None:
            state.refuse_running(settings.data)  # another `up` was faster, and writes to the same log
            raise Unavailable(_error_in(log, reported))
        if time.monotonic() > deadline:
            raise _not_ready(settings, log, wait)
    return False


def _refuse_hopeless(stack: state.Stack) -> None:
    for process in stack.processes:
        if process.hopeless:
            why = process.hopeless.rstrip(".")
            raise Unavailable(f"{process.name} cannot start: {why}. Stop the other processes with `fulfillment down`.")


def _not_ready(settings: Settings, log: Path, wait: float) -> Unavailable:
    status = asyncio.run(collect(settings))
    waiting = "; ".join(each.complaint for each in status.processes if not each.ready) or "no process has started"
    return Unavailable(
        f"The stack is not ready after {wait:.0f} s: {waiting}. It keeps starting in the background: see {log.parent}, "
        "or stop it with `fulfillment down`."
    )


def _error_in(log: Path, reported: list[str]) -> str:
    """Return the error with which the supervisor stopped: its log without the messages already reported."""
    lines = log.read_text(errors="replace").strip().splitlines()
    error = "\n".join(line for line in lines if line not in reported)
    return error or f"The supervisor stopped without an error message; see {log}."


def _launch(settings: Settings, workers: str, size: Size, log: Path) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "ops.cli", "up", "--workers", workers, *size.arguments()]
    try:
        with log.open("wb") as output:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **environment(settings)},
                start_new_session=True,
            )
    except OSError as error:
        raise file_error(error, log) from error
