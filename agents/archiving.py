"""Archives closed orders that have not changed for a long time, between two fetches.

The events of a partition are read in order, up to the last event of a closed order that is not old enough. So
order-events is the index of closed orders by time, each event is read once, and an order is found
when its last event is read. The entry of an archived order keeps the offsets of its events, from which it is restored.

Time is the broker's: that of the newest command this worker has handled. A worker's own clock archives nothing.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from faust.types import TP

from domain.orders.archiving import archive
from streams.kafka.clients import aiokafka_config
from streams.kafka.library_patches import AIOKafkaConsumer
from streams.kafka.received import received_at
from streams.kafka.transactions import RefusedByKafka, Write
from streams.kafka.transport import Fetch, Progress
from streams.keys import position_key, segment
from streams.messages.codec import event_in
from streams.messages.envelope import CONTENT_TYPE, EventMessage, event_id, instant_of
from streams.runtime.app import RoleApp
from streams.runtime.faults import fault
from streams.runtime.settings import Settings
from streams.topics import ORDER_COMMANDS, ORDER_EVENTS, topic_ids
from tables.entries import Position
from tables.orders import ArchivedEntry, OrderEntry
from tables.store import Changes, Entries, PartitionedTable

from .deciding import Aside

log = logging.getLogger(__name__)
DAY_SECONDS = 86_400
PORTION = 200  # orders archived in one transaction
BATCH = 500  # events read at once
KNOWN = 10_000  # orders per partition whose offsets are in memory; the offsets of others are searched for when needed
WARM_UP = 20_000  # offsets before the position that are read again after an assignment, to know the offsets of orders
LEAST_PAUSE, LONGEST_PAUSE = 0.2, 600.0  # seconds between two checks
REST = 4  # the share of time that commands have, compared with that of archiving


class Found(NamedTuple):
    """An order that may be archived: the message of its last event, and the offsets of its events."""

    last: EventMessage
    offsets: tuple[int, ...]


@dataclass
class Trail:
    """One partition of events: how far it was followed, and the offsets of recent orders' events."""

    next: int  # offset
    warm: bool = False  # whether the events before it were read, too
    known: dict[bytes, list[int]] = field(default_factory=dict)
    due: float | None = None  # when the order at `next` may be archived (Unix seconds); None: read on

    def see(self, record: Any) -> None:
        """Remember where an event of an order is."""
        offsets = self.known.setdefault(record.key, [])
        if not offsets or offsets[-1] < record.offset:
            offsets.append(record.offset)
        if len(self.known) > KNOWN:
            del self.known[next(iter(self.known))]


