"""A worker of a transactional role: claims its transactional id, restores its table, commits one transaction per fetch.

`handle` is the life of a fetch; due timers are handled like one. Partitions are prepared in `preparing.py` and stopped
in `stopping.py`.
"""

import asyncio
import logging
import time
from collections.abc import Mapping
from time import perf_counter

from faust.types import TP

from streams.kafka.brokers import Refused, TooOld
from streams.kafka.transactions import NOT_ALLOWED, Aborted, RefusedByKafka, Transactions, Unclear
from streams.kafka.transport import Fetch, Offsets, Prepared
from streams.runtime.app import RoleApp
from streams.runtime.faults import fault
from streams.runtime.process import EX_CONFIG, end_process
from streams.runtime.settings import Settings
from streams.topology import group_of, instance_of
from streams.tracing import traces

from .aggregate import AggregateKind
from .archiving import Archiving
from .deciding import Aside, Decided, Deciding
from .firing import Firing
from .metrics import DECIDE_SECONDS, TRANSACTION_SECONDS, observe_handled
from .older_events import OlderEvents
from .portions import Portions
from .preparing import Preparing, topic_ids_of
from .refusing import Refusal
from .restoring import NotRestored, Restoring, archived_in
from .stopping import LONGEST_PAUSE_SECONDS, Stopping
from .traces import committed

log = logging.getLogger(__name__)


