"""What the transactional roles share: a table, a transactional producer, and how their partitions are prepared."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from time import perf_counter
from typing import Any

from aiokafka import ConsumerRecord
from aiokafka.errors import KafkaError
from faust.types import TP

from streams.kafka.brokers import Refused, TooOld
from streams.kafka.transactions import NOT_ALLOWED, Aborted, RefusedByKafka, Transactions, Unclear, committed_offsets
from streams.kafka.transport import Fetch, fetches
from streams.kafka.unreadable import CannotRead, Unreadable
from streams.runtime.app import RoleApp
from streams.runtime.faults import fault
from streams.runtime.process import EX_CONFIG, end_process
from streams.runtime.settings import Role, Settings
from streams.topics import describe_topics
from streams.topology import group_of, instance_of
from streams.tracing import traces
from tables.entries import Position, position_key
from tables.restore import restore
from tables.store import Entries, PartitionedTable

from .deciding import AggregateKind, Decided, Deciding
from .metrics import RECOVERED_ENTRIES, RECOVERY_SECONDS, TRANSACTION_SECONDS, observe_handled, timed
from .portions import Event, Portions, Refusal
from .skips import Skips
from .traces import committed

log = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 30.0  # before a partition is tried again that Kafka refused


class Pauses:
    """How long to wait before a partition is tried again at the same record: longer each time."""

    def __init__(self) -> None:
        self._last: dict[TP, tuple[int, float]] = {}  # offset, seconds

    def after(self, tp: TP, offset: int) -> float:
        """Return the seconds to wait."""
        at, last = self._last.get(tp, (-1, 0.0))
        pause = min(last * 2, LONGEST_PAUSE_SECONDS) if at == offset else FIRST_PAUSE_SECONDS
        self._last[tp] = offset, pause
        return pause


class ProcessingWorker:
    """A worker of a role that reads, decides and writes: one fetch, one transaction."""

    def __init__(self, app: RoleApp, role: Role, settings: Settings) -> None:
        self.app, self.settings = app, settings
        self.group = group_of(role, settings)
        self.transactions = Transactions(settings, self.group, instance_of(role, settings))
        self.topic_ids: dict[str, str] = {}
        self.skips = Skips(app, role, settings)
        self.table: PartitionedTable | None = None
        self.refusals: dict[Event, Refusal] = {}  # records that Kafka refuses alone, while they are decided
        self.portions = Portions(self)
        self._pauses, self._trying = Pauses(), dict[TP, asyncio.Task[None]]()
        app.prepare = self._prepare
        app.starting = self._start

    # --- what a role says of itself

    def keeps(self, table: PartitionedTable) -> None:
        """Say which table the role owns."""
        self.table = table

    def deciding(self, kind: AggregateKind, table: PartitionedTable) -> Callable[[Fetch], Decided]:
        """Return the function that decides a fetch of an aggregate's commands."""
        self.keeps(table)
        return timed(Deciding(self.settings, kind, table, self.topic_ids, self.skips.reasons, self.refusals).decide)

    def agent(self) -> Callable[[Callable[[Any], Any]], Any]:
        """Make a function the Faust agent of what the role reads; whatever escapes it ends the process."""
        return self.app.fetch_agent()

    # --- what its agent does

    def fetches(self, stream: Any) -> AsyncIterator[Fetch]:
        """Yield the fetches that are to be handled."""
        return fetches(stream)

    async def handle(self, fetch: Fetch, decide: Callable[[Fetch], Decided]) -> None:
        """Decide a fetch and commit it: as one, or in portions where Kafka refuses what some record of it leads to."""
        records = {tp: part.records for tp, part in fetch.parts.items()}  # `decide` leaves out those it stops at
        decided = decide(fetch)
        try:
            await self.commit(fetch, decided)
        except RefusedByKafka as refused:
            log.warning("%d records are handled in portions, Kafka refuses what they lead to: %s", len(fetch), refused)
            records |= {tp: part.records for tp, part in fetch.parts.items() if self.is_stopped(tp)}
            await self.portions.commit(fetch, [(tp, one) for tp, some in records.items() for one in some], decide)
        else:
            self.portions.taken(decided)

    async def commit(self, fetch: Fetch, decided: Decided, *, singly: bool = False) -> None:
        """Write what a fetch led to in one transaction; merge it into the table only when that is committed.

        `RefusedByKafka` when it will never be; `singly`: each message in a batch of its own.
        """
        fault("decided")
        began = perf_counter()
        try:
            await self.transactions.commit(decided.writes, decided.offsets, fetch.member, singly=singly)
        except RefusedByKafka:
            TRANSACTION_SECONDS.labels("aborted").observe(perf_counter() - began)
            raise
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
        elif isinstance(bug, RefusedByKafka):
            reason = (
                f"{tp.topic}/{tp.partition} is blocked at offset {record.offset}: Kafka refuses what that record leads "
                f"to: {bug}; it is tried again every {LONGEST_PAUSE_SECONDS:.0f} s"
            )
            log.error("%s", reason)
            self._trying[tp] = asyncio.create_task(self._try_again(tp, self._pauses.after(tp, record.offset)))
        else:
            reason = f"{tp.topic}/{tp.partition} is blocked at offset {record.offset}: {type(bug).__name__}: {bug}"
            log.error("%s", reason, exc_info=bug)
        self.app.consumer.stop_partition(tp, reason)
        self.skips.wait_for(record)

    @property
    def skipped(self) -> Mapping[Event, str]:
        """The records that an operator said to skip, and why."""
        return self.skips.reasons

    def is_stopped(self, tp: TP) -> bool:
        """Return whether a partition goes no further."""
        return tp in self.app.consumer.progress.stopped

    async def _try_again(self, tp: TP, pause: float) -> None:
        consumer, progress = self.app.consumer, self.app.consumer.progress
        await asyncio.sleep(pause)
        if consumer.progress is not progress:
            return  # it was assigned since, and tried then
        self.skips.wait_no_longer(tp)
        try:
            await consumer.go_on(tp)
        except KafkaError as error:
            log.warning("%s/%d cannot be read, trying again: %r", *tp, error)
            self._trying[tp] = asyncio.create_task(self._try_again(tp, LONGEST_PAUSE_SECONDS))

    # --- how it begins

    async def _start(self) -> None:
        fault("starting")
        wanted = {self.settings.named(topic.name) for topic in self.app.reads}
        described = await describe_topics(self.settings)
        for topic in described:
            if topic.name in wanted and topic.partitions != self.settings.partitions:
                end_process(
                    f"topic {topic.name} has {topic.partitions} partitions: set FULFILLMENT_PARTITIONS to that, it is "
                    f"{self.settings.partitions}",
                    EX_CONFIG,
                )
        found = {topic.name: topic.id for topic in described}
        if missing := wanted - found.keys():
            end_process(f"topics are missing: {', '.join(sorted(missing))}; run `fulfillment topics create`", EX_CONFIG)
        self.topic_ids.update({name: found[name] for name in wanted})
        await self._claim()  # last: it fences another worker of the same name
        fault("claimed")

    async def _claim(self) -> None:
        """Claim the transactional id; where that is not allowed, wait until it is."""
        while True:
            try:
                await self.transactions.start()
                return
            except (Refused, TooOld) as no:
                reason = f"the transactional id cannot be claimed: {no}"
                if isinstance(no, TooOld) or no.code not in NOT_ALLOWED:
                    end_process(reason, EX_CONFIG)
                log.error("%s", reason)
                self.app.say_waiting(reason)
            await asyncio.sleep(LONGEST_PAUSE_SECONDS)

    async def _prepare(self, inputs: set[TP]) -> dict[TP, int]:
        """Restore the table and return where each input goes on: once no earlier owner's transaction is pending."""
        assert self.table is not None
        began = perf_counter()
        offsets = await committed_offsets(self.settings, self.group, inputs, self.app.say_waiting)
        fault("offsets-read")
        changelog = self.table.changelog_topic.get_topic_name()
        lost: dict[int, str] = {}
        restored = await restore(self.settings, changelog, {tp.partition for tp in inputs}, self.table.codec, lost)
        fault("restored")
        self.app.withheld = {
            tp: f"{tp.topic}/{tp.partition} is blocked, its table is lost: {lost[tp.partition]}; stop the workers and "
            "rebuild it with `fulfillment replay tables --rebuild`"
            for tp in inputs
            if tp.partition in lost
        }
        for reason in self.app.withheld.values():
            log.error("%s", reason)
        for tp in inputs - self.app.withheld.keys():
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
