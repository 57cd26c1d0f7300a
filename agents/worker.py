"""What the transactional roles share: a table, a transactional producer, and how their partitions are prepared."""

import logging
from collections.abc import AsyncIterator, Callable
from time import perf_counter
from typing import Any

from aiokafka import ConsumerRecord
from faust.types import TP

from streams import traces
from streams.app import RoleApp, group_of, instance_of
from streams.brokers import Refused, TooOld
from streams.faults import fault
from streams.process import EX_CONFIG, end_process
from streams.settings import Role, Settings
from streams.topics import Topic, describe_topics
from streams.transactions import Aborted, Transactions, Unclear, committed_offsets
from streams.transport import Fetch, fetches
from streams.unreadable import CannotRead, Unreadable
from tables.entries import Position, position_key
from tables.restore import restore
from tables.store import Entries, PartitionedTable

from .deciding import AggregateKind, Decided, Deciding
from .metrics import RECOVERED_ENTRIES, RECOVERY_SECONDS, TRANSACTION_SECONDS, observe_handled, timed
from .skips import Skips
from .traces import committed

log = logging.getLogger(__name__)


class ProcessingWorker:
    """A worker of a role that reads, decides and writes: one fetch, one transaction."""

    def __init__(self, app: RoleApp, role: Role, settings: Settings) -> None:
        self.app, self.settings = app, settings
        self.group = group_of(role, settings)
        self.transactions = Transactions(settings, self.group, instance_of(role, settings))
        self.topic_ids: dict[str, str] = {}
        self.skips = Skips(app, role, settings)
        self.table: PartitionedTable | None = None
        app.prepare = self._prepare
        app.starting = self._start

    # --- what a role says of itself

    def keeps(self, table: PartitionedTable) -> None:
        """Say which table the role owns."""
        self.table = table

    def deciding(self, kind: AggregateKind, table: PartitionedTable) -> Callable[[Fetch], Decided]:
        """Return the function that decides a fetch of an aggregate's commands."""
        self.keeps(table)
        return timed(Deciding(self.settings, kind, table, self.topic_ids, self.skips.reasons).decide)

    def agent(self, *inputs: Topic) -> Callable[[Callable[[Any], Any]], Any]:
        """Make a function the Faust agent of `inputs`; whatever escapes it ends the process."""
        return self.app.fetch_agent(*inputs)

    # --- what its agent does

    def fetches(self, stream: Any) -> AsyncIterator[Fetch]:
        """Yield the fetches that are to be handled."""
        return fetches(stream)

    async def commit(self, fetch: Fetch, decided: Decided) -> None:
        """Write what a fetch led to in one transaction; merge it into the table only when that is committed."""
        fault("decided")
        began = perf_counter()
        try:
            await self.transactions.commit(decided.writes, decided.offsets, fetch.member)
        except Aborted as aborted:
            TRANSACTION_SECONDS.labels("aborted").observe(perf_counter() - began)
            log.warning("%d records are decided again, their transaction was aborted: %s", len(fetch), aborted)
        except Unclear as unclear:
            end_process(f"nobody knows whether a transaction of {len(fetch)} records was committed: {unclear}")
        else:
            TRANSACTION_SECONDS.labels("committed").observe(perf_counter() - began)
            if traces.ON is not None and decided.spans:
                committed(traces.ON, decided.spans, decided.began, perf_counter() - began)
            decided.merge()
            observe_handled(fetch)
            fault("merged")
            fetch.done = True
            for tp, reason in decided.stops.items():
                log.error("%s", reason)
                self.app.consumer.stop_partition(tp, reason)
            for record in decided.unreadable:
                self.stop_partition(TP(record.topic, record.partition), record, CannotRead(str(record)))
            log.debug("committed %d records, %d writes", len(fetch), len(decided.writes))

    def stop_partition(self, tp: TP, record: ConsumerRecord, bug: Exception) -> None:
        """Go no further in a partition whose next record cannot be handled: later ones depend on it."""
        if isinstance(record, Unreadable):
            reason = self.skips.blocked_by(record)
            log.error("%s", reason)
        else:
            reason = f"{tp.topic}/{tp.partition} stands at offset {record.offset}: {type(bug).__name__}: {bug}"
            log.error("%s", reason, exc_info=bug)
        self.app.consumer.stop_partition(tp, reason)
        self.skips.wait_for(record)

    # --- how it begins

    async def _start(self) -> None:
        fault("starting")
        try:
            await self.transactions.start()
        except (Refused, TooOld) as no:
            end_process(f"the transactional id cannot be claimed: {no}", EX_CONFIG)
        fault("claimed")
        wanted = {self.settings.named(topic.name) for topic in self.app.input_topics}
        found = {topic.name: topic.id for topic in await describe_topics(self.settings)}
        if missing := wanted - found.keys():
            end_process(f"topics are missing: {', '.join(sorted(missing))}; run `fulfillment topics create`", EX_CONFIG)
        self.topic_ids.update({name: found[name] for name in wanted})

    async def _prepare(self, inputs: set[TP]) -> dict[TP, int]:
        """Restore the table and return where each input goes on: once no earlier owner's transaction is pending."""
        assert self.table is not None
        began = perf_counter()
        offsets = await committed_offsets(self.settings, self.group, inputs, self.app.say_waiting)
        fault("offsets-read")
        changelog = self.table.changelog_topic.get_topic_name()
        restored = await restore(self.settings, changelog, {tp.partition for tp in inputs}, self.table.codec)
        fault("restored")
        for tp in inputs:
            self._refuse_another_topic(tp, restored[tp.partition])
            self._refuse_lost_table(tp, offsets[tp], restored[tp.partition])
        self.table.data.replace(restored)
        RECOVERY_SECONDS.observe(perf_counter() - began)
        RECOVERED_ENTRIES.inc(sum(len(entries.raw) for entries in restored.values()))
        return offsets

    def _refuse_another_topic(self, tp: TP, entries: Entries[Any]) -> None:
        position: Position | None = entries.get(position_key(tp.topic))
        if position is not None and position.topic_id != self.topic_ids[tp.topic]:
            end_process(
                f"topic {tp.topic} is not the one this installation has read up to offset {position.offset}: it was "
                "deleted and created again. Bring the old one back, or accept the new one with "
                "`fulfillment topics adopt`",
                EX_CONFIG,
            )

    def _refuse_lost_table(self, tp: TP, committed: int, entries: Entries[Any]) -> None:
        """Every transaction that commits an offset writes a position: without one the changelog has lost the table."""
        if committed > 0 and position_key(tp.topic) not in entries:
            assert self.table is not None
            end_process(
                f"{tp.topic} was handled up to offset {committed} of partition {tp.partition}, and the changelog "
                f"{self.table.changelog_topic.get_topic_name()} knows nothing of it: it was lost. Stop the workers and "
                "make it again with `fulfillment replay tables --rebuild`",
                EX_CONFIG,
            )
