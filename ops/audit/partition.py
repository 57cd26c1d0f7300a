"""Fold one partition of an event topic, aggregate by aggregate, and compare it with its documents and its table.

A document that is newer than the events read so far is compared after reading further; one that is older is compared
once its writer has had time to update it. A running system therefore gives the same result as a stopped one.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ops.audit.buckets import Buckets
from ops.audit.compare_documents import DocumentComparison
from ops.audit.compare_tables import PAUSE_SECONDS, TableComparison, Tables
from ops.audit.documents import Documents
from ops.audit.entries import add_entries
from ops.audit.groups import Groups
from ops.audit.history import Aggregate, Histories
from ops.audit.laws import location_laws, order_laws, product_laws
from ops.audit.lines import order_facts, reservation_facts
from ops.audit.patience import Patience
from ops.audit.report import Kind, Report
from ops.audit.tallies import TallyComparison
from ops.kafka import records
from ops.progress import Steps
from streams.kafka.unreadable import Unreadable
from streams.messages.codec import decode_event, event_in
from streams.messages.envelope import EventMessage
from streams.runtime.settings import Settings

READ_SHARE = 0.2  # the share of the time until all events of a partition are read
DOCUMENTS = 4_000  # that are compared together


@dataclass
class PartitionAudit:
    """The audit of one partition from `begin` to `end`; later events are read only if states include them."""

    settings: Settings
    documents: Documents
    workers: Tables
    report: Report
    partition: int
    begin: int
    end: int
    advance: Callable[[int], None]
    patience: Patience
    buckets: Buckets
    spill: Path  # a folder for temporary files
    limit: int  # bytes of events and entries in memory
    broken: list[str] = field(default_factory=list)  # aggregates whose events have a gap or do not apply
    _folded: list[Aggregate] = field(default_factory=list)  # aggregates whose documents have not been compared
    _unseen: int = 0  # the number of their documents
    _last: int = -1  # offset of the last record

    def __post_init__(self) -> None:
        projection, self._steps = self.documents.projection, Steps(self.advance, self.end - self.begin)
        self.topic = projection.topic.name
        self.histories = Histories(projection, self.partition, self.settings.partitions, self.report)
        self._documents = DocumentComparison(self.documents, self.histories)
        self._table = TableComparison(self.workers, projection.name, self.histories)
        self._tallies = TallyComparison(self.documents, self.partition)

    async def run(self) -> None:
        """Read, fold, compare, and wait for projections."""
        with (
            records.Log(self.settings, self.topic, {self.partition: self.begin}) as log,
            Groups(self.partition, self.spill, self.limit) as groups,
        ):
            await self._collect(log, groups)
            await self._wait_for_projection()
            await self._tallies.begin(self._last + 1, await self._handled(), self._later)
            await self._table.collect(groups)
            await self._fold(groups)
            await self._settle(log)
            await self._tallies.finish()
        self.buckets.close()

    # --- reading

    async def _collect(self, log: records.Log, groups: Groups) -> None:
        """Read all events before the end."""
        left = log.upto({self.partition: self.end})
        while (batch := await asyncio.to_thread(next, left, None)) is not None:
            self.report.events += len(batch)
            for record in batch:
                self._group(groups, record)
                self._last = record.offset
            self._steps.reach(READ_SHARE * (log.positions[self.partition] - self.begin) / self._steps.count)

    def _group(self, groups: Groups, record: records.Record) -> None:
        """Add an event to its aggregate; other records are drift, and leave a gap in a sequence."""
        owner, value = record.key, record.value
        if owner is None or value is None or b'"subject":"%b"' % owner not in value:
            if (message := self._decoded(record)) is None:
                return
            key = (owner or b"").decode(errors="replace")
            self._is_of(key, message)
            owner = message.key.encode()
        groups.add_event(owner, records.BulkRecord(owner, value, record.partition, record.offset, record.timestamp))

    def _decoded(self, record: Any) -> EventMessage | None:
        """Return the event in a record; report a record that contains no event."""
        try:
            message = decode_event(record.value or b"")
            if not isinstance(message.sequence, int) or not isinstance(message.id, str):
                raise TypeError("it has no valid id or sequence")
        except Exception as error:  # every exception means that the record is not an event
            key, at = (record.key or b"").decode(errors="replace"), f"offset {record.offset}"
            what = f"{at} of partition {self.partition}: {type(error).__name__}: {error}"
            self.report.drift(Kind.HISTORY, self.topic, key, str(record) if isinstance(record, Unreadable) else what)
            return None
        return message

    def _is_of(self, key: str, message: EventMessage) -> bool:
        """Return whether an event is about the aggregate that its record's key names, or report that it is not."""
        if message.key == key:
            return True
        self.report.drift(Kind.PLACE, self.topic, key, f"{message.type} {message.id} is of {message.key}")
        return False

    async def _later(self, upto: int) -> list[EventMessage]:
        """Return the events from the end to an offset, as far as there are any."""
        ends = await asyncio.to_thread(records.ends, self.settings, self.topic)
        with records.Log(self.settings, self.topic, {self.partition: self._last + 1}) as log:
            left = log.upto({self.partition: min(upto, ends[self.partition])})
            batches = await asyncio.to_thread(list, left)
        return [message for batch in batches for record in batch if (message := event_in(record.value)) is not None]

    # --- folding

    async def _wait_for_projection(self) -> None:
        """Wait until the last event is projected, so that few documents have to be compared twice."""
        while await self._handled() <= self._last and await self.patience.pause():
            pass

    async def _fold(self, groups: Groups) -> None:
        """Fold and compare one aggregate after the other."""
        done, count = 0, max(self.report.events, 1)
        for group in groups:
            key = group.id.decode(errors="replace")
            for record in group.events:
                if (message := self._decoded(record)) is not None and self._is_of(key, message):
                    self.histories.apply(message, record.offset)
                    self.buckets.add_id("ids", message.id)
                    add_entries(self.buckets, self.documents.projection, message, record)
                    self.report.checked["log entries"] += 1
                done += 1
            self._table.look(key, group.entries)
            if (aggregate := self.histories.aggregates.get(key)) is not None:
                self._close(aggregate)
                if self._unseen >= DOCUMENTS:
                    await self._compare()
                    self._steps.reach(READ_SHARE + (1 - READ_SHARE) * done / count)
        await self._compare()
        self._steps.reach(1)

    def _close(self, aggregate: Aggregate) -> None:
        """Check the laws of an aggregate, and write down what others are compared with."""
        for model in self.documents.projection.models:
            views = aggregate.views.get(model.collection, {})
            self._unseen += len(views)
            for key, view in views.items():
                self.buckets.add_id(model.place_of(view), key)
        self._tallies.add(aggregate)
        self._folded.append(aggregate)
        if aggregate.broken:
            self.broken.append(aggregate.key)
        elif "orders" in aggregate.views:
            self._close_order(aggregate)
        else:
            self._close_product(aggregate)

    def _close_order(self, order: Aggregate) -> None:
        self.report.checked["orders"] += 1
        view = order.views["orders"][order.key]
        for what in order_laws(view.order):
            self.report.drift(Kind.ORDER, self.topic, order.key, what)
        for identifier, fact in order_facts(view, order.began[order.key]):
            self.buckets.add("lines", identifier, fact)

    def _close_product(self, product: Aggregate) -> None:
        self.report.checked["products"] += 1
        views = product.views.get("reservations", {})
        self.report.checked["reservations"] += len(views)
        stock = product.views["inventory"][product.key].stock
        reservations = [view.reservation for view in views.values()]
        for what in (*product_laws(stock.balance, reservations), *location_laws(stock, reservations)):
            self.report.drift(Kind.PRODUCT, self.topic, product.key, what)
        for identifier, fact in reservation_facts(views, product.began):
            self.buckets.add("reserved", identifier, fact)

    # --- comparing

    async def _compare(self) -> None:
        """Compare the documents of the folded aggregates, and forget the finished ones."""
        folded, self._folded, self._unseen = self._folded, [], 0
        await self._documents.compare((each for each in folded if not each.broken), await self._handled())
        kept = {each.key for each in self._documents.behind.values()} | self._table.behind.keys()
        self.histories.release(each.key for each in folded if each.key not in kept)

    async def _handled(self) -> int:
        return await self.documents.handled(self.settings.named(self.topic), self.partition)

    async def _settle(self, log: records.Log) -> None:
        """Read further and compare again until everything is compared or the time is up."""
        while True:
            await self._read_on(log)
            if self._table.waits:  # for some seconds of its own: other partitions may have used up the patience
                await asyncio.sleep(PAUSE_SECONDS)
            elif not self._documents.behind or not await self.patience.pause():
                break
            await self._documents.compare_again(await self._handled())
            await self._table.compare_again()
        self.report.in_flight["documents"] += len(self._documents.behind)
        self._table.give_up()

    async def _read_on(self, log: records.Log) -> None:
        """Fold the later events of aggregates that are still compared, and of new ones."""
        if not self.histories.expects:
            return
        ends = await asyncio.to_thread(records.ends, self.settings, self.topic)
        left = log.upto({self.partition: ends[self.partition]})
        while (batch := await asyncio.to_thread(next, left, None)) is not None:
            for record in batch:
                message = event_in(record.value)
                if message and (message.sequence == 1 or message.key in self.histories.aggregates):
                    self.histories.apply(message, record.offset)
        self.histories.give_up()
        await self._documents.write_down()
