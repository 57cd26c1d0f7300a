"""The databases of one worker's table: opened when a partition is assigned, kept open until another worker gets it."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Collection
from pathlib import Path

from .disk import DiskRows, InUse, Memory
from .rows import MemoryRows, Rows

log = logging.getLogger(__name__)

IN_USE_SECONDS, LOOK_SECONDS = 5.0, 0.1  # how long another process may need to end, and how often to look


class Databases:
    """The databases below `folder`; all of them together use `cache_bytes` of memory. Each has one of `partitions`."""

    def __init__(self, folder: Path, cache_bytes: int, partitions: int) -> None:
        self.folder = folder
        self._cache_bytes, self._partitions = cache_bytes, partitions
        self._memory: Memory | None = None
        self._open: dict[int, DiskRows] = {}
        self._turn = threading.Lock()  # an assignment that was cancelled may still be opening a database

    async def rows(
        self,
        partitions: Collection[int],
        topic_id: str,
        say: Callable[[str | None], None],
        keep: Collection[int] = (),
    ) -> dict[int, Rows]:
        """Return the rows of these partitions, of the changelog topic with that id; close all others but `keep`.

        A paused process with the same instance may still have a database open. It is waited for, then its partition is
        kept in memory until it is assigned again: the group has given it to this process.
        """
        await asyncio.to_thread(self._close_others, {*partitions, *keep})
        until = time.monotonic() + IN_USE_SECONDS
        found: dict[int, Rows] = {}
        for partition in sorted(partitions):
            while partition not in found:
                try:
                    found[partition] = await asyncio.to_thread(self._opened, partition, topic_id)
                except InUse as used:
                    say(f"{used}: stop it, or give it another FULFILLMENT_INSTANCE")
                    if time.monotonic() < until:
                        await asyncio.sleep(LOOK_SECONDS)
                        continue
                    log.warning("partition %d is in memory until it is assigned again: %s", partition, used)
                    found[partition] = MemoryRows()
        say(None)
        return found

    def _opened(self, partition: int, topic_id: str) -> DiskRows:
        with self._turn:
            if self._memory is None:
                self._memory = Memory(self._cache_bytes, self._partitions)
            if (rows := self._open.get(partition)) is None:
                rows = self._open[partition] = DiskRows(self.folder / str(partition), topic_id, self._memory)
            else:
                rows.use_for(topic_id)
            return rows

    def _close_others(self, keep: Collection[int]) -> None:
        with self._turn:
            for partition in self._open.keys() - set(keep):
                self._open.pop(partition).close()
