"""Build a version of a projection from its topic with several processes, each with some of the partitions.

Each batch is written before its progress, and applying a batch twice changes nothing. An interrupted build therefore
resumes from its progress.
"""

import asyncio
import gc
import multiprocessing
import os
import queue
import signal
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from pymongo.errors import ConnectionFailure, PyMongoError
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from ops.errors import CommandFailed, Unavailable, mongo_error
from ops.kafka import records
from projections.mongo.client import Mongo
from projections.mongo.progress import AnotherTopic, TopicPartition, offsets_of
from projections.mongo.skips import read_skips
from projections.projection import Projection, Record
from projections.runner import Runner
from projections.stopped import Stopped
from projections.table import shape_of
from streams.kafka.unreadable import Unreadable
from streams.runtime.settings import Settings

IN_MEMORY = 100_000  # records that all processes hold, of 10 kB each; a larger batch writes each document less often
LEAST = 5_000  # records that each process folds before it writes
ROOM = 1_000  # bytes for each record; of larger records, fewer are held
SMALL = 20_000  # records; for fewer, starting more processes takes longer than it saves
COLLECT_AFTER = 1_000_000  # records; the garbage collector visits all views in memory, and finds few cycles
LOOK_SECONDS = 0.1
PATIENCE_SECONDS = 20.0  # for an unreachable database


class CannotBuild(CommandFailed):
    """An event cannot be projected, or the topic was replaced."""


class BulkRecord(NamedTuple):
    """A Kafka record with the fields that projections read."""

    key: bytes | None
    value: bytes | None
    partition: int
    offset: int
    timestamp: int


@dataclass(frozen=True)
class Share:
    """The part of a version that one process builds: some partitions, from a start to an end."""

    settings: Settings
    name: str
    shape: int
    version: int
    topic_ids: Mapping[str, str]
    starts: Mapping[int, int]
    ends: Mapping[int, int]
    batch: int  # records to fold before writing


Say = Callable[[int], None]  # reports how many more offsets are done


async def left_to_build(settings: Settings, mongo: Mongo, projection: Projection) -> tuple[dict[int, int], Any]:
    """Return the start and the end of each partition that is not completely built."""
    topic = projection.topic.name
    begins = await asyncio.to_thread(records.begins, settings, topic)
    ends = await asyncio.to_thread(records.last_records, settings, topic)
    reached = await offsets_of(mongo, projection)
    starts = {number: max(begins[number], reached.get((settings.named(topic), number), 0)) for number in ends}
    left = [number for number, end in ends.items() if starts[number] < end]
    return {number: starts[number] for number in left}, {number: ends[number] for number in left}