class Archiving:
    """Archives the orders of the partitions that a worker owns.

    `commit` commits a decision about a partition of commands; it returns False if the partition is not to be changed.
    """

    def __init__(
        self,
        app: RoleApp,
        settings: Settings,
        table: PartitionedTable,
        topic_ids: Mapping[str, str],
        commit: Callable[[TP, Aside], Coroutine[Any, Any, bool]],
    ) -> None:
        self.app, self.settings, self.table, self.topic_ids, self._commit = app, settings, table, topic_ids, commit
        self.commands, self.events = settings.named(ORDER_COMMANDS.name), settings.named(ORDER_EVENTS.name)
        self.seconds = settings.closed_after * DAY_SECONDS
        self.now = 0.0  # the broker's time, Unix seconds
        self._progress: Progress | None = None
        self._trails: dict[int, Trail] = {}
        self._topic_id = ""

    def see(self, fetch: Fetch) -> None:
        """Learn the time from the commands of a fetch."""
        for part in fetch.parts.values():
            if part.records:
                self.now = max(self.now, received_at(part.records[-1]))

    async def run(self) -> None:
        """Archive orders until the process ends."""
        pause = min(max(self.seconds / 20, LEAST_PAUSE), LONGEST_PAUSE)
        while True:
            await asyncio.sleep(pause)
            try:
                await self._look()
            except (KafkaError, OSError, RefusedByKafka) as error:
                log.warning("closed orders cannot be archived now, retrying: %r", error)
                self._progress = None
            except Exception:
                log.exception("closed orders cannot be archived now, retrying")
                self._progress = None

    async def _look(self) -> None:
        """Archive what is old enough in the partitions that this worker owns now."""
        consumer = self.app.consumer
        if not consumer.prepared or not self.now:
            return
        if consumer.progress is not self._progress:
            await self._begin(consumer.progress)
        left = [number for number, trail in self._trails.items() if trail.due is None or trail.due <= self.now]
        if not left:
            return
        async with self._reader() as reader:
            for number in left:
                await self._follow(reader, number, self._trails[number])

    async def _begin(self, progress: Progress) -> None:
        """Continue in each partition where its table says; the partitions may have had another owner."""
        self._topic_id = (await topic_ids(self.settings, (ORDER_EVENTS,))).get(self.events, "")
        self._trails = {}
        for number, entries in self.table.data.partitions.items():
            position: Position | None = entries.get(position_key(self.events))
            reached = position.offset + 1 if position is not None and position.topic_id == self._topic_id else 0
            self._trails[number] = Trail(reached)
        self._progress = progress

    def _reader(self) -> Any:
        return AIOKafkaConsumer(
            **aiokafka_config(self.settings),
            enable_auto_commit=False,
            isolation_level="read_committed",
            auto_offset_reset="earliest",
            fetch_max_wait_ms=100,
        )

    # --- one partition

    async def _follow(self, reader: Any, number: int, trail: Trail) -> None:
        """Follow a partition until an order is not old enough, or the events end."""
        at = TopicPartition(self.events, number)
        reader.assign([at])
        begin, end = (await reader.beginning_offsets([at]))[at], (await reader.end_offsets([at]))[at]
        trail.due = None
        reader.seek(at, max(begin, trail.next if trail.warm else trail.next - WARM_UP))
        while await reader.position(at) < end and self._is_current:
            began = time.perf_counter()
            records = (await reader.getmany(at, timeout_ms=100, max_records=BATCH)).get(at, ())
            if not records and await reader.position(at) < end:
                return  # an open transaction holds them back
            left = list(self._new(trail, records))
            while left and trail.due is None and self._is_current:
                some, left = left[:PORTION], left[PORTION:]
                if not await self.archive(number, trail, some):
                    return
            position = await reader.position(at)
            trail.warm = trail.warm or position >= trail.next
            if trail.due is not None:
                return
            trail.next = max(trail.next, position)
            await asyncio.sleep((time.perf_counter() - began) * REST)

    @property
    def _is_current(self) -> bool:
        return self.app.consumer.prepared and self.app.consumer.progress is self._progress

    def _new(self, trail: Trail, records: Sequence[Any]) -> Iterator[Any]:
        """Yield the last record of each order in records that were not followed yet; remember where all are."""
        last: dict[bytes, Any] = {}
        for record in records:
            if record.key:
                trail.see(record)
                if record.offset >= trail.next:
                    last.pop(record.key, None)  # in the order of their last records
                    last[record.key] = record
        yield from last.values()

    async def archive(self, number: int, trail: Trail, records: Sequence[Any]) -> bool:
        """Archive the orders of which these are the last events, up to one that is not old enough.

        Return False if the partition is not ours now.
        """
        found = list(self._found(self.table.data.partitions[number], trail, records))
        if not found:
            return True
        fault("to-archive")
        reached = trail.next - 1 if trail.due is not None else records[-1].offset
        position = Position(reached, self._topic_id)
        if not await self._commit(
            TP(self.commands, number), lambda changes: self._decide(number, found, position, changes)
        ):
            self._progress = None  # begin again
            return False
        for each in found:
            trail.known.pop(each.last.key.encode(), None)
        return True

    def _found(self, entries: Entries[Any], trail: Trail, records: Sequence[Any]) -> Iterator[Found]:
        """Yield the orders that are to be archived, up to one that is not old enough."""
        for record in records:
            last = event_in(record.value)
            entry = None if last is None else _closed(entries, record.key, last)
            if entry is None or last is None:
                continue
            if (due := self._due(entry, last, record)) > self.now:
                trail.next, trail.due = record.offset, due
                return
            yield Found(last, tuple(trail.known.get(record.key, ())))

    def _due(self, entry: OrderEntry, last: EventMessage, record: Any) -> float:
        """Return when an order may be archived; its time may be a producer's, and far in the future."""
        changed = datetime.fromisoformat(entry.time or last.time).timestamp()
        return min(changed, received_at(record)) + self.seconds

    def _decide(self, number: int, found: Sequence[Found], position: Position, changes: Changes[Any]) -> list[Write]:
        """Return the events of orders that are still as they were found, and change their entries."""
        writes = []
        for last, offsets in found:
            key = segment(last.key)
            entry: Any = changes.get(key)
            if type(entry) is not OrderEntry or entry.version != last.sequence:
                continue  # its next event is followed, too
            sequence, moment = last.sequence + 1, max(instant_of(self.now), entry.time)
            for event in archive(entry.state):
                message = EventMessage(
                    event_id("order", last.key, sequence), last.key, event, sequence, moment, "order",
                    last.correlation_id, last.id,
                )  # fmt: skip
                writes.append(Write(self.events, number, last.key.encode(), message.encode(), CONTENT_TYPE))
                changes.put(key, ArchivedEntry.of(offsets, sequence, moment))
        if writes:
            changes.put(position_key(self.events), position)
        return writes


def _closed(entries: Entries[Any], order_id: bytes, last: EventMessage) -> OrderEntry | None:
    """Return the entry of a closed order whose last event this is; None for all others, which have later events."""
    entry: Any = entries.get(segment(order_id.decode(errors="replace")))
    if type(entry) is not OrderEntry or entry.version != last.sequence or not archive(entry.state):
        return None
    return entry
