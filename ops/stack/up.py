"""Run the whole system on one machine: start it in order, keep it running, stop it in order."""

import asyncio
import os
import resource
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

import psutil

from ops import tokens
from ops.errors import Unavailable, file_error
from ops.stack import state
from ops.stack.cluster import Size
from ops.stack.down import end_leftovers
from ops.stack.servers import SERVERS, Say, start_kafka, start_mongod
from ops.stack.status import collect
from ops.stack.supervisor import Program, Supervisor
from ops.stack.workers import workers
from streams.runtime import disk
from streams.runtime.settings import Settings

MIN_FREE_BYTES = 256 << 20
STOP_SECONDS = 9.0
DISK_SECONDS = 2.0
REMIND_SECONDS = 5.0
ONE_EACH = Size()

# Workers stop before the servers they write to.
STAGES: tuple[Callable[[Program], bool], ...] = (
    lambda program: program.role not in SERVERS,
    lambda program: program.role in SERVERS,
)


class Journal:
    """The state file of a running stack: its processes, its phase and the messages printed while it started."""

    def __init__(self, settings: Settings, say: Say) -> None:
        self._settings, self._say = settings, say
        self._stack = state.Stack(pid=os.getpid(), host=settings.http_host)

    def say(self, line: str) -> None:
        """Print a message, and record it for `up --detach`, which prints it in its own terminal."""
        self._say(line)
        if self._stack.phase != "ready":
            self._write(messages=[*self._stack.messages, line])

    def record(self, processes: list[state.Process], phase: state.Phase) -> None:
        """Record the processes and the phase."""
        self._write(processes=processes, phase=phase)

    def _write(self, **facts: object) -> None:
        self._stack = self._stack.model_copy(update=facts)
        with suppress(OSError):  # a full disk must not end the supervisor
            state.write(self._stack, self._settings.data)


async def run(settings: Settings, counts: Mapping[str, int], say: Say, size: Size = ONE_EACH) -> None:
    """Run the stack until SIGINT, SIGTERM or SIGHUP, then stop it."""
    settings = size.settings(settings)
    with state.locked(settings.data):
        _prepare(settings)
        journal = Journal(settings, say)
        supervisor = Supervisor(journal.record, settings.restart_pause)
        stop = _stop_signal()
        starting = asyncio.create_task(_start(settings, counts, supervisor, journal.say, size))
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
    """Report when the disk is full, and when it has space again."""
    before: str | None = None
    while True:
        full = disk.full(settings.data)
        if (full is None) != (before is None):
            with suppress(OSError):  # the log may be on the full disk
                say(full or "the disk has free space again")
        before = full
        await asyncio.sleep(DISK_SECONDS)


async def _start(settings: Settings, counts: Mapping[str, int], supervisor: Supervisor, say: Say, size: Size) -> None:
    began = time.monotonic()
    try:
        async with asyncio.TaskGroup() as servers:
            servers.create_task(start_kafka(settings, supervisor, say, size.brokers))
            servers.create_task(start_mongod(settings, supervisor, say, size.mongo_replicas))
    except ExceptionGroup as group:
        raise group.exceptions[0] from None
    await ensure_topics(settings, may_be_unfinished=not any(counts.values()))  # an import continues without workers
    programs = workers(settings, counts)
    for program in programs:
        supervisor.start(program)
    supervisor.reached("complete")
    if programs:
        say(f"starting {', '.join(program.name for program in programs)}")
    await until_ready(settings, say)
    say(f"ready after {time.monotonic() - began:.1f} s")
    supervisor.reached("ready")


async def ensure_topics(settings: Settings, *, may_be_unfinished: bool = False) -> list[str]:
    """Create the missing topics and return their names; Unavailable if one exists with the wrong configuration.

    Unavailable also after an import that was interrupted, unless `may_be_unfinished`.
    """
    from streams import topic_setup, topics

    try:
        if not may_be_unfinished:
            await asyncio.to_thread(topics.refuse_unfinished_import, settings)
        return await topic_setup.ensure_topics(settings)
    except (topic_setup.TopicMismatch, topics.UnfinishedImport) as error:
        raise Unavailable(str(error)) from error


async def until_ready(settings: Settings, say: Say, remind_seconds: float = REMIND_SECONDS) -> None:
    """Wait until every process is ready; report each one that is, and now and then the ones that are not."""
    reminded, reported = time.monotonic(), set[str]()
    while not (status := await collect(settings)).ready:
        ready = [each.process.name for each in status.processes if each.ready and each.process.role not in SERVERS]
        if new := [name for name in ready if name not in reported]:
            say(f"ready: {', '.join(new)}")
            reported.update(new)
        if time.monotonic() - reminded > remind_seconds:
            reminded = time.monotonic()
            say("waiting for " + "; ".join(each.complaint for each in status.processes if not each.ready))
        await asyncio.sleep(0.3)


def _prepare(settings: Settings) -> None:
    """Check that the data directory is usable, and let child processes open as many files as the system allows."""
    end_leftovers(settings)
    refuse_full_disk(settings)
    if settings.api_tokens_file is not None:
        tokens.read(settings.api_tokens_file)  # an invalid file would end each worker
    try:
        (settings.data / "logs").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise file_error(error, settings.data) from error
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def refuse_full_disk(settings: Settings) -> None:
    """Raise Unavailable if the disk of the data directory has too little free space."""
    if (free := psutil.disk_usage(str(settings.data)).free) < MIN_FREE_BYTES:
        raise Unavailable(
            f"The disk is full: {settings.data} has {free >> 20} MiB of free space, and Kafka and MongoDB need at "
            f"least {MIN_FREE_BYTES >> 20}. Free some space, or set FULFILLMENT_DATA to another disk."
        )


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
