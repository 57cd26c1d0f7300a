"""`fulfillment up` and `down`: the whole system on one machine, started in order and stopped in order."""

import asyncio
import os
import resource
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

import psutil

from ops.errors import Unavailable, file_error
from ops.stack import state
from ops.stack.status import collect
from ops.stack.stores import STORES, Say, start_kafka, start_mongod
from ops.stack.supervisor import Program, Supervisor
from ops.stack.workers import workers
from streams.runtime import disk
from streams.runtime.settings import Settings

LEAST_FREE_BYTES = 256 << 20
STOP_SECONDS = 9.0
DISK_SECONDS = 2.0

# Workers end before what they write to.
STAGES: tuple[Callable[[Program], bool], ...] = (
    lambda program: program.role not in STORES,
    lambda program: program.role in STORES,
)


async def run(settings: Settings, counts: Mapping[str, int], say: Say) -> None:
    """Run the stack until SIGINT or SIGTERM, then stop it."""
    with state.locked(settings.data):
        _prepare(settings)
        supervisor = Supervisor(lambda processes, phase: _record(settings, processes, phase), settings.restart_pause)
        stop = _stop_signal()
        starting = asyncio.create_task(_start(settings, counts, supervisor, say))
        watching = asyncio.create_task(_watch_disk(settings, say))
        try:
            await asyncio.wait({starting, stop}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
            await stop
            say("stopping")
        finally:
            for task in (starting, watching):
                task.cancel()
            await asyncio.gather(starting, watching, return_exceptions=True)
            await supervisor.stop(STAGES, STOP_SECONDS)
            with suppress(OSError):
                state.state_file(settings.data).unlink(missing_ok=True)


async def _watch_disk(settings: Settings, say: Say) -> None:
    """Say that the disk is full, and that it is not any more."""
    before: str | None = None
    while True:
        full = disk.full(settings.data)
        if (full is None) != (before is None):
            with suppress(OSError):  # where it is said may be on that disk
                say(full or "there is room on the disk again")
        before = full
        await asyncio.sleep(DISK_SECONDS)


async def _start(settings: Settings, counts: Mapping[str, int], supervisor: Supervisor, say: Say) -> None:
    began = time.monotonic()
    try:
        async with asyncio.TaskGroup() as stores:
            stores.create_task(start_kafka(settings, supervisor, say))
            stores.create_task(start_mongod(settings, supervisor, say))
    except ExceptionGroup as group:
        raise group.exceptions[0] from None
    await ensure_topics(settings)
    for program in workers(settings, counts):
        supervisor.start(program)
    supervisor.reached("complete")
    await until_ready(settings, say)
    supervisor.reached("ready")
    say(f"ready after {time.monotonic() - began:.1f} s")


async def ensure_topics(settings: Settings) -> list[str]:
    """Create the topics that are missing and return their names; Unavailable when one is not as we need it."""
    from streams import topics

    try:
        return await topics.ensure_topics(settings)
    except topics.TopicMismatch as error:
        raise Unavailable(str(error)) from error


async def until_ready(settings: Settings, say: Say, remind_seconds: float = 5.0) -> None:
    """Wait until every process answers that it is ready, and say now and then which ones do not."""
    reminded = time.monotonic()
    while not (status := await collect(settings)).ready:
        if time.monotonic() - reminded > remind_seconds:
            reminded = time.monotonic()
            say("waiting for " + "; ".join(each.complaint for each in status.processes if not each.ready))
        await asyncio.sleep(0.3)


def down(settings: Settings, within: float = 10.0) -> int:
    """Stop the stack of `settings.data` and return how many processes were ended; 0 when none ran."""
    ended = 0
    for pid in state.supervisors(settings.data):
        with suppress(psutil.NoSuchProcess):
            supervisor = psutil.Process(pid)
            children = supervisor.children()
            ended += 1 + len(children)
            _end([supervisor], within)
            _end([child for child in children if child.is_running()], 5.0)
    return ended + end_leftovers(settings)


def end_leftovers(settings: Settings) -> int:
    """End what a killed supervisor left running in `settings.data`, and return how many processes that were."""
    stack = state.read(settings.data)
    left = [found for process in (stack.processes if stack else ()) if (found := state.running(process))]
    _end(left, 5.0)
    with suppress(OSError):  # where nothing may be written, it says what no longer runs
        state.state_file(settings.data).unlink(missing_ok=True)
    return len(left)


def _end(processes: list[psutil.Process], within: float) -> None:
    for process in processes:
        try:
            process.terminate()
        except psutil.NoSuchProcess:
            continue
        except psutil.AccessDenied as error:
            raise Unavailable(
                f"Process {process.pid} is another user's ({_owner(process)}): stop it as that user."
            ) from error
    left = psutil.wait_procs(processes, timeout=within)[1]
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(left, timeout=2)  # whose parent does not look after it stays a zombie, and runs no more


def _owner(process: psutil.Process) -> str:
    with suppress(psutil.Error):
        return str(process.username())
    return "unknown"


def _prepare(settings: Settings) -> None:
    """Make sure the data directory can be used, and that children may open the files they need."""
    end_leftovers(settings)
    refuse_full_disk(settings)
    try:
        (settings.data / "logs").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise file_error(error, settings.data) from error
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def refuse_full_disk(settings: Settings) -> None:
    """Raise Unavailable when there is too little room where the data is to be."""
    if (free := psutil.disk_usage(str(settings.data)).free) < LEAST_FREE_BYTES:
        raise Unavailable(
            f"The disk is full: {free >> 20} MiB are free where {settings.data} is, and Kafka and MongoDB need at "
            f"least {LEAST_FREE_BYTES >> 20}. Free some space or set FULFILLMENT_DATA."
        )


def _record(settings: Settings, processes: list[state.Process], phase: state.Phase) -> None:
    stack = state.Stack(pid=os.getpid(), host=settings.http_host, phase=phase, processes=processes)
    with suppress(OSError):  # a full disk must not end the supervisor
        state.write(stack, settings.data)


def _stop_signal() -> "asyncio.Future[None]":
    """Return a future that is done when this process is asked to stop."""
    loop = asyncio.get_running_loop()
    asked: asyncio.Future[None] = loop.create_future()

    def ask() -> None:
        if not asked.done():
            asked.set_result(None)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, ask)
    return asked
