"""The supervisor, with real processes."""

import asyncio
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest
from helpers_ops import until
from system import PATIENCE_SECONDS

from ops.stack import supervisor as module
from ops.stack.state import Phase, Process
from ops.stack.supervisor import Child, Program, Supervisor

pytestmark = pytest.mark.usefixtures("processes")

SLEEPS = "import signal; print('up', flush=True); signal.pause()"
DEAF = (
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True)\nwhile True: signal.pause()"
)
REFUSES = "import sys, time; print(time.monotonic()); print('FULFILLMENT_X: is wrong', flush=True); sys.exit(78)"


def program(tmp_path: Path, code: str, name: str = "p", role: str = "orders", **environment: str) -> Program:
    return Program(name, role, (sys.executable, "-c", code), tmp_path / f"{name}.log", environment=environment)


def log(child: Child) -> str:
    return child.program.log.read_text() if child.program.log.exists() else ""


@asynccontextmanager
async def supervising(longest_pause: float = 10.0) -> AsyncIterator[Supervisor]:
    supervisor = Supervisor(lambda processes, phase: None, longest_pause)
    try:
        yield supervisor
    finally:
        await supervisor.stop((lambda program: True,), within=2)


async def test_a_killed_process_is_back_at_once(tmp_path: Path) -> None:
    async with supervising() as supervisor:
        child = supervisor.start(program(tmp_path, SLEEPS))
        await until(lambda: "up" in log(child))
        killed = child.record.pid
        assert killed
        os.kill(killed, signal.SIGKILL)
        await until(lambda: log(child).count("up") == 2)
        assert child.record.pid != killed
        assert (child.record.restarts, child.record.state) == (1, "running")
        assert not child.record.hopeless


async def test_a_crash_loop_pauses_longer_each_time_and_keeps_the_last_words(tmp_path: Path) -> None:
    async with supervising() as supervisor:
        child = supervisor.start(program(tmp_path, REFUSES))
        await until(lambda: child.record.restarts >= 4)
        starts = [float(line) for line in log(child).splitlines() if line[0].isdigit()]
        pauses = [after - before for before, after in itertools.pairwise(starts)]
        assert [pause >= least for pause, least in zip(pauses, (0.2, 0.4, 0.8), strict=False)] == [True] * 3
        assert child.record.said == "FULFILLMENT_X: is wrong"
        assert (child.record.state, child.record.pid) == ("restarting", None)
        assert child.record.hopeless == "FULFILLMENT_X: is wrong", "exit code 78: starting it again does not help"


MANY = 12  # starts in a row; if each pause were twice as long as the one before, they would outlast `until`


async def test_no_pause_is_longer_than_is_set(tmp_path: Path) -> None:
    async with supervising(longest_pause=0.05) as supervisor:
        child = supervisor.start(program(tmp_path, REFUSES))
        await until(lambda: log(child).count("FULFILLMENT_X") >= MANY)


async def test_after_a_healthy_run_the_pause_is_short_again(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(module, "HEALTHY_AFTER", 0.0)
    async with supervising(longest_pause=10 * PATIENCE_SECONDS) as supervisor:
        child = supervisor.start(program(tmp_path, REFUSES))
        await until(lambda: child.record.restarts >= MANY)


async def test_a_program_that_cannot_be_started_says_so_and_is_retried(tmp_path: Path) -> None:
    async with supervising() as supervisor:
        child = supervisor.start(Program("p", "orders", (str(tmp_path / "missing"),), tmp_path / "p.log"))
        await until(lambda: child.record.restarts >= 2)
        assert "cannot be started" in child.record.said


async def test_children_get_their_environment(tmp_path: Path) -> None:
    code = "import os, signal; print(os.environ['FULFILLMENT_INSTANCE'], flush=True); signal.pause()"
    async with supervising() as supervisor:
        child = supervisor.start(program(tmp_path, code, FULFILLMENT_INSTANCE="7"))
        await until(lambda: log(child).strip() == "7")
        assert os.getsid(child.record.pid or 0) == child.record.pid  # Ctrl-C does not reach it


async def test_stopping_kills_who_does_not_listen_and_whom_they_left_behind(tmp_path: Path) -> None:
    nests = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {DEAF!r}])\n{DEAF}"
    supervisor = Supervisor(lambda processes, phase: None)
    child = supervisor.start(program(tmp_path, nests))
    await until(lambda: log(child).count("up") == 2)
    family = [psutil.Process(child.record.pid), *psutil.Process(child.record.pid).children()]
    await asyncio.wait_for(supervisor.stop((lambda program: True,), within=0.5), PATIENCE_SECONDS)
    await until(lambda: not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in family))
    assert child.record.state == "stopped"


async def test_stages_stop_one_after_the_other(tmp_path: Path) -> None:
    ends = tmp_path / "ends"
    code = (
        "import os, signal, sys\n"
        f"signal.signal(signal.SIGTERM, lambda *_: (open({str(ends)!r}, 'a').write(os.environ['ME']), sys.exit()))\n"
        "print('up', flush=True)\nwhile True: signal.pause()"
    )
    supervisor = Supervisor(lambda processes, phase: None)
    store = supervisor.start(program(tmp_path, code, "kafka", "kafka", ME="store "))
    worker = supervisor.start(program(tmp_path, code, "orders-0", ME="worker "))
    await until(lambda: "up" in log(store) and "up" in log(worker))
    await supervisor.stop((lambda p: p.role != "kafka", lambda p: p.role == "kafka"), within=PATIENCE_SECONDS)
    assert ends.read_text() == "worker store "


async def test_a_process_that_is_waiting_to_be_restarted_stops_too(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE", PATIENCE_SECONDS)
    supervisor = Supervisor(lambda processes, phase: None)
    child = supervisor.start(program(tmp_path, REFUSES))
    await until(lambda: child.record.restarts >= 1)
    began = time.monotonic()
    await supervisor.stop((lambda program: True,), within=PATIENCE_SECONDS)
    assert time.monotonic() - began < PATIENCE_SECONDS / 2


async def test_every_change_is_told(tmp_path: Path) -> None:
    told: list[tuple[list[Process], Phase]] = []
    supervisor = Supervisor(lambda processes, phase: told.append((processes, phase)))
    supervisor.external(Process(name="kafka", role="kafka", state="external"))
    supervisor.start(program(tmp_path, SLEEPS))
    supervisor.reached("complete")
    await until(lambda: told[-1][0][-1].state == "running")
    await supervisor.stop((lambda program: True,), within=PATIENCE_SECONDS)
    assert [process.state for process in told[-1][0]] == ["external", "stopped"]
    assert told[-1][1] == "complete"


async def test_a_killed_supervisor_takes_its_children_with_it(tmp_path: Path) -> None:
    script = (
        "import asyncio, sys\nfrom pathlib import Path\nfrom ops.stack.supervisor import Program, Supervisor\n"
        "async def main():\n"
        "    told = lambda processes, phase: print(processes[0].pid, flush=True)\n"
        f"    command = (sys.executable, '-c', {DEAF!r})\n"
        f"    Supervisor(told).start(Program('p', 'orders', command, Path({str(tmp_path)!r}) / 'p'))\n"
        "    await asyncio.Event().wait()\n"
        "asyncio.run(main())"
    )
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", script, stdout=subprocess.PIPE)
    assert parent.stdout
    child = psutil.Process(int(await parent.stdout.readline()))
    await until(lambda: (tmp_path / "p").read_text())
    parent.kill()
    await parent.wait()
    await until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)
