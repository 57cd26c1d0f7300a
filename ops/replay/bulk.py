"""A version of a projection, built from its topic in bulk: several processes, each with some of the partitions.

Each batch is written before its progress, and applying one again changes nothing: a build that was interrupted goes on
where its progress says.
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

from ops.audit.settled import last_records
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

TOGETHER = 100_000  # records all processes hold, 10 kB each: what is folded together is written once
LEAST = 5_000  # records a process folds before it writes, however many processes there are
ROOM = 1_000  # bytes a record: where they are larger, fewer are held
SMALL = 20_000  # records for which further processes are not worth their start
COLLECT_AFTER = 1_000_000  # records: what looks for cycles looks at all the views that are remembered, and finds few
LOOK_SECONDS = 0.1
PATIENCE_SECONDS = 20.0  # with a database that is away


class CannotBuild(CommandFailed):
    """An event that cannot be projected, or a topic that is another one."""


class BulkRecord(NamedTuple):
    """A Kafka record, as projections read them."""

    key: bytes | None
    value: bytes | None
    partition: int
    offset: int
    timestamp: int


@dataclass(frozen=True)
class Share:
    """What one process builds: some partitions of a version, from where each goes on up to an end."""

    settings: Settings
    name: str
    shape: int
    version: int
    topic_ids: Mapping[str, str]
    starts: Mapping[int, int]
    ends: Mapping[int, int]
    batch: int  # records it folds before it writes


Say = Callable[[int], None]  # so many offsets more are done


async def left_to_build(settings: Settings, mongo: Mongo, projection: Projection) -> tuple[dict[int, int], Any]:
    """Return where each partition of a version is to be read on, and where it ends; only those with something left."""
    topic = projection.topic.name
    begins = await asyncio.to_thread(records.begins, settings, topic)
    ends = await asyncio.to_thread(last_records, settings, topic)
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
    """Build partitions of a version from `starts` to `ends`; `CannotBuild` at an event that cannot be projected."""
    total = sum(ends.values()) - sum(starts.values())
    processes = min(os.cpu_count() or 1, len(ends)) if total > SMALL else 1
    whole = Share(
        settings, projection.name, projection.shape, projection.version, topic_ids, starts, ends,
        batch=max(TOGETHER // processes, LEAST),
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
        raise Unavailable(f"A process that built a part ended with code {failed[0]}: run it again, it goes on there.")


def _listen(said: Any, say: Say) -> None:
    """Pass on what the processes say; raise the sentence one of them ended with."""
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
    """Build a share in a process of its own."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started it ends it
    gc.freeze()
    gc.disable()  # looking for cycles among the records of a batch was half of the time; see `_read`
    try:
        asyncio.run(_build(share, said.put))
    except CommandFailed as error:
        said.put(str(error))


async def _build(share: Share, say: Say) -> None:
    shape = shape_of(share.name, share.shape)
    assert shape is not None, "whoever built a share knew its shape"
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
        raise mongo_error(share.settings.mongo, error, "Run it again.") from error
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
    """Apply a batch, again where the database was away for a moment: a replica set elects in some ten seconds."""
    async for attempt in AsyncRetrying(
        retry=retry_if_exception_type(ConnectionFailure),
        wait=wait_random_exponential(multiplier=0.1, max=2),
        stop=stop_after_delay(PATIENCE_SECONDS),
        reraise=True,
    ):
        with attempt:
            await runner.apply(gathered.records, skipped)


class Gathered:
    """Records that are folded together."""

    def __init__(self) -> None:
        self.records: dict[TopicPartition, list[Record]] = defaultdict(list)
        self.count = self.bytes = 0

    def add(self, batch: Sequence[Any]) -> None:
        """Take in what was read."""
        for each in batch:
            number, value = each.partition, each.value
            record = BulkRecord(each.key, value, number, each.offset, each.timestamp)  # less than half as large
            self.records[each.topic, number].append(each if type(each) is Unreadable else record)
            self.bytes += len(value or b"")
        self.count += len(batch)
