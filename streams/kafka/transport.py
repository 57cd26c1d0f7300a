"""A transport for Faust that delivers whole fetches: each fetch is one stream event.

Faust delivers one message at a time, which takes 60 µs before any work is done, and drops messages under rebalances and
flow control. Here an agent gets a `Fetch`: the records of all partitions that had any, with the group membership from
before the fetch. Nothing is delivered before the assigned partitions are *prepared*: offsets are read, tables restored,
positions sought.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

from aiokafka import ConsumerRecord, TopicPartition
from faust import Schema
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from faust.types.tuples import ConsumerMessage

from streams.kafka.ends import ends_of
from streams.kafka.library_patches import client_of, membership_of, positions_of, states_of
from streams.kafka.metadata import check_topics
from streams.kafka.pulse import Pulse
from streams.kafka.taking import ConsumerThread
from streams.runtime import garbage
from streams.runtime.faults import fault

T = TypeVar("T")
Offsets = Mapping[TP, int]

FETCH_SECONDS = 0.5  # how long a fetch waits for records; a rebalance waits for the fetch
LAG_SECONDS = 5.0  # time limit of a request for the ends of partitions
DROPPED_SECONDS = 5.0  # a fetch that no agent takes within this time is lost, because Faust cleared the stream's queue


class Member(NamedTuple):
    """A membership of the consumer group, which fences transactions (KIP-447)."""

    generation: int
    member_id: str


class Prepared(NamedTuple):
    """The offset at which each input partition continues, and the reason for each one that must not be read."""

    offsets: Offsets
    withheld: Mapping[TP, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Part:
    """The records of one partition in a fetch; `began` is where the part before it ended, or the offset of a seek."""

    began: int
    records: Sequence[ConsumerRecord]

    @property
    def ended(self) -> int:
        """The offset at which the next part begins."""
        return int(self.records[-1].offset) + 1 if self.records else self.began


@dataclass(frozen=True, slots=True)
class Fetch:
    """The records of one fetch, of all partitions; they are handled together or not at all.

    A fetch of `timers` has no records: its partitions have timers that are due.
    """

    epoch: int  # the number of the preparation it belongs to
    member: Member  # from *before* the fetch: if it were read at commit time, a paused worker that rejoined could
    # commit old records under its new generation
    parts: Mapping[TP, Part]
    timers: bool = False

    def __len__(self) -> int:
        return sum(len(part.records) for part in self.parts.values())


Handle = Callable[
    [Fetch], Awaitable[Offsets | None]
]  # returns the handled offsets; None if the fetch must be read again


class Untouched(Schema):
    """Delivers a fetch to the agent without decoding it."""

    def compile(self, app: Any, **_: Any) -> Callable[..., Awaitable[Any]]:
        """Return Faust's decoding function."""

        async def decode(message: Any, *, propagate: bool = False) -> Any:
            return app.create_event(message.key, message.value, message.headers, message)

        return decode


@dataclass
class Progress:
    """The progress of the consumer: the current preparation, and the offsets that were delivered and handled."""

    epoch: int = 0
    member: Member | None = None  # the membership of the current preparation
    handed: dict[TP, int] = field(default_factory=dict)  # where the next part of each input partition begins
    handled: dict[TP, int] = field(default_factory=dict)  # the offsets that the agent has handled
    positions: dict[TP, int] = field(
        default_factory=dict
    )  # the expected positions of the consumer, after transaction markers
    outstanding: Fetch | None = None
    timers_last: bool = False  # whether the last fetch was one of timers, so that commands are next
    taken: bool = False  # whether the agent has the outstanding fetch
    stopped: dict[TP, str] = field(default_factory=dict)  # partitions that are blocked, and why


