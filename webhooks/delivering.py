"""Delivers the events of one subscription, as long as this process has its lease.

reads    order-events, inventory-events
writes   the receiver; MongoDB: the log of deliveries, then the progress, once a second

Several events are sent at the same time, but of each order (or product) one after the other. Memory is bounded: at
most `MOST_PENDING` events, and the offsets of `MOST_WAITING` events that wait for a retry. If a limit is
reached, nothing more is read: the events stay on their topic.

LostLease                      another process delivers, or MongoDB has been unreachable for too long
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

from aiokafka import TopicPartition
from pymongo.errors import PyMongoError

from projections.document import Document
from projections.mongo.failures import describe
from streams.kafka.consuming import consuming
from streams.messages.envelope import instant_of, type_of
from streams.runtime.faults import fault
from streams.runtime.settings import Settings
from streams.topology import AGGREGATES

from .backoff import pause_after
from .customers import Customers
from .lanes import Lane, Waiting, verdict
from .metrics import ATTEMPTS, SECONDS
from .positions import name_of, partition_named
from .progress import LEASE_SECONDS, Progress
from .reading import SMALL, Event, Lookup, event_in
from .sender import Attempt, Sender
from .signing import message_id, signed
from .store import Subscriptions
from .subscription import Subscription
from .vault import Vault

log = logging.getLogger(__name__)
AT_ONCE, RETRIES = 8, 4  # requests to a receiver, and how many of them may be retries
MOST_PENDING, MOST_WAITING = 256, 250
STORE_SECONDS, RENEW_SECONDS, POLL_MS = 1.0, 5.0, 500
LEASE_MARGIN_SECONDS = 3.0
IS_DOWN = 3  # failed orders since the last success: when one succeeds, the others are retried at once
SPREAD_SECONDS = 5.0  # for that
CONTENT_TYPE = {"Content-Type": "application/cloudevents+json"}


class LostLease(Exception):
    """Another process delivers, or MongoDB has been unreachable for too long."""


@dataclass(frozen=True, slots=True)
class Tools:
    """The parts that all deliveries of a process share."""

    settings: Settings
    progress: Progress
    store: Subscriptions
    sender: Sender
    customers: Customers
    lookup: Lookup
    vault: Vault


class Delivering:
    """The deliveries of one subscription; `stored` is its progress."""

    def __init__(self, tools: Tools, subscription: Subscription, stored: Document) -> None:
        self._tools, self.subscription, self._random = tools, subscription, Random()
        self.lanes = _lanes(tools.settings, subscription, stored)
        self._last_success: float = stored.get("lastSuccess") or 0.0
        self._chains = dict[tuple[TopicPartition, str], deque[Event]]()
        self._retrying = set[tuple[TopicPartition, str]]()
        self._failing = set[tuple[TopicPartition, str]]()  # since the last success
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._changed, self._retry_now = asyncio.Event(), asyncio.Event()
        self._tasks: asyncio.TaskGroup | None = None
        self._log = dict[str, Document]()  # deliveries that are not recorded yet
        self._stored: Document = {}
        self._stored_at = time.monotonic()
        self._is_parking = False

    def fits(self, other: Subscription) -> bool:
        """Continue with a changed subscription, if only its secrets changed; return whether that is possible."""
        mine = self.subscription
        fits = other.status == "active" and (other.url, other.start, other.types) == (mine.url, mine.start, mine.types)
        if fits:
            self.subscription = other
        return fits

    @property
    def waiting(self) -> list[Waiting]:
        """The orders and products whose events wait for a retry."""
        return [each for lane in self.lanes.values() for each in lane.waiting.values()]

    async def run(self) -> None:
        """Deliver until it is cancelled; raises `LostLease` and the errors of Kafka, in a group."""
        async with asyncio.TaskGroup() as self._tasks:
            self._tasks.create_task(self._read())
            self._tasks.create_task(self._retry())
            self._tasks.create_task(self._keep())

    def _start(self, coroutine: Any) -> None:
        assert self._tasks is not None, "it runs"
        self._tasks.create_task(coroutine)

    # --- new events

    async def _read(self) -> None:
        async with consuming(self._tools.settings, f"webhooks-{self.subscription.id}", **SMALL) as consumer:
            consumer.assign(list(self.lanes))
            for at, lane in self.lanes.items():
                consumer.seek(at, lane.next)
            while True:
                while self._is_full():
                    self._changed.clear()
                    await self._changed.wait()
                fetched = await consumer.getmany(timeout_ms=POLL_MS, max_records=MOST_PENDING)
                for at, records in fetched.items():
                    for record in records:
                        await self._take(at, record)

    def _is_full(self) -> bool:
        lanes = self.lanes.values()
        return (
            sum(len(lane.pending) for lane in lanes) >= MOST_PENDING
            or sum(lane.backlog for lane in lanes) >= MOST_WAITING
        )

    async def _take(self, at: TopicPartition, record: Any) -> None:
        lane, event = self.lanes[at], await self._wanted(record)
        if event is None:
            lane.passed(record.offset + 1)
        elif lane.take(event.subject, event.offset):
            chain = self._chains.get((at, event.subject))
            if chain is not None:
                chain.append(event)
            else:
                self._chains[at, event.subject] = chain = deque([event])
                self._start(self._deliver(at, event.subject, chain))

    async def _wanted(self, record: Any) -> Event | None:
        """Return the event in a record, if the subscription wants it."""
        wants = self.subscription
        if wants.types and (name := type_of(record.value or b"")) is not None and not wants.wants_type(name):
            return None
        event = event_in(record)
        if event is None or not (wants.wants_type(event.type) and wants.wants_place(event.data)):
            return None
        if wants.customer_ids:
            customer = await self._tools.customers.of(event.subject, event.data, event.type)
            return event if customer in wants.customer_ids else None
        return event

    async def _deliver(self, at: TopicPartition, key: str, chain: deque[Event]) -> None:
        """Deliver events of one order; after a failure, all of them wait."""
        lane = self.lanes[at]
        while chain:
            attempt = await self._attempt(chain[0])
            if attempt.error is None:
                event = chain.popleft()
                lane.delivered(event.offset)
                self._succeeded(event, attempt, 1)
            else:
                now = time.time()
                due = now + pause_after(1, self._random, attempt.retry_after)
                event = chain[0]
                lane.failed(key, [each.offset for each in chain], now, due, attempt.error)
                chain.clear()
                await self._failed(event, attempt, lane.waiting[key])
        del self._chains[at, key]
        self._changed.set()

    async def _attempt(self, event: Event) -> Attempt:
        """Send an event once."""
        async with self._slots:
            now, subscription = time.time(), self.subscription
            secrets = [self._tools.vault.reveal(each) for each in subscription.valid_secrets(now)]
            headers = CONTENT_TYPE | signed(event.id, event.body, now, secrets)
            fault("webhook-sending")
            attempt = await self._tools.sender.send(subscription.url, event.body, headers)
            fault("webhook-answered")
        SECONDS.observe(attempt.seconds)
        ATTEMPTS.labels("delivered" if attempt.error is None else "failed").inc()
        return attempt

    # --- retries

    async def _retry(self) -> None:
        """Retry what is due, several orders at the same time."""
        while True:
            self._retry_now.clear()
            waiting = sorted(self._due(), key=lambda each: each[1].due)
            now = time.time()
            for at, each in waiting[: RETRIES - len(self._retrying)]:
                if each.due <= now:
                    self._retrying.add((at, each.key))
                    self._start(self._retry_one(at, each))
            later = min((each.due for _, each in waiting if each.due > now), default=now + POLL_MS / 1000)
            try:
                async with asyncio.timeout(max(later - now, 0.01)):
                    await self._retry_now.wait()
            except TimeoutError:
                continue

    def _due(self) -> Iterator[tuple[TopicPartition, Waiting]]:
        for at, lane in self.lanes.items():
            for key, waiting in lane.waiting.items():
                if (at, key) not in self._retrying:
                    yield at, waiting

    async def _retry_one(self, at: TopicPartition, waiting: Waiting) -> None:
        lane, offset = self.lanes[at], waiting.offsets[0]
        event = await self._tools.lookup.at(at, offset)
        if event is None:
            log.error("webhook %s skips %s/%d@%d, which cannot be read", self.subscription.id, *at, offset)
            lane.settled(waiting, time.time())
        else:
            attempt = await self._attempt(event)
            now = time.time()
            if attempt.error is None:
                attempts = waiting.attempts + 1
                lane.settled(waiting, now)
                self._succeeded(event, attempt, attempts)
            else:
                if not waiting.attempts:
                    waiting.since = now
                due = now + pause_after(waiting.attempts + 1, self._random, attempt.retry_after)
                lane.again(waiting, due, attempt.error)
                await self._failed(event, attempt, waiting)
        self._retrying.discard((at, waiting.key))
        self._changed.set()
        self._retry_now.set()

    # --- results

    def _succeeded(self, event: Event, attempt: Attempt, attempts: int) -> None:
        self._last_success = time.time()
        if len(self._failing) >= IS_DOWN:
            for each in self.waiting:
                each.due = min(each.due, self._last_success + self._random.random() * SPREAD_SECONDS)
            self._retry_now.set()
        self._failing.clear()
        self._record(event, attempt, "delivered", attempts)

    async def _failed(self, event: Event, attempt: Attempt, waiting: Waiting) -> None:
        """Record a failure; give up if the receiver is gone or the time for retries has passed."""
        self._failing.add((event.partition, waiting.key))
        self._retry_now.set()
        now = time.time()
        found = verdict(waiting, now, self._tools.settings.webhook_retry, self._last_success)
        if found == "park event" and not attempt.is_gone:
            self._record(event, attempt, "parked", waiting.attempts)
            ATTEMPTS.labels("parked").inc()
            self.lanes[event.partition].settled(waiting, now)
            return
        self._record(event, attempt, "retrying", waiting.attempts, waiting.due)
        if attempt.is_gone:
            await self._park("the receiver answered 410 Gone")
        elif found == "park subscription":
            await self._park(
                f"nothing has been delivered since {instant_of(waiting.since)}; the last error is: {attempt.error}"
            )

    async def _park(self, reason: str) -> None:
        """Park the subscription: nothing is lost, and deliveries continue where they stopped when it is resumed."""
        if self._is_parking:
            return
        self._is_parking = True
        log.warning("webhook %s is parked: %s", self.subscription.id, reason)
        try:
            await self._tools.store.change(
                self.subscription.id, lambda one: one.parked(reason) if one.status == "active" else one
            )
        finally:
            self._is_parking = False

    def _record(self, event: Event, attempt: Attempt, status: str, attempts: int, due: float | None = None) -> None:
        topic = event.partition.topic.removeprefix(self._tools.settings.prefix)
        identifier = f"{self.subscription.id}/{topic}/{event.partition.partition}@{event.offset}"
        self._log[identifier] = {
            "_id": identifier,
            "subscription": self.subscription.id,
            "webhookId": message_id(event.id),
            "type": event.type,
            "aggregateId": event.subject,
            "topic": topic,
            "partition": event.partition.partition,
            "offset": event.offset,
            "status": status,
            "attempts": attempts,
            "lastAttempt": instant_of(time.time()),
            "nextAttempt": None if due is None else instant_of(due),
            "responseStatus": attempt.status,
            "error": attempt.error,
        }

    # --- progress

    async def _keep(self) -> None:
        """Store the progress, and renew the lease."""
        while True:
            await asyncio.sleep(STORE_SECONDS)
            try:
                await self.store()
            except PyMongoError as error:
                log.warning("%s; the progress of webhook %s is not stored", describe(error), self.subscription.id)
            if time.monotonic() - self._stored_at > LEASE_SECONDS - LEASE_MARGIN_SECONDS:
                raise LostLease("MongoDB is unreachable")

    async def store(self) -> None:
        """Store what has changed; raise `LostLease` if another process delivers."""
        began, progress = time.monotonic(), self._tools.progress
        fields = self._fields()  # before the log is taken: what is in the progress must be in the log
        if fields == self._stored and not self._log and began - self._stored_at < RENEW_SECONDS:
            return
        entries = dict(self._log)
        await progress.log(entries.values())
        fault("webhook-logged")
        for identifier, entry in entries.items():
            if self._log.get(identifier) is entry:
                del self._log[identifier]
        if not await progress.store(self.subscription.id, fields):
            raise LostLease("another process delivers")
        fault("webhook-stored")
        self._stored, self._stored_at = fields, began

    def _fields(self) -> Document:
        lanes = {
            name_of(aggregate.events, at.partition): lane.as_document()
            for aggregate in AGGREGATES.values()
            for at, lane in self.lanes.items()
            if at.topic == self._tools.settings.named(aggregate.events.name)
        }
        return {
            "start": self.subscription.start.id,
            "revision": self.subscription.revision,
            "lastSuccess": self._last_success,
            "lanes": lanes,
        }


def _lanes(settings: Settings, subscription: Subscription, stored: Document) -> dict[TopicPartition, Lane]:
    """Return the lanes of a subscription: as stored, or from its beginning if that is another one."""
    wanted = [AGGREGATES[each].events.name for each in subscription.aggregates]
    known = stored.get("lanes", {}) if stored.get("start") == subscription.start.id else {}
    found = {}
    for name, offset in subscription.start.positions.items():
        if name.partition("/")[0] in wanted:
            found[partition_named(name, settings)] = Lane.of(known[name]) if name in known else Lane(offset)
    if stored.get("revision") != subscription.revision:  # perhaps it was resumed: its receiver gets another chance
        now = time.time()
        for waiting in (each for lane in found.values() for each in lane.waiting.values()):
            waiting.attempts, waiting.since, waiting.due = 0, now, now
    return found