class TransactionalWorker:
    """Decides the commands of an aggregate: one fetch, one transaction."""

    def __init__(self, app: RoleApp, settings: Settings, kind: AggregateKind) -> None:
        self.app, self.settings, role = app, settings, kind.topics.role
        group = group_of(role, settings)
        self.transactions = Transactions(settings, group, instance_of(role, settings))
        self.topic_ids: dict[str, str] = {}
        self.stopping = Stopping(app, role, settings)
        table = self._table = kind.table(app)
        older_events = OlderEvents(app, settings, kind.topics.events, self.transactions)
        self.preparing = Preparing(app, settings, group, table, self.topic_ids, older_events)
        self._deciding = Deciding(settings, kind, table, self.topic_ids, self.stopping.skips.reasons)
        self.portions = Portions(self)
        self.firing = Firing(self)
        self._restoring = Restoring(settings, self._deciding.answering.restored, app.say_waiting)
        self._turn = asyncio.Lock()  # a decision must be merged before the next one is made
        self.archiving: Archiving | None = None
        if kind.aggregate == "order" and settings.closed_after:
            self.archiving = Archiving(app, settings, table, self.topic_ids, self.aside)

    # --- starting

    async def start(self) -> None:
        """Check the topics and claim the transactional id, which fences an earlier worker."""
        fault("starting")
        self.topic_ids |= await topic_ids_of(self.app, self._deciding.writes_keys)
        await self._claim()
        fault("claimed")
        if self.archiving is not None:
            self.app.add_future(self.archiving.run())

    async def _claim(self) -> None:
        """Claim the transactional id; while that is not allowed, wait."""
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

    async def prepare(self, inputs: set[TP]) -> Prepared:
        """Restore the table's partitions, and return the offset at which each input partition continues."""
        return await self.preparing.prepare(inputs)

    def due(self) -> Mapping[int, float]:
        """Return the seconds until the next timer of each partition that has timers."""
        now = time.time()
        seconds = {number: each.timers.seconds(now) for number, each in self._table.data.partitions.items()}
        return {number: left for number, left in seconds.items() if left is not None}

    def tell(self, lag: Mapping[TP, int]) -> None:
        """Set no metrics besides those of all workers."""

    # --- one fetch

    async def handle(self, fetch: Fetch) -> Offsets | None:
        """Decide a fetch and commit it as one transaction, or in portions if Kafka refuses that transaction.

        Return the offsets up to which its partitions are handled; None when the fetch must be read again.
        """
        async with self._turn:
            if not self.app.consumer.is_current(fetch):
                return None
            if fetch.timers:
                return await self.firing.commit(fetch)
            if (decided := await self._decide(fetch)) is None:
                return None
            try:
                handled = await self.commit(fetch, decided)
            except RefusedByKafka as refused:
                log.warning(
                    "handling %d records in portions, because Kafka refused their transaction: %s", len(fetch), refused
                )
                return await self.portions.commit(fetch)
            self.portions.taken(decided)
        if self.archiving is not None:
            self.archiving.see(fetch)
        return handled

    def fire(self, fetch: Fetch, limit: int) -> Decided:
        """Decide what the due timers of a fetch cause, at most `limit` of them."""
        with DECIDE_SECONDS.time():
            decided: Decided = self._deciding.fire(fetch, limit)
        return decided

    async def _decide(self, fetch: Fetch) -> Decided | None:
        """Decide a fetch, after reading the events of the archived orders that it concerns.

        Return None if its partitions were assigned again meanwhile: the table may not have them any more.
        """
        self._restoring.restored.clear()

        def is_current() -> bool:
            return self.app.consumer.is_current(fetch)  # type: ignore[no-any-return]  # Faust is not typed

        while is_current():
            try:
                return self.decide(fetch)
            except NotRestored as needed:
                others = archived_in(fetch, self._deciding.table.data.partitions)
                await self._restoring.load([needed.order, *others], is_current)
        return None

    async def aside(self, tp: TP, decide: Aside) -> bool:
        """Commit a decision without a record, between two fetches; return False if the partition must not change now.

        Raise `RefusedByKafka` if Kafka refuses it.
        """
        async with self._turn:
            consumer, progress = self.app.consumer, self.app.consumer.progress
            fetch = Fetch(progress.epoch, consumer.member(), {})
            if not consumer.is_current(fetch) or progress.member != fetch.member or tp not in progress.handled:
                return False
            decided = self._deciding.aside(tp, progress.handled[tp], decide)
            return decided is None or await self.commit(fetch, decided) is not None

    def decide(self, fetch: Fetch, refusal: Refusal | None = None) -> Decided:
        """Decide a fetch; `refusal` says how to handle its only record if Kafka refused that."""
        with DECIDE_SECONDS.time():
            decided: Decided = self._deciding.decide(fetch, refusal)
        return decided

    async def commit(self, fetch: Fetch, decided: Decided, *, singly: bool = False) -> Offsets | None:
        """Write a decided fetch in one transaction, then merge it into the table; return None if it is aborted.

        Raise `RefusedByKafka` if Kafka will never accept it. `singly` puts each message into a batch of its own.
        """
        fault("decided")
        if decided.outdated:
            return None
        began = perf_counter()
        offsets = decided.offsets
        try:
            ends = await self.transactions.commit(decided.writes, offsets, fetch.member, singly=singly)
        except RefusedByKafka:
            TRANSACTION_SECONDS.labels("aborted").observe(perf_counter() - began)
            raise
        except Aborted as aborted:
            TRANSACTION_SECONDS.labels("aborted").observe(perf_counter() - began)
            log.warning("deciding %d records again, because their transaction was aborted: %s", len(fetch), aborted)
            return None
        except Unclear as unclear:
            end_process(f"it is unknown whether a transaction of {len(fetch)} records was committed: {unclear}")
        if fetch.timers:
            fault("timers-fired")
        seconds = perf_counter() - began
        TRANSACTION_SECONDS.labels("committed").observe(seconds)
        if traces.ON is not None and decided.spans:
            committed(traces.ON, decided.spans, decided.began, seconds)
        decided.merge(ends)
        if fetch.parts and not fetch.timers:
            observe_handled(decided.handled)
        fault("merged")
        for tp, stop in decided.stops.items():
            self.stopping.stop(tp, stop.record, stop.why)
        log.debug("committed %d records, %d writes", len(fetch), len(decided.writes))
        return offsets
