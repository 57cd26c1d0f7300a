"""Archived orders are restored from their events when a command is sent to them, before it is decided.

Deciding raises `NotRestored` at the first archived order. The worker then reads the events of all archived orders that
the fetch concerns, and decides it again. A restored order is kept if the command changes it, in the transaction of its
new events; otherwise it stays archived.

NotRestored                    the events of an archived order must be read first
"""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import reduce
from typing import Any, NamedTuple, cast
from urllib.parse import unquote_to_bytes

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from msgspec.structs import replace

from domain import orders
from domain.errors import CorruptHistory
from domain.orders import Order, OrderEvent
from streams.kafka.clients import aiokafka_config
from streams.kafka.diagnosis import diagnose, missing_right
from streams.kafka.library_patches import AIOKafkaConsumer
from streams.kafka.transport import Fetch
from streams.keys import segment
from streams.messages.codec import event_in
from streams.messages.envelope import EventMessage
from streams.runtime.faults import fault
from streams.runtime.settings import Settings
from streams.topics import ORDER_EVENTS
from tables.answers import recent_of
from tables.orders import ArchivedEntry, RestoredEntry
from tables.store import Entries

log = logging.getLogger(__name__)
FETCH_BYTES = 64 << 10  # one event of a fetch is used
BACK = 5_000  # offsets that are searched at once, from the newest backwards
SEARCH_BYTES = 4 << 20
FAILED_SECONDS, MOST_FAILED = 600.0, 1_000  # for how long orders that cannot be restored are known, and how many
PAUSE_SECONDS = 1.0  # before events that cannot be read are tried again


class Archived(NamedTuple):
    """An archived order: its partition, its key in the table, and its entry."""

    partition: int
    key: bytes
    entry: ArchivedEntry

    @property
    def id(self) -> bytes:
        """The id of the order, which is the key of its events."""
        return unquote_to_bytes(self.key)


class NotRestored(BaseException):
    """The events of an archived order must be read first; the command is not at fault, so parking must not catch it."""

    def __init__(self, order: Archived) -> None:
        super().__init__(f"the order {order.id.decode()} is archived")
        self.order = order


