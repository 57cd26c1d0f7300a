"""`fulfillment replay tables`: what the workers' tables hold, against the event topics it was made of."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from faust.types import TP
from rich.console import Console

from ops.audit.compare_tables import TableComparison
from ops.audit.history import Histories
from ops.audit.report import Kind, Report
from ops.audit.tables import SNAPSHOTS, Snapshot
from ops.commands.audit_tables import report_tables
from ops.errors import Unavailable
from ops.kafka import groups, records
from ops.kafka.adopt import READERS, Reader
from ops.kafka.changelogs import restored
from ops.progress import progress
from projections.projection import Projection
from projections.table import INVENTORY, ORDERS
from streams.kafka.transactions import committed_offsets
from streams.keys import position_key
from streams.messages.codec import event_in
from streams.runtime.settings import Settings
from streams.topics import describe_topics

FOLDED: dict[str, Projection] = {"orders": ORDERS, "inventory": INVENTORY}  # role → what its table is made of
Say = Callable[[str], None]


def verify(settings: Settings, say: Say) -> bool:
    """Compare the changelogs with the events, while workers run or not; return whether they agree."""
    began, report = time.monotonic(), Report()
    with records.kafka(settings):
        asyncio.run(_verify(settings, report))
    report.seconds = time.monotonic() - began
    Console(highlight=False).print(report_tables(report))
    return report.clean


def rebuild(settings: Settings, say: Say) -> bool:
    """Write the changelogs anew, the workers being stopped; then compare them."""
    from ops.replay.rebuild import rebuild_tables

    with records.kafka(settings):
        groups.refuse_running(settings, {reader.role for reader in READERS})
        for sentence in asyncio.run(rebuild_tables(settings)):
            say(sentence)
    return verify(settings, say)


async def _verify(settings: Settings, report: Report) -> None:
    topics = {topic.name: topic.id for topic in await describe_topics(settings)}
    for reader in READERS:
        if settings.named(reader.changelog.name) not in topics:
            raise Unavailable(
                f"Topic {reader.changelog.name} is missing: `fulfillment replay tables --rebuild` makes it."
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
    """Say which inputs a table does not know how far it was handled."""
    inputs = {TP(settings.named(topic.name), n) for topic in reader.inputs for n in range(settings.partitions)}
    committed = await committed_offsets(settings, settings.named(reader.role), inputs)
    changelog = settings.named(reader.changelog.name)
    found = await restored(settings, changelog, range(settings.partitions), reader.codec)
    for tp, offset in sorted(committed.items()):
        position: Any = found[tp.partition].get(position_key(tp.topic))
        where = f"{reader.role}, partition {tp.partition}"
        report.checked["positions"] += 1
        if offset and position is None:
            report.drift(Kind.TABLE, where, tp.topic, f"was handled up to {offset}, and the table does not know")
        elif position is not None and position.topic_id != topics.get(tp.topic):
            report.drift(Kind.TABLE, where, tp.topic, "is another topic than the one that was handled")


class Changelogs:
    """The tables as their changelogs have them."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def urls(self, role: str) -> list[str]:
        """Return where the tables of a role are."""
        return [reader.changelog.name for reader in READERS if reader.role == role]

    async def snapshots(self, role: str, partition: int) -> dict[str, Snapshot] | None:
        """Return what a partition of a role's table holds."""
        reader = next(reader for reader in READERS if reader.role == role)
        changelog = self.settings.named(reader.changelog.name)
        entries = await restored(self.settings, changelog, [partition], reader.codec)
        return SNAPSHOTS[role](entries[partition].raw)


@dataclass
class PartitionCheck:
    """One partition of a role's table."""

    settings: Settings
    role: str
    partition: int
    report: Report
    histories: Histories = field(init=False)

    def __post_init__(self) -> None:
        self.histories = Histories(FOLDED[self.role], self.partition, self.settings.partitions, self.report)

    async def run(self, end: int) -> None:
        """Fold the events before `end`, then compare; what is newer is judged once the log was read on.

        What is older is wrong at once: events and entries are of one transaction, and a restore waits for open ones.
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
                    what = f"no event can be read at offset {record.offset} of partition {self.partition}"
                    self.report.drift(Kind.HISTORY, record.topic, (record.key or b"").decode(errors="replace"), what)
