"""Jobs that several processes do: results, progress, and what happens if one fails or the command is killed."""

import asyncio
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
from system import PATIENCE_SECONDS, eventually

from ops.errors import Unavailable
from ops.pool import TASKS, Say, SharedNumber, pool, shared_number, waiting

pytestmark = pytest.mark.usefixtures("processes")

PROCESSES = 2
ENDED = "A process ended: run the command again."


@asynccontextmanager
async def opened(say: Say) -> AsyncIterator[Say]:
    yield say


@dataclass
class Square:
    """A job with a result and one step."""

    number: int

    async def run(self, say: Say) -> tuple[int, int]:
        say(1)
        return self.number * self.number, os.getpid()


class Failing:
    """A job that finds no Kafka."""

    async def run(self, say: Say) -> Any:
        raise Unavailable("Kafka is gone")


class Endless:
    """A job that waits in a thread and does not stop."""

    async def run(self, say: Say) -> Any:
        say(1)
        await asyncio.to_thread(threading.Event().wait)


class Ending:
    """A job that ends its process."""

    async def run(self, say: Say) -> Any:
        os._exit(3)


@pytest.mark.parametrize("count", [1, PROCESSES])
async def test_results_are_in_the_order_of_the_jobs(count: int) -> None:
    steps = list[int]()
    async with pool(opened, count, steps.append, ENDED) as doing:
        for _ in range(2):
            found = await asyncio.wait_for(doing.do(map(Square, range(20))), PATIENCE_SECONDS)
            assert [result for result, _ in found] == [number * number for number in range(20)]
            assert {pid == os.getpid() for _, pid in found} == {count == 1}
        assert await doing.do([]) == []
    assert sum(steps) == 40


@pytest.mark.parametrize("others", [0, PROCESSES * TASKS - 1], ids=["others are idle", "others are busy"])
async def test_a_job_that_fails_ends_all_others(others: int) -> None:
    async with pool(opened, PROCESSES, lambda steps: None, ENDED) as doing:
        with pytest.raises(Unavailable, match="Kafka is gone"):
            await asyncio.wait_for(doing.do([Failing(), *(Endless() for _ in range(others))]), PATIENCE_SECONDS)


async def test_nothing_is_forked_while_other_threads_run() -> None:
    with ThreadPoolExecutor(1) as executor:
        executor.submit(os.getpid).result()
        with waiting(PROCESSES) as forked:
            assert forked is None


async def test_a_process_that_ends_is_a_failure() -> None:
    async with pool(opened, PROCESSES, lambda steps: None, ENDED) as doing:
        with pytest.raises(Unavailable, match="run the command again"):
            await asyncio.wait_for(doing.do([Endless(), Ending()]), PATIENCE_SECONDS)


@dataclass
class Counting:
    """A job that adds to a number."""

    async def run(self, number: SharedNumber) -> None:
        number.value += 1


@asynccontextmanager
async def numbered(number: SharedNumber, say: Say) -> AsyncIterator[SharedNumber]:
    yield number


async def test_processes_share_a_number() -> None:
    with shared_number(40.0) as number:
        async with pool(partial(numbered, number), PROCESSES, lambda steps: None, ENDED) as doing:
            for _ in range(2):  # in turn, because an addition is a reading and a writing
                await asyncio.wait_for(doing.do([Counting()]), PATIENCE_SECONDS)
        assert number.value == 42.0


@pytest.mark.parametrize("how", ["forked", "started"])
async def test_processes_end_with_a_command_that_is_killed(tmp_path: Path, how: str) -> None:
    pids = tmp_path / "pids"
    command = [sys.executable, __file__, how, str(pids)]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    killed = await asyncio.to_thread(subprocess.run, command, env=env, timeout=PATIENCE_SECONDS, check=False)
    assert killed.returncode == -signal.SIGKILL
    children = json.loads(pids.read_text())

    async def running() -> list[int]:
        return [pid for pid in children if is_running(pid)]

    assert len(children) == PROCESSES
    await eventually(running, lambda left: not left)


def is_running(pid: int) -> bool:
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


async def be_killed(how: str, pids: Path) -> None:
    """Do endless jobs, write the ids of the processes once all jobs have begun, and die."""
    begun = 0

    def say(steps: int) -> None:
        nonlocal begun
        begun += steps
        if begun == PROCESSES * TASKS:
            pids.write_text(json.dumps([each.pid for each in multiprocessing.active_children()]))
            os.kill(os.getpid(), signal.SIGKILL)

    with waiting(PROCESSES) if how == "forked" else nullcontext() as forked:
        assert (forked is not None) == (how == "forked")
        async with pool(opened, PROCESSES, say, ENDED, forked=forked) as doing:
            await doing.do([Endless() for _ in range(PROCESSES * TASKS)])


if __name__ == "__main__":
    asyncio.run(be_killed(sys.argv[1], Path(sys.argv[2])))
