"""Bulk restore: reads whole changelog partitions in batches, committed records only.

LostChangelog                  a changelog cannot be read: `fulfillment replay tables --rebuild` writes it again
"""

import asyncio
import logging
import time
from collections.abc import Iterable
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from tenacity import before_sleep_log, retry, retry_if_exception_type, wait_random_exponential

from streams.kafka.clients import aiokafka_config
from streams.kafka.library_patches import AIOKafkaConsumer
from streams.kafka.unreadable import Unreadable
from streams.runtime.settings import Settings

from .store import Codec, Entries

log = logging.getLogger(__name__)
FETCH_BYTES = 4 << 20  # limit of one partition in one fetch


class LostChangelog(Exception):
    """A changelog cannot be read."""


@retry(
    retry=retry_if_exception_type(KafkaError),
    wait=wait_random_exponential(multiplier=0.1, max=5),
    before_sleep=before_sleep_log(log, logging.WARNING),
)
async def restore(
    settings: Settings, topic: str, partitions: Iterable[int], codec: Codec[Any], lost: dict[int, str] | None = None
) -> dict[int, Entries[Any]]:
    """Return the entries of `partitions` of the changelog `topic` (its full name).

    Partitions that cannot be read are added to `lost` with the reason, and have no entries. Without `lost`, raise
    `LostChangelog`.

    The end is the high watermark, not the last stable offset, which the open transaction of a killed worker can hold
    back before records that a later owner has committed. Reading therefore waits until open transactions are resolved.
    While the broker is unreachable, wait and start again.
    """
    started = time.monotonic()
    mine = [TopicPartition(topic, partition) for partition in partitions]
    raw: dict[int, dict[bytes, bytes]] = {tp.partition: {} for tp in mine}
    if mine:
        ends = await high_watermarks(settings, mine)
        gone = await _read(settings, {tp: end for tp, end in ends.items() if end}, raw)
        if gone and lost is None:
            raise LostChangelog("; ".join(gone.values()))
        if lost is not None:
            lost |= gone
    count = sum(map(len, raw.values()))
    log.info("restored %d entries of %s, %d partitions, in %.2f s", count, topic, len(mine), time.monotonic() - started)
    return {partition: Entries(codec, entries) for partition, entries in raw.items()}


async def high_watermarks(settings: Settings, mine: list[TopicPartition]) -> dict[TopicPartition, int]:
    """Return where partitions end, records of open transactions included."""
    async with AIOKafkaConsumer(**aiokafka_config(settings), enable_auto_commit=False) as uncommitted:
        return dict(await uncommitted.end_offsets(mine))


async def _read(
    settings: Settings, ends: dict[TopicPartition, int], into: dict[int, dict[bytes, bytes]]
) -> dict[int, str]:
    """Read changelogs into tables; return the partitions that cannot be read, and why."""
    gone: dict[int, str] = {}
    if not ends:
        return gone
    async with AIOKafkaConsumer(
        **aiokafka_config(settings),
        enable_auto_commit=False,
        isolation_level="read_committed",
        max_partition_fetch_bytes=FETCH_BYTES,
        fetch_max_wait_ms=100,
    ) as reader:
        reader.assign(list(ends))
        await reader.seek_to_beginning(*ends)
        left = set(ends)
        while left:
            for tp, records in (await reader.getmany(*left, timeout_ms=100)).items():
                if (unreadable := apply(into[tp.partition], records)) is not None:
                    into[tp.partition].clear()  # a partial table must not be used
                    gone[tp.partition] = f"{tp.topic}/{tp.partition}, {unreadable}"
                await asyncio.sleep(0)  # the worker's web server answers between batches
            left = {tp for tp in left if tp.partition not in gone and await reader.position(tp) < ends[tp]}
    return gone


def apply(entries: dict[bytes, bytes], records: Iterable[Any]) -> Unreadable | None:
    """Apply records up to the first unreadable one, and return that one."""
    for record in records:
        if type(record) is Unreadable:
            return record
        if record.value is None:
            entries.pop(record.key, None)
        else:
            entries[record.key] = record.value
    return None
