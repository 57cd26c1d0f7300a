"""Do jobs in several processes, which end with this one, even after kill -9.

A process takes the next job when it is done with one, so that all of them are busy until the end. Jobs, their results,
and the function that opens what they work with are pickled.

A new process needs a second of CPU time for its imports. A command that begins with `waiting` forks its processes
instead, which have them already. This is safe only as long as nothing runs in another thread; otherwise, as in tests,
the pool starts new ones.
"""

import asyncio
import gc
import mmap
import multiprocessing
import os
import queue
import signal
import struct
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, Generic, NamedTuple, Protocol, TypeAlias, TypeVar

from ops.errors import CommandFailed, Unavailable, external_failure

SMALL = 20_000  # steps; for fewer, starting processes takes longer than it saves
LOOK_SECONDS = 0.1
THREADS = Path("/proc/self/task")  # has a folder for each thread, also for those of libraries; Linux only
TASKS = 2  # number in a process: while one waits for Kafka or MongoDB, the other computes
_NUMBER = struct.Struct("d")
OBJECTS = 500_000  # that are created before the garbage collector runs

W = TypeVar("W")
W_contra = TypeVar("W_contra", contravariant=True)
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
Say: TypeAlias = Callable[[int], None]  # reports how many more steps are done
Open: TypeAlias = Callable[[Say], AbstractAsyncContextManager[W]]  # opens what the jobs of a process work with


class Job(Protocol[W_contra, R_co]):
    """A piece of work, which one process does."""

    async def run(self, work: W_contra) -> R_co:
        """Do it with the connections of the process."""


class Done(NamedTuple):
    """The result of the job with a number."""

    number: int
    result: Any


def processes_for(steps: int, jobs: int) -> int:
    """Return how many processes do `jobs` with this number of steps in all; 1 is this one."""
    return most_processes(jobs) if steps > SMALL else 1


def most_processes(jobs: int) -> int:
    """Return how many processes do `jobs`, however many steps these have."""
    return max(min(os.cpu_count() or 1, jobs), 1)


@dataclass
class SharedNumber:
    """A number that processes share: it is in a file, whose name is all that is pickled."""

    file: str

    @cached_property
    def _memory(self) -> mmap.mmap:
        with open(self.file, "r+b") as file:
            return mmap.mmap(file.fileno(), _NUMBER.size)

    @property
    def value(self) -> float:
        """The number."""
        found: float = _NUMBER.unpack_from(self._memory)[0]
        return found

    @value.setter
    def value(self, value: float) -> None:
        _NUMBER.pack_into(self._memory, 0, value)

    def __reduce__(self) -> tuple[type["SharedNumber"], tuple[str]]:
        return SharedNumber, (self.file,)


@contextmanager
def shared_number(value: float) -> Iterator[SharedNumber]:
    """Give a number that the processes of a pool share if `opens` contains it."""
    with NamedTemporaryFile(prefix="fulfillment-") as file:
        file.write(_NUMBER.pack(value))
        file.flush()
        yield SharedNumber(file.name)


class Queues:
    """The queues between this process and others: jobs, what they report, and the order to begin."""

    def __init__(self, how: str) -> None:
        self.context: Any = multiprocessing.get_context(how)
        self.todo, self.said, self.begin = self.context.Queue(), self.context.Queue(), self.context.SimpleQueue()

    def start(self, count: int) -> list[Any]:
        """Return processes that wait until they are told to begin."""
        processes = [self.context.Process(target=_run, args=(self,), daemon=True) for _ in range(count)]
        for process in processes:
            process.start()
        return processes

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"context": None}


@dataclass
class Waiting:
    """Processes that were forked and wait for a pool."""

    queues: Queues
    processes: list[Any]


@contextmanager
def waiting(count: int | None = None) -> Iterator[Waiting | None]:
    """Fork a process per core, or `count`, before anything is opened; None where that is not possible, or not needed.

    Processes that no pool takes end with the context.
    """
    count = count or os.cpu_count() or 1
    if count == 1 or not _may_fork():
        yield None
        return
    queues = Queues("fork")
    processes = queues.start(count)
    try:
        yield Waiting(queues, processes)
    finally:
        _end(processes)


