"""Compare the workers' tables, in their changelogs, with the events, and rebuild them."""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

from faust.types import TP

from ops.audit.compare_tables import TableComparison
from ops.audit.history import Histories
from ops.audit.report import Kind, Report
from ops.audit.tables import SNAPSHOTS, Snapshot
from ops.errors import Unavailable
from ops.kafka import groups, records
from ops.kafka.adopt import READERS, Reader
from ops.kafka.changelogs import restored
from ops.progress import ShowProgress, silent
from projections.projection import Projection
from projections.table import INVENTORY, ORDERS
from streams.kafka.transactions import committed_offsets
from streams.keys import position_key
from streams.messages.codec import event_in
from streams.runtime.settings import Settings
from streams.topics import UnfinishedImport, refuse_unfinished_import, topic_ids

FOLDED: dict[str, Projection] = {
    "orders": ORDERS,
    "inventory": INVENTORY,
}  # role → the projection that its table matches


def verify(settings: Settings, progress: ShowProgress = silent) -> Report:
    """Compare the changelogs with the events; workers may be running."""
    began, report = time.monotonic(), Report()
    with records.kafka(settings):
        asyncio.run(_verify(settings, report, progress))
    report.seconds = time.monotonic() - began
    return report


def rebuild(settings: Settings, progress: ShowProgress = silent) -> list[str]:
    """Rebuild the changelogs from the events; return a sentence for each. `groups.WorkersRun` if workers run."""
    from ops.replay.rebuild import rebuild_tables

    with records.kafka(settings):
        _refuse_unfinished_import(settings)
        groups.refuse_running(settings, {reader.role for reader in READERS})
        return asyncio.run(rebuild_tables(settings, progress))


def _refuse_unfinished_import(settings: Settings) -> None:
    try:
        refuse_unfinished_import(settings)
    except UnfinishedImport as error:
        raise Unavailable(f"The tables were not rebuilt: {error}.") from error


async def _verify(settings: Settings, report: Report, progress: ShowProgress) -> None:
    topics = await topic_ids(settings)
    for reader in READERS:
        if settings.named(reader.changelog.name) not in topics:
            raise Unavailable(
                f"Topic {reader.changelog.name} is missing: create it with `fulfillment replay tables --rebuild`."
            )
    for reader in READERS:
        await _positions(settings, reader, topics, report)
    events = {role: await asyncio.to_thread(records.ends, settings, one.topic.name) for role, one in FOLDED.items()}
    with progress("events", sum(sum(ends.values()) for ends in events.values())) as advance:
        for role, ends in events.items():
            for number, end in ends.items():
                await PartitionCheck(settings, role, number, report).run(end)
                advance(end)


async def _positions(settings: Settings, reader: Reader, topics: dict[str, str], report: Report) -> None:
    """Report inputs whose position is missing in a table, or belongs to another topic."""
    inputs = {TP(settings.named(topic.name), n) for topic in reader.inputs for n in range(settings.partitions)}
    committed = await committed_offsets(settings, settings.named(reader.role), inputs)
    changelog = settings.named(reader.changelog.name)
    found = await restored(settings, changelog, range(settings.partitions), reader.codec)
    for tp, offset in sorted(committed.items()):
        position: Any = found[tp.partition].get(position_key(tp.topic))
        where = f"{reader.role}, partition {tp.partition}"
        report.checked["positions"] += 1
        if offset and position is None:
            report.drift(
                Kind.TABLE, where, tp.topic, f"was handled up to {offset}, but the table has no position of it"
            )
        elif position is not None and position.topic_id != topics.get(tp.topic):
            report.drift(Kind.TABLE, where, tp.topic, "was replaced since it was handled")


class Changelogs:
    """Tables read from their changelogs."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def urls(self, role: str) -> list[str]:
        """Return the changelogs of a role's table."""
        return [reader.changelog.name for reader in READERS if reader.role == role]

    async def snapshots(self, role: str, partition: int) -> dict[str, Snapshot] | None:
        """Return the aggregates in a partition of a role's table."""
        reader = next(reader for reader in READERS if reader.role == role)
        changelog = self.settings.named(reader.changelog.name)
        entries = await restored(self.settings, changelog, [partition], reader.codec)
        return SNAPSHOTS[role](entries[partition].raw)


@dataclass
class PartitionCheck:
    """Compares one partition of a role's table."""

    settings: Settings
    role: str
    partition: int
    report: Report
    histories: Histories = field(init=False)

    def __post_init__(self) -> None:
        self.histories = Histories(FOLDED[self.role], self.partition, self.settings.partitions, self.report)

    async def run(self, end: int) -> None:
        """Fold the events before `end`, then compare; entries that are newer are compared after reading further.

        An entry that is older than the events is wrong immediately: both are written in one transaction, and a restore
        waits for open transactions.
        """
        topic = FOLDED[self.role].topic.name
        begins = await asyncio.to_thread(records.begins, self.settings, topic)
        comparison = TableComparison(Changelogs(self.settings), self.role, self.histories)
        with records.Log(self.settings, topic, {self.partition: begins[self.partition]}) as log:
            await self.read(log, end)
            await comparison.compare(list(self.histories.sound()))
            if self.histories.expects:
                ends = await asyncio.to_thread(records.ends, self.settings, topic)
                await self.read(log, ends[self.partition])
                self.histories.give_up()
        comparison.give_up()

    async def read(self, log: records.Log, end: int) -> None:
        """Fold the events before `end`."""
        left = log.upto({self.partition: end})
        while (batch := await asyncio.to_thread(next, left, None)) is not None:
            self.report.events += len(batch)
            for record in batch:
                if (event := event_in(record.value)) is not None:
                    self.histories.apply(event, record.offset)
                else:
                    what = f"the record at offset {record.offset} of partition {self.partition} is not an event"
                    self.report.drift(Kind.HISTORY, record.topic, (record.key or b"").decode(errors="replace"), what)
