"""A worker's table on disk, without its commands; as a process, it is killed at a step of its life.

python state_owner.py TOPIC FOLDER STEP COUNT
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from faust.types import TP

from streams.kafka.transactions import Transactions, Write
from streams.kafka.transport import Member
from streams.runtime.settings import Settings
from streams.topics import admin, find
from tables import restore
from tables.databases import Databases
from tables.disk import DiskRows
from tables.rows import Checkpoint, Rows
from tables.store import Changes, Entries

STEPS = ("restoring", "flushing", "restored", "committed", "merged")
NOBODY = Member(-1, "")
Values = Mapping[bytes, bytes | None]
Passed = Callable[[str], None]


class Raw:
    """Bytes as they are."""

    def encode(self, value: bytes) -> bytes:
        return value

    def decode(self, key: bytes, raw: bytes) -> bytes:
        return raw


class Owner:
    """The owner of partition 0 of a changelog."""

    def __init__(self, settings: Settings, topic: str, folder: Path, instance: str = "0") -> None:
        self.settings, self.topic = settings.model_copy(update={"instance": instance}), topic
        self.databases = Databases(folder / "state" / "orders" / instance, 8 << 20, 1)
        self.transactions = Transactions(self.settings, topic, instance)
        self.entries: Entries[bytes] = Entries(Raw())
        self.said: list[str | None] = []

    async def assign(self) -> int:
        """Restore the table; return how many records were read."""
        self.entries.detach()
        self.rows = await self.opened()
        lost: dict[int, str] = {}
        count = await restore.catch_up(self.settings, self.topic, {0: self.rows}, lost)
        assert not lost
        self.entries = Entries(Raw(), self.rows)
        return count

    async def opened(self) -> Rows:
        found = await asyncio.to_thread(lambda: find(admin(self.settings), [self.topic]))
        return (await self.databases.rows({0}, found[self.topic].id, self.said.append))[0]

    async def begin(self) -> "Owner":
        """Claim the transactional id, and restore."""
        await asyncio.wait_for(self.transactions.start(), 120)
        await self.assign()
        return self

    async def commit(self, values: Values, passed: Passed = lambda _: None) -> None:
        """Change entries in one transaction."""
        began, changes = time.time(), Changes(self.entries)
        for key, value in values.items():
            changes.put(key, value)
        writes = [Write(self.topic, 0, key, value) for key, value in changes.encode()]
        ends = await self.transactions.commit(writes, {}, NOBODY)
        passed("committed")
        changes.merge(Checkpoint(ends[TP(self.topic, 0)], began))
        passed("merged")

    async def close(self) -> None:
        """End like a process, without a word to the table."""
        await self.transactions.stop()
        await asyncio.to_thread(self.databases._close_others, set())


def dies(at: str, count: int) -> Passed:
    """Return a function that kills this process when it is called for the `count`-th time with the name of a step."""
    left = count

    def passed(step: str) -> None:
        nonlocal left
        left -= step == at
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    return passed


async def live(topic: str, folder: Path, passed: Passed) -> None:
    """Restore, with each batch of records as one step; then change entries again and again."""
    restore.FETCH_BYTES = 1
    write, flush = DiskRows.write, DiskRows.flush

    def written(self: DiskRows, rows: Values, checkpoint: Checkpoint | None, *, bulk: bool = False) -> None:
        write(self, rows, checkpoint, bulk=bulk)
        if bulk:
            passed("restoring")

    def flushed(self: DiskRows) -> None:
        if self._unflushed:
            passed("flushing")
        flush(self)

    DiskRows.write, DiskRows.flush = written, flushed  # type: ignore[method-assign]
    owner = await Owner(Settings(), topic, folder).begin()
    passed("restored")
    run = os.urandom(4).hex().encode()
    for number in range(6):
        await owner.commit({b"%b/%d" % (run, number): b"x", b"%b/%d" % (run, number - 2): None, b"last": run}, passed)


if __name__ == "__main__":
    topic, folder, step, count = sys.argv[1:]
    asyncio.run(live(topic, Path(folder), dies(step, int(count))))
