"""`fulfillment up`, as a person meets it: in the terminal until Ctrl-C, or in the background once all is ready."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console

from ops.errors import CommandFailed, Unavailable, file_error
from ops.stack import state
from ops.stack import up as stack
from ops.stack.logs import log_of
from ops.stack.status import collect
from ops.stack.workers import count_workers, environment
from streams.runtime.settings import Settings


class Interrupted(CommandFailed):
    """Ctrl-C, or SIGTERM, while the stack was being started."""

    exit_code = 130


def foreground(settings: Settings, workers: str) -> None:
    """Run the stack in this process until Ctrl-C, SIGTERM or `fulfillment down`."""
    console = Console(highlight=False, soft_wrap=True)
    counts = count_workers(workers, settings.roles)

    def say(line: str) -> None:
        console.print(line, markup=False)
        if line.startswith("ready"):
            console.print(_where(settings), markup=False)

    asyncio.run(stack.run(settings, counts, say))
    say("stopped")


def detached(settings: Settings, workers: str, wait: float) -> None:
    """Start the supervisor in the background and return when everything is ready."""
    count_workers(workers, settings.roles)
    state.refuse_running(settings.data)  # before its log is written over
    log = log_of(settings.data, "supervisor")
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise file_error(error, log.parent) from error
    stack.refuse_full_disk(settings)  # the supervisor could not even write down why it stops
    supervisor = _launch(settings, workers, log)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        _await_ready(settings, supervisor, log, wait)
    except KeyboardInterrupt:  # it would go on starting in the background
        supervisor.terminate()
        supervisor.wait()
        raise Interrupted("interrupted: what had been started was stopped again") from None
    finally:
        signal.signal(signal.SIGTERM, before)
    Console(highlight=False, soft_wrap=True).print(_where(settings), markup=False)


def _await_ready(settings: Settings, supervisor: "subprocess.Popen[bytes]", log: Path, wait: float) -> None:
    deadline = time.monotonic() + wait
    while not ((current := state.read(settings.data)) and (current.pid, current.phase) == (supervisor.pid, "ready")):
        if supervisor.poll() is not None:
            state.refuse_running(settings.data)  # another `up` was quicker, and writes to the same log
            raise Unavailable(log.read_text(errors="replace").strip() or f"The supervisor stopped; see {log}.")
        for process in current.processes if current else ():
            if process.hopeless:
                why = process.hopeless.rstrip(".")
                raise Unavailable(f"{process.name} cannot start: {why}. `fulfillment down` stops the others.")
        if time.monotonic() > deadline:
            status = asyncio.run(collect(settings))
            waiting = "; ".join(each.complaint for each in status.processes if not each.ready)
            what = waiting or "nothing runs yet"
            raise Unavailable(
                f"Not ready after {wait:.0f} s: {what}. It goes on trying: see {log.parent}, or stop it "
                "with `fulfillment down`."
            )
        time.sleep(0.1)


def _launch(settings: Settings, workers: str, log: Path) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "ops.cli", "up", "--workers", workers]
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


def _where(settings: Settings) -> str:
    host = f"[{settings.http_host}]" if ":" in settings.http_host else settings.http_host
    return f"API: http://{host}:{settings.http_port}   logs: {settings.data / 'logs'}   stop: fulfillment down"
