"""The reader of the event topics, shared by all listeners of the process, and running only while it is needed.

BadBookmark                    a Last-Event-ID of another installation
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any

from aiokafka.errors import KafkaError
from pymongo.errors import PyMongoError

from projections.mongo.failures import describe
from projections.mongo.queries import Queries
from streams.kafka.gateway import GatewayUnavailable
from streams.runtime.settings import Settings
from streams.runtime.tasks import cancel

from .bookmark import Bookmark
from .customers import Customers
from .event import StreamedEvent, streamed_event
from .listeners import Listener, Listeners, Wanted, wake
from .rates import STEP_SECONDS, STEPS, Rates
from .reader import Reader, reading
from .recent import Recent, Sent

if TYPE_CHECKING:
    from web.opening import Opening  # loads a library of ciphers

log = logging.getLogger(__name__)

HISTORY_RECORDS = 20_000  # at most this many at the start, for the rates of the last minutes
START_SECONDS = 15.0  # for the reader to start
BEHIND_SECONDS = 5.0  # for the reader to reach the position of a client
IDLE_SECONDS = 60.0  # without a listener or a request for rates, the reader stops
RETRY_SECONDS = 0.5
PAUSE_PER_LISTENER, LONGEST_PAUSE = 0.0005, 0.5  # seconds between batches, for fewer and larger writes
CATCHING_UP = 4  # listeners that may read older events at the same time


class BadBookmark(Exception):
    """The Last-Event-ID belongs to another installation."""


class Hub:
    """Reads the event topics while there are listeners, or rates were requested within the last minute."""

    def __init__(self, settings: Settings, queries: Queries, opening: "Opening | None" = None) -> None:
        self.settings, self._opening = settings, opening
        self.listeners, self.customers, self.rates = Listeners(), Customers(queries), Rates()
        self.recent: Recent | None = None  # None until the reader has a position
        self._ready = asyncio.Event()  # it has read everything up to the end at its start
        self._task: asyncio.Task[None] | None = None
        self._wanted_at = 0.0
        self._catching_up = asyncio.Semaphore(CATCHING_UP)
        self._stopping = False

    async def started(self) -> Recent:
        """Return the recent events once the reader runs; raise `GatewayUnavailable` if it does not start in time."""
        self._wanted_at = time.monotonic()
        if self._task is None and not self._stopping:
            self._task = asyncio.create_task(self._run())
        try:
            async with asyncio.timeout(START_SECONDS):
                await self._ready.wait()
        except TimeoutError:
            raise GatewayUnavailable("the event topics cannot be read") from None
        assert self.recent is not None
        return self.recent

    async def listen(
        self, listener: Listener, position: Bookmark | None, newest: int = 0
    ) -> AsyncGenerator[bytes, None]:
        """Yield the events that a listener missed since `position`, then add it to the listeners.

        Without a position, yield up to `newest` matching events that are still in memory.
        """
        recent = await self.started()
        if position is not None:
            await self._until_reached(recent, position)
            if not recent.has(position):
                async with self._catching_up:
                    async for chunk, reached in self._older(listener.wanted, position):
                        position = reached
                        yield chunk
        if listener.wanted.customers:
            await self.customers.look_up(recent.events)
        # no await from here on, so that no event is lost in between
        missed = self._wanted(listener.wanted, recent.after(recent.floor if position is None else position))
        self.listeners.add(listener)
        if position is None:
            missed = missed[-newest:] if newest else []
        yield await self._chunk(missed)

    def leave(self, listener: Listener) -> None:
        """Remove a listener."""
        self.listeners.remove(listener)
        self._wanted_at = time.monotonic()

    async def stop(self) -> None:
        """Close all listeners and stop the reader."""
        self._stopping = True
        self.listeners.close("the server is stopping; connect again")
        if self._task:
            await cancel(self._task)

    async def _until_reached(self, recent: Recent, position: Bookmark) -> None:
        """Wait until the reader reaches the position of a client that comes from a process that was further ahead."""
        until = time.monotonic() + BEHIND_SECONDS
        while not recent.reached(position):
            if time.monotonic() > until:
                raise BadBookmark
            await asyncio.sleep(0.05)

    async def _older(self, wanted: Wanted, position: Bookmark) -> AsyncIterator[tuple[bytes, Bookmark]]:
        """Yield events older than the recent ones, each chunk with the position after it."""
        assert self.recent is not None
        async with reading(self.settings, "api-events-older") as reader:
            starts = await reader.starts()
            reader.seek([max(pair) for pair in zip(position, starts, strict=True)])
            own = Recent(self.settings.partitions, reader.position)
            while not self.recent.has(reader.position):
                events = self._decoded(await reader.next())
                if wanted.customers:
                    await self.customers.look_up(events)
                sent = [own.add(event) for event in events]
                own.position = list(reader.position)
                chunk = await self._chunk(self._wanted(wanted, sent))
                yield chunk + f"id: {own.id}\n\n".encode(), tuple(reader.position)

    def _wanted(self, wanted: Wanted, sent: Sequence[Sent]) -> list[bytes]:
        return [each.message for each in sent if wanted.takes(each.event, self.customers.of(each.event))]

    async def _chunk(self, messages: list[bytes]) -> bytes:
        return b"".join(await self._opened(messages))

    async def _opened(self, messages: list[bytes]) -> list[bytes]:
        """Return messages as clients get them; opened ones are not kept, because a key may be erased."""
        return messages if self._opening is None else await self._opening.messages(messages)

    async def _run(self) -> None:
        while self._is_wanted():
            try:
                async with reading(self.settings, "api-events") as reader:
                    await self._begin(reader)
                    while self._is_wanted():
                        await self._next(reader)
            except (KafkaError, OSError) as error:
                log.warning("cannot read events, retrying: %r", error)
            except Exception:
                log.exception("reading events failed, retrying")
            await asyncio.sleep(RETRY_SECONDS)
        self._ready.clear()
        self.recent, self._task = None, None

    def _is_wanted(self) -> bool:
        return len(self.listeners) > 0 or time.monotonic() - self._wanted_at < IDLE_SECONDS

    async def _begin(self, reader: Reader) -> None:
        """Continue from the position of an earlier reader; the first reader starts some minutes before the end."""
        if self.recent is not None:
            reader.seek(self.recent.position)
            return
        ends, least = await reader.ends(), HISTORY_RECORDS // len(reader.partitions)
        since = await reader.since(time.time() - STEP_SECONDS * STEPS)
        reader.seek([max(first, end - least) for first, end in zip(since, ends, strict=True)])
        self.rates = Rates(slot for slot, first in enumerate(since) if reader.position[slot] > first)
        self.recent = Recent(self.settings.partitions, reader.position)
        while any(ours < end for ours, end in zip(reader.position, ends, strict=True)):
            await self._next(reader)
        self._ready.set()

    async def _next(self, reader: Reader) -> None:
        assert self.recent is not None
        events = self._decoded(await reader.next())
        if self.listeners.need_customers():
            await self._know_customers(events)
        opened = [event.message for event in events]
        if len(self.listeners):
            opened = await self._opened(opened)
        # no await from here on: a listener that comes in between would get these events twice
        sent = [self.recent.add(event) for event in events]
        self.recent.position = list(reader.position)
        for event in events:
            self.rates.add(event)
        told = self.listeners.tell(
            (each.event, self.customers.of(each.event), each.id_line + message)
            for each, message in zip(sent, opened, strict=True)
        )
        await wake(told)
        if told:
            await asyncio.sleep(min(len(self.listeners) * PAUSE_PER_LISTENER, LONGEST_PAUSE))

    async def _know_customers(self, events: Sequence[StreamedEvent]) -> None:
        """Look up the customers of events; without MongoDB, disconnect the listeners that need them."""
        try:
            await self.customers.look_up(events)
        except PyMongoError as error:
            log.warning("%s; closing event streams that filter by customer", describe(error))
            self.listeners.close_where(lambda wanted: bool(wanted.customers), "MongoDB is unreachable; connect again")

    def _decoded(self, fetched: Sequence[tuple[int, list[Any]]]) -> list[StreamedEvent]:
        found = []
        for slot, records in fetched:
            for record in records:
                try:
                    event = streamed_event(record, slot, slot // self.settings.partitions)
                except Exception:  # an invalid event must not stop the stream
                    log.warning("skipped an invalid event: %.200r", record.value)
                    continue
                self.customers.learn(event)
                found.append(event)
        return found