def _may_fork() -> bool:
    """Return whether this process has a single thread, so that no lock can be held in a copy of it."""
    return THREADS.exists() and len(list(THREADS.iterdir())) == 1


def _end(processes: Iterable[Any]) -> None:
    for process in processes:
        process.terminate()
        process.join()


@dataclass
class Alone(Generic[W]):
    """Does jobs in this process."""

    opens: Open[W]
    say: Say

    async def do(self, jobs: Iterable[Job[W, R]]) -> list[R]:
        """Do jobs one after the other, and return their results."""
        async with self.opens(self.say) as work:
            return [await job.run(work) for job in jobs]


@dataclass
class Pool(Generic[W]):
    """Does jobs in several processes; `ended`: the failure if one of them ends."""

    processes: Sequence[Any]
    todo: Any
    said: Any
    say: Say
    ended: str

    async def do(self, jobs: Iterable[Job[W, R]]) -> list[R]:
        """Do jobs, and return their results when all are done; raise the error of the first one that failed."""
        count, done = 0, dict[int, R]()
        for job in jobs:
            self.todo.put((count, job))
            count += 1
        while len(done) < count:
            self._listen(done)
            if len(done) < count and any(process.exitcode is not None for process in self.processes):
                self._listen(done)  # it may have sent something before it ended
                raise Unavailable(self.ended)
            await asyncio.sleep(LOOK_SECONDS)
        return [done[number] for number in range(count)]

    def _listen(self, done: dict[int, Any]) -> None:
        """Pass on progress, and add results; raise the error of a job that failed."""
        while True:
            try:
                what = self.said.get_nowait()
            except queue.Empty:
                return
            if isinstance(what, CommandFailed):
                raise what
            if isinstance(what, Done):
                done[what.number] = what.result
            else:
                self.say(what)


@asynccontextmanager
async def pool(
    opens: Open[W], count: int, say: Say, ended: str, *, tasks: int = TASKS, forked: Waiting | None = None
) -> AsyncIterator[Pool[W] | Alone[W]]:
    """Open a pool of `count` processes, each of which does `tasks` jobs in turn; with 1, this process does them.

    `ended`: the sentence that says what to do if a process ends; `forked`: processes that are used if they suffice.
    """
    if count == 1:
        yield Alone(opens, say)
        return
    if forked is not None and len(forked.processes) >= count:
        queues, processes = forked.queues, forked.processes[:count]
    else:
        queues = Queues("spawn")
        processes = queues.start(count)
    try:
        for _ in processes:
            queues.begin.put((opens, tasks))
        yield Pool(processes, queues.todo, queues.said, say, ended)
    finally:
        _end(processes)
        queues.todo.cancel_join_thread()


def _run(queues: Queues) -> None:
    """Do jobs in a process of its own until it is ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent process handles the interrupt
    threading.Thread(target=_end_with_parent, daemon=True).start()
    gc.freeze()
    gc.set_threshold(OBJECTS)  # by default, it often visits all records in memory, and finds few cycles
    opens, tasks = queues.begin.get()
    said = queues.said
    try:
        asyncio.run(_work(opens, queues.todo, said, tasks))
    except* Exception as errors:
        if not _report(said, errors.exceptions[0]):
            raise
        said.close()
        said.join_thread()


def _report(said: Any, error: Exception) -> bool:
    """Send the failure that an error means; return False for an unexpected error."""
    failure = error if isinstance(error, CommandFailed) else external_failure(error)
    if failure is not None:
        said.put(failure)
    return failure is not None


def _end_with_parent() -> None:
    """End this process when its parent is gone, so that it does not write what the next command writes."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


async def _work(opens: Open[Any], todo: Any, said: Any, tasks: int) -> None:
    async with opens(said.put) as work, asyncio.TaskGroup() as group:
        for _ in range(tasks):
            group.create_task(_take(todo, said, work))


async def _take(todo: Any, said: Any, work: Any) -> None:
    """Do one job after the other. It never waits in a thread, because this process could not end then."""
    while True:
        try:
            number, job = todo.get_nowait()
        except queue.Empty:
            await asyncio.sleep(LOOK_SECONDS)
            continue
        try:
            result = await job.run(work)
        except Exception as error:
            _report(said, error)  # now, because the other tasks may take long to end
            raise
        said.put(Done(number, result))