class Restored:
    """The archived orders whose events were read, or why those cannot be folded.

    An order is kept for one fetch. Why one cannot be restored is kept for some time, because all events were searched.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._orders: dict[tuple[int, bytes, int], RestoredEntry | Exception] = {}
        self._failed: dict[tuple[int, bytes, int], tuple[float, Exception]] = {}  # with the time

    def entry(self, partition: int, key: bytes, entry: ArchivedEntry) -> RestoredEntry:
        """Return an order; raise `NotRestored` if its events were not read, and `CorruptHistory` if some are wrong."""
        found = self._orders.get((partition, key, entry.version))
        if found is None:
            raise NotRestored(Archived(partition, key, entry))
        if isinstance(found, Exception):
            raise found
        return replace(found, recent=(*found.recent, *entry.recent)) if entry.recent else found

    def __contains__(self, order: Archived) -> bool:
        return (order.partition, order.key, order.entry.version) in self._orders

    def add(self, order: Archived, found: RestoredEntry | Exception) -> None:
        """Keep an order."""
        key = order.partition, order.key, order.entry.version
        self._orders[key] = found
        if isinstance(found, Exception):
            self._failed[key] = self._now(), found

    def clear(self) -> None:
        """Forget all orders, except the ones that could not be restored a short time ago."""
        after = self._now() - FAILED_SECONDS
        self._failed = dict([each for each in self._failed.items() if each[1][0] > after][-MOST_FAILED:])
        self._orders = {key: error for key, (_, error) in self._failed.items()}


def archived_in(fetch: Fetch, partitions: Mapping[int, Entries[Any]]) -> Iterator[Archived]:
    """Yield the archived orders to which records of a fetch are sent, as far as their keys tell."""
    for tp, part in fetch.parts.items():
        for name in {record.key for record in part.records if record.key}:
            key = segment(name.decode(errors="replace"))
            if type(entry := partitions[tp.partition].get(key)) is ArchivedEntry:
                yield Archived(tp.partition, key, entry)


@dataclass
class Restoring:
    """Reads the events of archived orders.

    `say_waiting` tells what a worker waits for, which is not ended then because it makes no progress; None: nothing.
    """

    settings: Settings
    restored: Restored
    say_waiting: Callable[[str | None], None]

    async def load(self, wanted: Iterable[Archived], is_needed: Callable[[], bool] = lambda: True) -> None:
        """Restore orders; as long as their events cannot be read and are needed, say why and try again.

        The same order may be wanted several times.
        """
        orders = list({(order.partition, order.key): order for order in wanted}.values())
        try:
            while is_needed():
                try:
                    return await self._load([order for order in orders if order not in self.restored])
                except KafkaError as error:
                    await self._say_why(error)
                    await asyncio.sleep(PAUSE_SECONDS)
        finally:
            self.say_waiting(None)

    async def _say_why(self, error: KafkaError) -> None:
        topic = self.settings.named(ORDER_EVENTS.name)
        trouble = missing_right(error, topic) or await diagnose(self.settings, [topic])
        reason = f"archived orders cannot be restored: {trouble or repr(error)}"
        self.say_waiting(reason)
        log.warning("%s; retrying", reason)

    async def _load(self, wanted: Iterable[Archived]) -> None:
        topic = self.settings.named(ORDER_EVENTS.name)
        histories: dict[int, list[History]] = defaultdict(list)
        for order in wanted:
            histories[order.partition].append(History(order))
        async with self._reader(FETCH_BYTES) as reader:
            for partition, some in histories.items():
                await _read_known(reader, TopicPartition(topic, partition), some)
        for partition, some in histories.items():
            if incomplete := {history.order.id: history for history in some if not history.complete}:
                await self._find(TopicPartition(topic, partition), incomplete)
        for history in (history for some in histories.values() for history in some):
            self.restored.add(history.order, history.entry(self.settings.recent_commands))
        fault("restored-orders")

    async def _find(self, at: TopicPartition, incomplete: Mapping[bytes, "History"]) -> None:
        """Search for missing events, which takes minutes if there are millions of newer ones."""
        self.say_waiting(f"{at.topic}/{at.partition} is searched for the events of {len(incomplete)} archived orders")
        async with self._reader(SEARCH_BYTES) as reader:
            await _search(reader, at, incomplete)

    def _reader(self, fetch_bytes: int) -> Any:
        return AIOKafkaConsumer(
            **aiokafka_config(self.settings),
            enable_auto_commit=False,
            isolation_level="read_committed",
            auto_offset_reset="none",
            max_partition_fetch_bytes=fetch_bytes,
            fetch_max_wait_ms=100,
        )


@dataclass
class History:
    """The events of an archived order, as far as they were read."""

    order: Archived
    events: dict[int, EventMessage] = field(default_factory=dict)  # by sequence
    offsets: dict[int, int] = field(default_factory=dict)  # by sequence
    first: int | None = None  # the lowest offset that was read

    @property
    def complete(self) -> bool:
        """Whether all events before `OrderArchived` were read."""
        return len(self.events) == self.order.entry.version - 1

    def add(self, record: Any) -> None:
        """Add a record, if it is one of these events."""
        message = event_in(record.value) if record.key == self.order.id else None
        if message is not None and message.sequence < self.order.entry.version:
            self.events[message.sequence], self.offsets[message.sequence] = message, record.offset
            self.first = record.offset if self.first is None else min(self.first, record.offset)

    def entry(self, recent: int) -> RestoredEntry | Exception:
        """Return the order, or why its events cannot be folded."""
        entry, name = self.order.entry, self.order.id.decode()
        if not self.complete:
            missing = sorted(set(range(1, entry.version)) - self.events.keys())
            return CorruptHistory(f"order-events lacks event {missing[0]} of the archived order {name}")
        messages = [self.events[sequence] for sequence in range(1, entry.version)]
        folded = (cast(OrderEvent, message.event) for message in messages)
        try:
            state = cast(Order, reduce(orders.evolve_order, folded, cast(Order | None, None)))
        except Exception as error:
            return error
        offsets = tuple(self.offsets[sequence] for sequence in range(1, entry.version))
        return RestoredEntry(state, entry.version, recent_of("order", messages, recent), entry.time, offsets)


async def _read_known(reader: Any, at: TopicPartition, histories: Iterable[History]) -> None:
    """Read the events whose offsets are known; events that are not there are searched for later."""
    wanted = {offset: history for history in histories for offset in history.order.entry.offsets}
    reader.assign([at])
    begin, end = (await reader.beginning_offsets([at]))[at], (await reader.end_offsets([at]))[at]
    left = sorted(offset for offset in wanted if begin <= offset < end)
    while left:
        reader.seek(at, left[0])
        for record in await _fetched(reader, at):
            if (history := wanted.get(record.offset)) is not None:
                history.add(record)
        position = await reader.position(at)
        left = [offset for offset in left if offset >= position]


async def _search(reader: Any, at: TopicPartition, histories: Mapping[bytes, History]) -> None:
    """Search for missing events from the newest backwards, until all are found or the topic ends."""
    reader.assign([at])
    begin, end = (await reader.beginning_offsets([at]))[at], (await reader.end_offsets([at]))[at]
    highest = max(end if (history.first is None) else history.first for history in histories.values())
    log.info("searching %s/%d for the events of %d archived orders", *at, len(histories))
    left = dict(histories)
    while left and highest > begin:
        lowest = max(begin, highest - BACK)
        reader.seek(at, lowest)
        while await reader.position(at) < highest:
            for record in await _fetched(reader, at):
                if (history := left.get(record.key)) is not None:
                    history.add(record)
            await asyncio.sleep(0)
        left = {key: history for key, history in left.items() if not history.complete}
        highest = lowest


async def _fetched(reader: Any, at: TopicPartition) -> Iterable[Any]:
    """Return the next records; an empty result means that none arrived in time."""
    fetched: Mapping[TopicPartition, Iterable[Any]] = await reader.getmany(at, timeout_ms=100)
    return fetched.get(at, ())