async def build(
    settings: Settings,
    projection: Projection,
    topic_ids: Mapping[str, str],
    starts: Mapping[int, int],
    ends: Mapping[int, int],
    say: Say,
) -> None:
    """Build partitions of a version from `starts` to `ends`; `CannotBuild` if an event cannot be projected."""
    total = sum(ends.values()) - sum(starts.values())
    processes = min(os.cpu_count() or 1, len(ends)) if total > SMALL else 1
    whole = Share(
        settings, projection.name, projection.shape, projection.version, topic_ids, starts, ends,
        batch=max(IN_MEMORY // processes, LEAST),
    )  # fmt: skip
    if processes == 1:
        await _build(whole, say)
    else:
        await _in_processes([_part(whole, first, processes) for first in range(processes)], say)


def _part(whole: Share, first: int, processes: int) -> Share:
    largest = sorted(whole.ends, key=lambda number: whole.starts[number] - whole.ends[number])
    mine = largest[first::processes]
    starts, ends = {n: whole.starts[n] for n in mine}, {n: whole.ends[n] for n in mine}
    return replace(whole, starts=starts, ends=ends)


async def _in_processes(shares: list[Share], say: Say) -> None:
    context = multiprocessing.get_context("spawn")
    said: Any = context.Queue()
    processes = [context.Process(target=_run, args=(share, said), daemon=True) for share in shares]
    for process in processes:
        process.start()
    try:
        running = True
        while running:
            running = any(process.is_alive() for process in processes)
            _listen(said, say)
            await asyncio.sleep(LOOK_SECONDS)
        _listen(said, say)
    finally:
        for process in processes:
            process.terminate()
            process.join()
    if failed := [process.exitcode for process in processes if process.exitcode]:
        raise Unavailable(f"A build process ended with exit code {failed[0]}: run the command again to resume.")


def _listen(said: Any, say: Say) -> None:
    """Pass on the progress of the processes; raise the error of one that failed."""
    while True:
        try:
            what = said.get_nowait()
        except queue.Empty:
            return
        if isinstance(what, int):
            say(what)
        else:
            raise CannotBuild(what)


def _run(share: Share, said: Any) -> None:
    """Build a share in its own process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent process handles the interrupt
    gc.freeze()
    gc.disable()  # collecting garbage among the records of a batch took half of the time; see `_read`
    try:
        asyncio.run(_build(share, said.put))
    except CommandFailed as error:
        said.put(str(error))


async def _build(share: Share, say: Say) -> None:
    shape = shape_of(share.name, share.shape)
    assert shape is not None, "the parent process knows the shape"
    projection, mongo = replace(shape, version=share.version), Mongo(share.settings)
    runner = Runner(mongo, share.settings, [projection], share.topic_ids)
    topic = share.settings.named(projection.topic.name)
    try:
        await runner.positions([(topic, number) for number in share.ends])
        await _read(share, projection, runner, await read_skips(mongo), say)
    except Stopped as stopped:
        raise CannotBuild(f"{projection.id} cannot be built: {stopped}.") from stopped
    except AnotherTopic as error:
        raise CannotBuild(f"{projection.id} cannot be built: {error}.") from error
    except PyMongoError as error:
        raise mongo_error(
            share.settings.mongo, error, "The build was interrupted; run the command again to resume."
        ) from error
    finally:
        await mongo.close()


async def _read(share: Share, projection: Projection, runner: Runner, skipped: Any, say: Say) -> None:
    gathered, done, uncollected = Gathered(), sum(share.starts.values()), 0
    with records.Log(share.settings, projection.topic.name, share.starts) as log:
        for batch in log.upto(share.ends):
            gathered.add(batch)
            if gathered.count >= share.batch or gathered.bytes >= share.batch * ROOM:
                uncollected += gathered.count
                await _apply(runner, gathered, skipped)
                gathered = Gathered()
                reached = sum(min(log.positions[number], end) for number, end in share.ends.items())
                say(reached - done)
                done = reached
                if uncollected >= COLLECT_AFTER:
                    gc.collect()
                    uncollected = 0
        await _apply(runner, gathered, skipped)
        say(sum(share.ends.values()) - done)


async def _apply(runner: Runner, gathered: "Gathered", skipped: Any) -> None:
    """Apply a batch; retry while the database is unreachable: a replica set needs about ten seconds for an election."""
    async for attempt in AsyncRetrying(
        retry=retry_if_exception_type(ConnectionFailure),
        wait=wait_random_exponential(multiplier=0.1, max=2),
        stop=stop_after_delay(PATIENCE_SECONDS),
        reraise=True,
    ):
        with attempt:
            await runner.apply(gathered.records, skipped)


class Gathered:
    """The records of one batch."""

    def __init__(self) -> None:
        self.records: dict[TopicPartition, list[Record]] = defaultdict(list)
        self.count = self.bytes = 0

    def add(self, batch: Sequence[Any]) -> None:
        """Add records."""
        for each in batch:
            number, value = each.partition, each.value
            record = BulkRecord(each.key, value, number, each.offset, each.timestamp)  # takes less than half the memory
            self.records[each.topic, number].append(each if type(each) is Unreadable else record)
            self.bytes += len(value or b"")
        self.count += len(batch)