class FetchConsumer(driver.Consumer):
    """Delivers fetches, one at a time, and commits nothing: our transactions do."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.progress = Progress()
        self._prepared = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._sought = False
        self._preparing = asyncio.Lock()
        self._fetching = asyncio.Lock()
        self.refused: dict[TP, str] = {}  # partitions that the broker itself cannot read, and its error
        names = self.app.input_names
        self._pulse = Pulse(
            self.app.settings, lambda: self._ask(check_topics(client_of(self._thread.kafka), names)), names
        )

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    @property
    def preparing(self) -> bool:
        """Whether tables are being restored and positions sought."""
        return self._preparing.locked()

    @property
    def prepared(self) -> bool:
        """Whether fetches are being delivered."""
        return self._prepared.is_set()

    def member(self) -> Member:
        """Return the current group membership."""
        return Member(*membership_of(self._thread.kafka))

    def inputs(self) -> set[TP]:
        """Return the assigned input partitions, without changelogs."""
        return {tp for tp in self.assignment() if not self._is_changelog_tp(tp)}

    # --- preparation: Faust's recovery calls perform_seek, then resume_flow

    async def perform_seek(self) -> None:
        """Prepare the assigned partitions: restore their tables and seek to the offsets at which they continue."""
        self._withhold()
        async with self._preparing:
            await self._prepare()

    async def _prepare(self) -> None:
        member, inputs = self.member(), self.inputs()
        fault("assigned")
        offsets, withheld = await self.app.work.prepare(inputs)
        fault("prepared")
        self._thread.kafka.pause(*[TopicPartition(*tp) for tp in self.assignment() if self._is_changelog_tp(tp)])
        async with self._fetching:  # a fetch that is still running would take the records after the seek
            if offsets:
                await self._thread.seek_wait({TopicPartition(*tp): offset for tp, offset in offsets.items()})
            if member != self.member() or inputs != self.inputs():
                return  # a rebalance is running, and prepares again
            self._read_offset.clear()
            self.progress = Progress(self.progress.epoch + 1, member, dict(offsets), dict(offsets), dict(offsets))
            self.progress.stopped.update(withheld)
            self._sought = True
            self._thread.handled()  # records taken before are dropped
            fault("sought")

    def stop_flow(self) -> None:
        """Withhold fetches until the next preparation."""
        super().stop_flow()
        self._withhold()

    def resume_flow(self) -> None:
        """Deliver fetches again if the partitions are prepared; Faust has just cleared its queues."""
        super().resume_flow()
        if self._sought:
            self._room.set()
            self._prepared.set()
            fault("started")

    def _withhold(self) -> None:
        self._sought = False
        self._prepared.clear()

    async def rewind(self) -> None:
        """Drop fetched records and prepare again, unless a rebalance is about to."""
        if self._preparing.locked() or not self.flow_active:
            self._withhold()
            return
        await self.perform_seek()
        if self.flow_active:
            self.resume_flow()

    # --- delivery

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, ConsumerMessage]]:  # noqa: ASYNC109  # Faust's
        """Yield the next fetch as one message."""
        if not await self._may_fetch(timeout):
            return
        garbage.collect()
        member, epoch, generation = self.member(), self.progress.epoch, self.app.consumer_generation_id
        if member != self.progress.member:
            self._withhold()  # this worker left or rejoined the group: the next assignment is prepared again
            return
        active = self.progress.handed.keys() - self.progress.stopped.keys()
        if not active:
            await self.sleep(timeout)  # no partition is assigned, or all of them are blocked
            return
        seconds = self.app.work.due()
        left = {tp: seconds[tp.partition] for tp in active if tp.partition in seconds} if seconds else {}
        due = [tp for tp in left if left[tp] <= 0]
        if due and not self.progress.timers_last:
            yield self._message(self._hand_out_timers(due, member), generation)
            self._read_offset.clear()
            return
        wait = max(min(FETCH_SECONDS, *left.values()), 0.0) if left else FETCH_SECONDS
        async with self._fetching:
            positions = self.progress.positions
            taken = await self._thread.take({tp: positions[tp] for tp in active}, wait)
        if not self.prepared or self.progress.epoch != epoch or self.member() != member:
            return  # after a rejoin, this would deliver old records under the new generation
        if taken.astray:
            await self._find_back(taken.astray)
            return
        self.progress.positions.update(taken.positions)
        self.progress.timers_last = False
        if fetch := self._hand_out(taken.records, member):
            yield self._message(fetch, generation)
            self._read_offset.clear()  # a rewind must not look like a message from the past to Faust

    def _message(self, fetch: Fetch, generation: int) -> tuple[TP, ConsumerMessage]:
        """Return a fetch as Faust's message, with the coordinates of its last record."""
        fault("handed-out")
        tp, part = list(fetch.parts.items())[-1]
        last = part.records[-1] if part.records else None
        at = (part.began, time.time(), 0) if last is None else (last.offset, last.timestamp / 1000, last.timestamp_type)
        return tp, ConsumerMessage(
            tp.topic, tp.partition, *at, (), None, fetch, None, 0, 0, tp,
            generation_id=generation,
        )  # fmt: skip

    async def _may_fetch(self, seconds: float) -> bool:
        if await self._within(self._prepared, seconds) and await self._within(self._room, seconds):
            return True
        fetch = self.progress.outstanding  # is false if it is one of timers
        if fetch is not None and self.prepared and not self.progress.taken:
            await self._recover_dropped(fetch)
        return False

    async def _recover_dropped(self, fetch: Fetch) -> None:
        progress = self.progress
        if await self._within(self._room, DROPPED_SECONDS) or progress.taken or self.progress.outstanding is not fetch:
            return
        self.log.warning("a fetch of %d records did not reach the agent: reading it again", len(fetch))
        await self.rewind()

    @staticmethod
    async def _within(event: asyncio.Event, seconds: float) -> bool:
        if not event.is_set():  # the timer is only paid for when there is something to wait for
            with suppress(TimeoutError):
                await asyncio.wait_for(event.wait(), seconds)
        return event.is_set()

    async def _find_back(self, astray: Mapping[TP, int]) -> None:
        """Read skipped partitions again from the handled offset, except where Kafka has deleted the records."""
        progress = self.progress
        begins = await self._ask(self._thread.kafka.beginning_offsets([TopicPartition(*tp) for tp in astray]))
        for tp, at in astray.items():
            self.log.warning("%s/%d: the consumer is at offset %d instead of %d", *tp, at, progress.positions[tp])
            if at == begins[TopicPartition(*tp)] > progress.positions[tp]:
                progress.positions[tp] = at
        if progress is self.progress and any(progress.positions[tp] != at for tp, at in astray.items()):
            await self.rewind()

    def _hand_out(self, records: Mapping[Any, Sequence[ConsumerRecord]], member: Member) -> Fetch | None:
        parts = {}
        for partition, batch in records.items():
            tp = TP(partition.topic, partition.partition)
            if batch and tp in self.progress.handed:
                parts[tp] = part = Part(self.progress.handed[tp], batch)
                self.progress.handed[tp] = part.ended
        if not parts:
            self._thread.handled()
            return None
        return self._outstanding(Fetch(self.progress.epoch, member, parts))

    def _hand_out_timers(self, due: Iterable[TP], member: Member) -> Fetch:
        """Return a fetch without records. Its transaction commits the offsets again, which fences it."""
        self.progress.timers_last = True
        parts = {tp: Part(self.progress.handed[tp], ()) for tp in due}
        return self._outstanding(Fetch(self.progress.epoch, member, parts, timers=True))

    def _outstanding(self, fetch: Fetch) -> Fetch:
        self._room.clear()
        self.progress.outstanding, self.progress.taken = fetch, False
        return fetch

    def take(self, fetch: Fetch) -> bool:
        """Return whether a fetch that reached the agent is current and continues where the last one ended."""
        if self.progress.outstanding is fetch:
            self.progress.taken = True
        handled = self.progress.handled
        return self.is_current(fetch) and all(part.began == handled.get(tp) for tp, part in fetch.parts.items())

    def finish(self, fetch: Fetch, handled: Offsets | None) -> None:
        """Make room for the next fetch; `handled` are the offsets that the agent has committed of this one."""
        if self.progress.outstanding is fetch:
            self.progress.outstanding = None
            self.progress.handled |= handled or {}
            self._thread.handled()
            self._room.set()

    def is_current(self, fetch: Fetch) -> bool:
        """Return whether `fetch` may still be committed, as far as this process knows."""
        return self.prepared and fetch.epoch == self.progress.epoch and fetch.member == self.member()

    def stop_partition(self, tp: TP, reason: str) -> None:
        """Deliver no more of `tp` and report the reason on `/readyz`; other partitions continue."""
        self.progress.stopped[tp] = reason

    async def let_continue(self, tp: TP) -> None:
        """Deliver a stopped partition again from its handled offset, unless it was prepared again since."""
        progress = self.progress
        while progress.outstanding is not None and tp in progress.outstanding.parts:
            await self._room.wait()  # the agent has not finished what it stopped at
            await asyncio.sleep(0)
        async with self._fetching:
            if progress is self.progress and tp in progress.stopped:
                await self._thread.seek_wait({TopicPartition(*tp): progress.handled[tp]})
                progress.handed[tp] = progress.positions[tp] = progress.handled[tp]
                del progress.stopped[tp]

    async def answered(self) -> bool:
        """Return whether the broker answers, as far as is known; True before the consumer has started."""
        return self._thread.kafka is None or await self._pulse.beats()

    @property
    def why_unanswered(self) -> str:
        """Why the broker does not answer, if it does not."""
        return self._pulse.why

    async def _ask(self, question: Coroutine[Any, Any, T]) -> T:
        """Await `question` on the consumer's thread; not in its queue, where an abandoned one would stay."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(question, self._thread.thread_loop))

    async def lag(self, *, readable: bool = False) -> dict[TP, int]:
        """Return per partition how many offsets up to the high watermark are not handled yet, without markers.

        `readable` counts only offsets before the last stable one, because an open transaction holds back the others.
        The broker is asked, not the fetcher, which would not notice that it has stopped. Raise `TimeoutError` or
        `KafkaError` if the broker does not answer.
        """
        handled = self.progress.handled
        if not handled:
            return {}
        async with asyncio.timeout(LAG_SECONDS):
            ends = await self._ask(ends_of(client_of(self._thread.kafka), list(handled)))
        ours = handled.keys() & self.progress.handled.keys()  # a rebalance may have come in between
        return {tp: max((ends[tp].stable if readable else ends[tp].high) - self._position(tp), 0) for tp in ours}

    def held_back(self) -> set[TP]:
        """Return the partitions whose last fetch contained records of an open transaction."""
        states = None if self._thread.kafka is None else states_of(self._thread.kafka, self.progress.handled)
        if states is None:
            return set()  # partitions are being assigned, or the worker ends
        return {tp for tp, state in states.items() if state and state.lso is not None and state.highwater > state.lso}

    def _position(self, tp: TP) -> int:
        """Return the offset up to which `tp` is handled; after the markers, too, once no records wait."""
        handled = self.progress.handled[tp]
        if self.progress.handed[tp] != handled or tp in self.progress.stopped:
            return handled
        return max(handled, positions_of(states_of(self._thread.kafka, [tp]) or {}).get(tp, handled))

    # --- Faust's own bookkeeping is not used

    async def commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:
        """Commit nothing: offsets are part of our transactions, or in MongoDB."""
        return False

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Keep no gaps: transaction markers cause them all the time."""


class FetchTransport(driver.Transport):
    """Faust's aiokafka driver with our consumer."""

    Consumer = FetchConsumer


async def handle_fetches(stream: Any, handle: Handle) -> None:
    """Let `handle` handle one fetch after the other; a fetch is read again if it returns None.

    A fetch that is not current, or does not continue where the one before it ended, is dropped and read again, too.
    """
    consumer: FetchConsumer = stream.app.consumer
    async for event in stream.noack().events():
        fetch, handled = event.value, None
        try:
            if consumer.take(fetch):
                fault("taken")
                handled = await handle(fetch)
        finally:
            consumer.finish(fetch, handled)
            await stream.ack(event)
            fault("acknowledged")
        if handled is None and fetch.epoch == consumer.progress.epoch:
            await consumer.rewind()
