"""Keep child processes running: restart them after increasing pauses, and stop them in order."""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from ops.stack.lifeline import tied_to_parent
from ops.stack.logs import last_lines, rotated
from ops.stack.state import Phase, Process, started

FIRST_PAUSE, LONGEST_PAUSE, HEALTHY_AFTER = 0.2, 10.0, 30.0  # seconds


@dataclass(frozen=True, slots=True)
class Program:
    """A command, the log for its output, and the signal it gets if its supervisor is killed."""

    name: str
    role: str
    command: tuple[str, ...]
    log: Path
    port: int | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    orphan_signal: signal.Signals = signal.SIGKILL


class Child:
    """One program that is restarted whenever it ends, until it is asked to stop."""

    def __init__(self, program: Program, changed: Callable[[], None], longest_pause: float = LONGEST_PAUSE) -> None:
        self.program, self._longest_pause = program, longest_pause
        self.record = Process(name=program.name, role=program.role, port=program.port)
        self._changed = changed
        self._stopping = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None
        self._kept = asyncio.create_task(self._keep(), name=program.name)

    def ask(self) -> None:
        """Ask it to stop (SIGTERM), and do not restart it."""
        self._stopping.set()
        self._signal(signal.SIGTERM)

    async def stopped(self, deadline: float) -> None:
        """Wait until it has ended; after `deadline` (loop time), kill it and all processes it started."""
        with suppress(TimeoutError):
            async with asyncio.timeout_at(deadline):
                await asyncio.shield(self._kept)
        self._signal(signal.SIGKILL)
        await self._kept

    async def _keep(self) -> None:
        pause = FIRST_PAUSE
        while not self._stopping.is_set():
            began = time.monotonic()
            await self._run()
            if self._stopping.is_set():
                break
            pause = FIRST_PAUSE if time.monotonic() - began >= HEALTHY_AFTER else pause
            self._note(state="restarting", restarts=self.record.restarts + 1, said=last_lines(self.program.log, 1))
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)
            pause = min(2 * pause, self._longest_pause)
        self._note(state="stopped")

    async def _run(self) -> None:
        try:
            self._process = process = await self._spawn()
        except OSError as error:
            return _append(self.program.log, f"cannot be started: {error}")
        if self._stopping.is_set():  # a stop was requested during the fork
            self._signal(signal.SIGTERM)
        self._note(state="running", pid=process.pid, started=_started(process.pid))
        code = await process.wait()
        with suppress(ProcessLookupError):  # processes that it started and left behind
            os.killpg(process.pid, signal.SIGKILL)
        self._process = None
        self._note(pid=None, started=None, code=code)

    async def _spawn(self) -> asyncio.subprocess.Process:
        with rotated(self.program.log).open("ab") as log:
            return await asyncio.create_subprocess_exec(
                *self.program.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.program.environment},
                start_new_session=True,  # Ctrl-C in a terminal reaches the supervisor alone
                preexec_fn=tied_to_parent(self.program.orphan_signal),
            )

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                if number == signal.SIGKILL:
                    os.killpg(self._process.pid, number)
                else:
                    self._process.send_signal(number)

    def _note(self, **facts: object) -> None:
        self.record = self.record.model_copy(update=facts)
        self._changed()


class Supervisor:
    """The children of one stack; `changed` is called with their records whenever one changes.

    A child that keeps ending is restarted after a pause that doubles each time, up to `longest_pause` seconds.
    """

    def __init__(self, changed: Callable[[list[Process], Phase], None], longest_pause: float = LONGEST_PAUSE) -> None:
        self._longest_pause = longest_pause
        self._children: list[Child] = []
        self._external: list[Process] = []
        self._changed = changed
        self.phase: Phase = "starting"

    def start(self, program: Program) -> Child:
        """Start `program` and keep it running."""
        child = Child(program, self._report, self._longest_pause)
        self._children.append(child)
        return child

    def reached(self, phase: Phase) -> None:
        """Record the phase of the start."""
        self.phase = phase
        self._report()

    def external(self, process: Process) -> None:
        """Record a server of the stack that was not started here."""
        self._external.append(process)
        self._report()

    async def stop(self, stages: tuple[Callable[[Program], bool], ...], within: float = 9.0) -> None:
        """Stop the children stage by stage; each stage has an equal share of `within` seconds."""
        for belongs in stages:
            deadline = asyncio.get_running_loop().time() + within / len(stages)
            stage = [child for child in self._children if belongs(child.program)]
            for child in stage:
                child.ask()
            await asyncio.gather(*(child.stopped(deadline) for child in stage))

    def _report(self) -> None:
        self._changed([*self._external, *(child.record for child in self._children)], self.phase)


def _started(pid: int) -> float | None:
    with suppress(psutil.Error):
        return started(psutil.Process(pid))
    return None


def _append(log: Path, line: str) -> None:
    with suppress(OSError), log.open("a") as output:
        output.write(f"{line}\n")
