"""Restore of tables: changelog partitions are read in batches, committed records only, from the rows' checkpoints.

LostChangelog                  a changelog cannot be read: `fulfillment replay tables --rebuild` writes it again
"""

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from tenacity import before_sleep_log, retry, retry_if_exception_type, wait_random_exponential

from streams.kafka.clients import aiokafka_config
from streams.kafka.library_patches import AIOKafkaConsumer
from streams.kafka.unreadable import Unreadable
from streams.runtime.settings import Settings
from streams.topics import TOMBSTONES_MS

from .rows import Checkpoint, MemoryRows, Rows
from .store import Codec, Entries

log = logging.getLogger(__name__)
FETCH_BYTES = 4 << 20  # limit of one partition in one fetch
OLDEST_SECONDS = TOMBSTONES_MS / 1000 / 2  # half, because clocks differ and reading takes time
MARKER = 1  # offsets that the end of a checkpoint's own transaction takes


class LostChangelog(Exception):
    """A changelog cannot be read."""


async def restore(
    settings: Settings, topic: str, partitions: Iterable[int], codec: Codec[Any], lost: dict[int, str] | None = None
) -> dict[int, Entries[Any]]:
    """Return the entries of `partitions` of the changelog `topic` (its full name), in memory.

    Partitions that cannot be read are added to `lost` with the reason, and have no entries. Without `lost`, raise
    `LostChangelog`.
    """
    started, rows = time.monotonic(), {partition: MemoryRows() for partition in partitions}
    gone: dict[int, str] = {}
    count = await catch_up(settings, topic, rows, gone)
    log_restored(count, topic, len(rows), started)
    if gone and lost is None:
        raise LostChangelog("; ".join(gone.values()))
    if lost is not None:
        lost |= gone
    return {partition: Entries(codec, each) for partition, each in rows.items()}


def log_restored(count: int, topic: str, partitions: int, started: float) -> None:
    """Log how long a restore took that started at `started`, by the monotonic clock."""
    seconds = time.monotonic() - started
    log.info("restored %d entries of %s, %d partitions, in %.2f s", count, topic, partitions, seconds)


@retry(
    retry=retry_if_exception_type(KafkaError),
    wait=wait_random_exponential(multiplier=0.1, max=5),
    before_sleep=before_sleep_log(log, logging.WARNING),
)
async def catch_up(settings: Settings, topic: str, rows: Mapping[int, Rows], lost: dict[int, str]) -> int:
    """Apply to rows what their partitions of a changelog contain behind their checkpoints; return the record count.

    The rows of partitions that cannot be read are cleared, and the reason is added to `lost`.

    The end is the high watermark, not the last stable offset, which the open transaction of a killed worker can hold
    back before records that a later owner has committed. Reading therefore waits until open transactions are resolved.
    While the broker is unreachable, wait and start again.
    """
    now = time.time()
    mine = {TopicPartition(topic, partition): each for partition, each in rows.items()}
    tails = await _tails(settings, mine, now)
    count, gone = await _read(settings, tails)
    for tail in tails:
        if tail.at.partition not in gone:
            tail.rows.flush()  # a thread would outlive the cancellation of this restore, and disturb the next one
            if tail.rows.checkpoint is None or tail.rows.checkpoint.offset <= tail.end:
                tail.rows.write({}, Checkpoint(tail.end, now))
            await asyncio.sleep(0)
    lost |= gone
    return count


@dataclass(frozen=True, slots=True)
class Tail:
    """The part of a changelog partition that its rows lack."""

    at: TopicPartition
    rows: Rows
    begin: int
    end: int
    since: float  # the rows are from this time (Unix seconds), or newer

    def apply(self, records: Sequence[Any]) -> Unreadable | None:
        """Apply records up to the first unreadable one, and return that one."""
        changed, unreadable = changes_in(records)
        if unreadable is None:
            self.rows.write(changed, Checkpoint(records[-1].offset + 1, self.since), bulk=True)
        return unreadable


async def _tails(settings: Settings, mine: Mapping[TopicPartition, Rows], now: float) -> list[Tail]:
    """Return what to read of each partition; rows that the changelog cannot complete are cleared."""
    if not mine:
        return []
    async with AIOKafkaConsumer(**aiokafka_config(settings), enable_auto_commit=False) as uncommitted:
        begins, ends = await uncommitted.beginning_offsets(list(mine)), await uncommitted.end_offsets(list(mine))
    found = []
    for at, rows in mine.items():
        begin, since = begins[at], now
        if rows.checkpoint is None:
            if len(rows):
                rows.clear()  # an attempt that failed has begun to read
        elif why := _unusable(rows.checkpoint, begin, ends[at], now):
            log.warning("%s/%d is restored from its beginning: %s", *at, why)
            rows.clear()
        else:
            begin, since = rows.checkpoint
        found.append(Tail(at, rows, begin, ends[at], since))
    return found


def _unusable(checkpoint: Checkpoint, begin: int, end: int, now: float) -> str | None:
    """Return why the records from a checkpoint to the end of the changelog do not complete the rows; None if they do.

    Compaction deletes tombstones some time after the entries they delete. Old rows may contain such entries, and no
    record says any more that they are deleted. If there are no records behind the checkpoint, its age does not matter.
    """
    if checkpoint.offset > end:
        return f"the local copy is at offset {checkpoint.offset}, and the changelog ends at {end}"
    if checkpoint.offset < begin:
        return f"the local copy is at offset {checkpoint.offset}, and the changelog begins at {begin}"
    if end - checkpoint.offset > MARKER and abs(now - checkpoint.time) > OLDEST_SECONDS:
        return f"the local copy is {abs(now - checkpoint.time) / 3600:.0f} hours old"
    return None


async def high_watermarks(settings: Settings, mine: list[TopicPartition]) -> dict[TopicPartition, int]:
    """Return where partitions end, records of open transactions included."""
    async with AIOKafkaConsumer(**aiokafka_config(settings), enable_auto_commit=False) as uncommitted:
        return dict(await uncommitted.end_offsets(mine))


async def _read(settings: Settings, tails: Iterable[Tail]) -> tuple[int, dict[int, str]]:
    """Apply the records of tails; return how many, and the partitions that cannot be read, with the reason."""
    count, gone = 0, dict[int, str]()
    left = {tail.at: tail for tail in tails if tail.begin < tail.end}
    if not left:
        return count, gone
    async with AIOKafkaConsumer(
        **aiokafka_config(settings),
        enable_auto_commit=False,
        isolation_level="read_committed",
        auto_offset_reset="none",
        max_partition_fetch_bytes=FETCH_BYTES,
        fetch_max_wait_ms=100,
    ) as reader:
        reader.assign(list(left))
        for tail in left.values():
            reader.seek(tail.at, tail.begin)
        while left:
            for at, records in (await reader.getmany(*left, timeout_ms=100)).items():
                tail, count = left[at], count + len(records)
                if (unreadable := tail.apply(records)) is not None:
                    tail.rows.clear()  # a partial table must not be used
                    gone[at.partition] = f"{at.topic}/{at.partition}, {unreadable}"
                    del left[at]
                await asyncio.sleep(0)  # the worker's web server answers between batches
            left = {at: tail for at, tail in left.items() if await reader.position(at) < tail.end}
    return count, gone


def changes_in(records: Iterable[Any]) -> tuple[dict[bytes, bytes | None], Unreadable | None]:
    """Return the last value of each key in records up to the first unreadable one, and that one."""
    changed: dict[bytes, bytes | None] = {}
    for record in records:
        if type(record) is Unreadable:
            return changed, record
        changed[record.key] = record.value
    return changed, None
