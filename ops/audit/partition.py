"""Fold one partition of an event topic, and compare it with its documents and its table.

A document that is newer than the events read so far is compared after reading further; one that is older is compared
once its writer has had time to update it. A running system therefore gives the same result as a stopped one.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from typing import Any

from ops.audit.compare_documents import DocumentComparison
from ops.audit.compare_tables import TableComparison
from ops.audit.documents import CHUNK, Documents, Read
from ops.audit.event_ids import EventIds
from ops.audit.history import Histories
from ops.audit.report import Kind, Report
from ops.audit.tables import Workers
from ops.kafka import records
from ops.progress import Advance
from streams.kafka.unreadable import Unreadable
from streams.messages.codec import decode_event
from streams.messages.envelope import EventMessage
from streams.runtime.settings import Settings

PAUSE_SECONDS = 0.2


@dataclass
class Patience:
    """The total time that an audit waits for projections, over all partitions."""

    seconds: float = 30.0

    async def pause(self) -> bool:
        """Wait a moment; return False if the time is used up."""
        if self.seconds <= 0:
            return False
        began = time.monotonic()
        await asyncio.sleep(PAUSE_SECONDS)
        self.seconds -= time.monotonic() - began
        return True


@dataclass
class PartitionAudit:
    """The audit of one partition from `begin` to `end`; afterwards `position` is the offset it has reached."""

    settings: Settings
    documents: Documents
    workers: Workers
    report: Report
    partition: int
    begin: int
    end: int
    advance: Advance
    patience: Patience
    ids: EventIds
    position: int = 0
    _missing: dict[int, Read] = field(default_factory=dict)  # offset → event without a log entry

    def __post_init__(self) -> None:
        projection = self.documents.projection
        self.topic = projection.topic.name
        self.histories = Histories(projection, self.partition, self.settings.partitions, self.report)
        self._documents = DocumentComparison(self.documents, self.histories)
        self._table = TableComparison(self.workers, projection.name, self.histories)
        self.position = self.begin

    async def run(self) -> Histories:
        """Read, compare, wait for projections, and return the resulting aggregates."""
        with records.Log(self.settings, self.topic, {self.partition: self.begin}) as log:
            async for batch in self._batches(log, self.end):
                self.report.events += len(batch)
                await self._check_entries(batch)
            sound = list(self.histories.sound())
            handled = await self._handled()
            await self._documents.compare(sound, handled)
            await self._table.compare(sound)
            await self._settle(log)
        return self.histories

    async def _batches(self, log: records.Log, end: int) -> AsyncIterator[dict[int, Read]]:
        """Fold all events before `end`; yield them in batches, by offset."""
        left = log.upto({self.partition: end})
        while (batch := await asyncio.to_thread(next, left, None)) is not None:
            events = {record.offset: (message, record) for record in batch if (message := self._decoded(record))}
            for offset, (message, _) in events.items():
                self.histories.apply(message, offset)
                if offset < self.end:
                    self.ids.add(message.id)
            reached = log.positions[self.partition]
            self.advance(min(reached, self.end) - min(self.position, self.end))
            self.position = reached
            yield events

    def _decoded(self, record: Any) -> EventMessage | None:
        """Return the event in a record; other records are drift, and leave a gap in the sequence of their aggregate."""
        key = (record.key or b"").decode(errors="replace")
        try:
            message = decode_event(record.value or b"")
            if not isinstance(message.sequence, int) or not isinstance(message.id, str):
                raise TypeError("it has no valid id or sequence")
        except Exception as error:  # every exception means that the record is not an event
            at = f"offset {record.offset} of partition {self.partition}"
            what = str(record) if isinstance(record, Unreadable) else f"{at}: {type(error).__name__}: {error}"
            self.report.drift(Kind.HISTORY, self.topic, key, what)
            return None
        if message.key != key:
            self.report.drift(Kind.PLACE, self.topic, key, f"{message.type} {message.id} is of {message.key}")
        return message

    async def _handled(self) -> int:
        return await self.documents.handled(self.settings.named(self.topic), self.partition)

    async def _check_entries(self, batch: dict[int, Read]) -> None:
        looked = [self.documents.missing_entries(batch[offset] for offset in offsets) for offsets in chunks(batch)]
        self._missing |= {read[1].offset: read for missing in await asyncio.gather(*looked) for read in missing}
        self.report.checked["log entries"] += len(batch)

    async def _settle(self, log: records.Log) -> None:
        """Read further and compare again until everything is compared or the time is up."""
        while True:
            await self._read_on(log)
            handled = await self._handled()
            await self._judge_entries(handled)
            waits = self._missing or self._documents.behind or self._table.waits
            if not waits or not await self.patience.pause():
                break
            await self._documents.compare(self._documents.take_behind(), handled)
            await self._table.compare_again()
        self.report.in_flight["log entries"] += len(self._missing)
        self.report.in_flight["documents"] += len(self._documents.behind)
        self._table.give_up()

    async def _read_on(self, log: records.Log) -> None:
        if self.histories.expects:
            ends = await asyncio.to_thread(records.ends, self.settings, self.topic)
            async for _ in self._batches(log, ends[self.partition]):
                pass
            self.histories.give_up()
            await self._documents.write_down()

    async def _judge_entries(self, handled: int) -> None:
        """Report log entries that must have been written by now and are still missing."""
        due = [offset for offset in self._missing if offset < handled]
        for offsets in chunks(due):
            await self.documents.lost_entries(self._missing.pop(offset) for offset in offsets)


def chunks(items: Iterable[Any]) -> Iterable[list[Any]]:
    """Return `items` in chunks."""
    all_items = list(items)
    return (all_items[first : first + CHUNK] for first in range(0, len(all_items), CHUNK))
