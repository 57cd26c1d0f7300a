"""Build a version of a projection from its topic with several processes, each with some of the partitions.

Each batch is written before its progress, and applying a batch twice changes nothing. An interrupted build therefore
resumes from its progress.
"""

import asyncio
import gc
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from pymongo.errors import ConnectionFailure, PyMongoError
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from ops.errors import CommandFailed, mongo_error
from ops.kafka import records
from ops.pool import Say, pool, processes_for
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
COLLECT_AFTER = 1_000_000  # records; the garbage collector visits all views in memory, and finds few cycles
PATIENCE_SECONDS = 20.0  # for an unreachable database
ENDED = "A build process ended unexpectedly: run the command again to resume."


class CannotBuild(CommandFailed):
    """An event cannot be projected, or the topic was replaced."""


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
    is_alone: bool  # whether the process does nothing else

    async def run(self, say: Say) -> None:
        """Build it."""
        if not self.is_alone:
            gc.disable()  # collecting garbage among the records of a batch took half of the time; see `_read`
        await _build(self, say)


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
    processes = processes_for(sum(ends.values()) - sum(starts.values()), len(ends))
    whole = Share(
        settings, projection.name, projection.shape, projection.version, topic_ids, starts, ends,
        batch=max(IN_MEMORY // processes, LEAST), is_alone=processes == 1,
    )  # fmt: skip
    async with pool(_opened, processes, say, ENDED, tasks=1) as building:
        await building.do([_part(whole, first, processes) for first in range(processes)])


@asynccontextmanager
async def _opened(say: Say) -> AsyncIterator[Say]:
    yield say  # a share opens everything else


def _part(whole: Share, first: int, processes: int) -> Share:
    largest = sorted(whole.ends, key=lambda number: whole.starts[number] - whole.ends[number])
    mine = largest[first::processes]
    starts, ends = {n: whole.starts[n] for n in mine}, {n: whole.ends[n] for n in mine}
    return replace(whole, starts=starts, ends=ends)


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
            record = records.BulkRecord(each.key, value, number, each.offset, each.timestamp)
            self.records[each.topic, number].append(each if type(each) is Unreadable else record)
            self.bytes += len(value or b"")
        self.count += len(batch)
