"""Compare one partition of a worker's table, in its changelog, with the events.

Events and changelog are collected by aggregate, on disk if they are large. Then one aggregate after the other is folded
and compared, so that the memory does not depend on the number of orders.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ops.audit.compare_tables import TableComparison
from ops.audit.groups import Change, Groups
from ops.audit.history import Histories
from ops.audit.report import Kind, Report
from ops.kafka import records
from ops.kafka.adopt import READERS, Reader
from ops.kafka.changelogs import changes
from ops.pool import Say
from ops.progress import Steps
from projections.projection import Projection
from projections.table import INVENTORY, ORDERS
from streams.keys import position_key
from streams.messages.codec import event_in
from streams.runtime.settings import Settings

FOLDED: dict[str, Projection] = {
    "orders": ORDERS,
    "inventory": INVENTORY,
}  # role → the projection that its table matches
READ_SHARE, TABLE_SHARE = 0.2, 0.2  # shares of the time until the events, and then the changelog, are read
SHOWN = 1_000  # aggregates after which the progress is shown


@dataclass
class Work:
    """The settings, a folder for temporary files, and how progress is reported."""

    settings: Settings
    folder: Path
    limit: int  # bytes of events and entries of a partition in memory
    say: Say


@asynccontextmanager
async def opened(settings: Settings, folder: Path, limit: int, say: Say) -> AsyncIterator[Work]:
    """Give what a process works with."""
    yield Work(settings, folder, limit, say)


class Changelog:
    """A table read from its changelog, with the positions in it."""

    def __init__(self, settings: Settings, inputs: Mapping[str, int]) -> None:
        self.settings = settings
        self.positions: dict[bytes, bytes | None] = dict.fromkeys(map(position_key, inputs))

    def urls(self, role: str) -> list[str]:
        """Return the changelog of a role's table."""
        return [_reader(role).changelog.name]

    async def entries(self, role: str, partition: int) -> AsyncIterator[Sequence[Change]]:
        """Yield the changes of the entries in a partition of a role's table."""
        with closing(changes(self.settings, _reader(role).changelog.name, partition)) as left:
            while (some := await asyncio.to_thread(next, left, None)) is not None:
                self.positions.update((key, value) for key, value in some if key in self.positions)
                yield some


def _reader(role: str) -> Reader:
    return next(reader for reader in READERS if reader.role == role)


@dataclass(frozen=True)
class PartitionCheck:
    """Compares one partition of a role's table with the events from `begin` to `end`.

    `handled`: an input topic → the offset up to which the role's group has handled it; `topic_ids`: its id.
    """

    role: str
    partition: int
    begin: int
    end: int
    handled: Mapping[str, int]
    topic_ids: Mapping[str, str]

    @property
    def events(self) -> int:
        """The number of its offsets."""
        return self.end - self.begin

    async def run(self, work: Work) -> dict[str, Any]:
        """Fold the events, then compare; return what a report adds."""
        report = Report()
        with TemporaryDirectory(dir=work.folder) as folder:
            await _Comparing(self, work, report, Path(folder)).run()
        return report.kept()


@dataclass
class _Comparing:
    """The work of a check."""

    check: PartitionCheck
    work: Work
    report: Report
    folder: Path
    histories: Histories = field(init=False)

    def __post_init__(self) -> None:
        projection, settings, number = FOLDED[self.check.role], self.work.settings, self.check.partition
        self.topic, self._steps = projection.topic.name, Steps(self.work.say, self.check.events)
        self.histories = Histories(projection, number, settings.partitions, self.report)
        self._changelog = Changelog(settings, self.check.handled)
        self._table = TableComparison(self._changelog, self.check.role, self.histories, waits_for_changes=False)

    async def run(self) -> None:
        """Collect events and entries, and compare them; entries that are newer are compared after reading further.

        An entry that is older than the events is wrong immediately: both are written in one transaction, and reading
        the changelog waits for open transactions.
        """
        number = self.check.partition
        with (
            Groups(number, self.folder / "spill", self.work.limit) as groups,
            records.Log(self.work.settings, self.topic, {number: self.check.begin}) as log,
        ):
            await self._collect(groups, log)
            self._steps.reach(READ_SHARE)
            await self._table.collect(groups)
            self._steps.reach(READ_SHARE + TABLE_SHARE)
            self._check_positions()
            await self._compare(groups)
            if self.histories.expects:
                ends = await asyncio.to_thread(records.ends, self.work.settings, self.topic)
                await self._read_on(log, ends[number])
                self.histories.give_up()
        self._steps.reach(1)

    async def _collect(self, groups: Groups, log: records.Log) -> None:
        number, begin = self.check.partition, self.check.begin
        left = log.upto({number: self.check.end})
        while (batch := await asyncio.to_thread(next, left, None)) is not None:
            self.report.events += len(batch)
            for record in batch:
                if (event := event_in(record.value)) is not None:
                    owner = event.key.encode()
                    groups.add_event(
                        owner, records.BulkRecord(owner, record.value, number, record.offset, record.timestamp)
                    )
                else:
                    what = f"the record at offset {record.offset} of partition {number} is not an event"
                    self.report.drift(Kind.HISTORY, record.topic, (record.key or b"").decode(errors="replace"), what)
            self._steps.reach(READ_SHARE * (log.positions[number] - begin) / self.check.events)

    def _check_positions(self) -> None:
        """Report inputs whose position is missing in the table, or belongs to another topic."""
        codec, where = _reader(self.check.role).codec, f"{self.check.role}, partition {self.check.partition}"
        for topic, offset in self.check.handled.items():
            raw = self._changelog.positions[key := position_key(topic)]
            position: Any = None if raw is None else codec.decode(key, raw)
            self.report.checked["positions"] += 1
            if offset and position is None:
                what = f"was handled up to {offset}, but the table has no position of it"
                self.report.drift(Kind.TABLE, where, topic, what)
            elif position is not None and position.topic_id != self.check.topic_ids[topic]:
                self.report.drift(Kind.TABLE, where, topic, "was replaced since it was handled")

    async def _compare(self, groups: Groups) -> None:
        done, all_events = 0, max(self.report.events, 1)
        for number, group in zip(count(1), groups, strict=False):
            key = group.id.decode(errors="replace")
            for record in group.events:
                if (event := event_in(record.value)) is not None:
                    self.histories.apply(event, record.offset)
                done += 1
            self._table.look(key, group.entries)
            self.histories.release([key])
            if number % SHOWN == 0:
                read = READ_SHARE + TABLE_SHARE
                self._steps.reach(read + (1 - read) * done / all_events)
                await asyncio.sleep(0)  # let the other task of this process begin to read

    async def _read_on(self, log: records.Log, end: int) -> None:
        """Fold the later events of aggregates whose entries are newer."""
        left = log.upto({self.check.partition: end})
        while (batch := await asyncio.to_thread(next, left, None)) is not None:
            for record in batch:
                event = event_in(record.value)
                if event is not None and (event.sequence == 1 or event.key in self.histories.aggregates):
                    self.histories.apply(event, record.offset)
