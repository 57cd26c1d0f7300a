"""Shares the subscriptions among the api processes: each one is delivered by the process that has its lease."""

import asyncio
import logging
import random
import time
from collections.abc import Collection
from contextlib import suppress

from pymongo.errors import PyMongoError

from projections.mongo.client import Mongo
from projections.mongo.failures import describe
from projections.mongo.queries import Queries
from streams.runtime.settings import Settings
from streams.runtime.tasks import cancel

from .customers import Customers
from .delivering import Delivering, LostLease, Tools
from .metrics import OLDEST, SUBSCRIPTIONS, WAITING
from .progress import Progress
from .reading import Lookup
from .sender import Sender
from .store import Subscriptions
from .subscription import Subscription
from .vault import Vault

log = logging.getLogger(__name__)
LOOK_SECONDS, AGAIN_SECONDS, STOP_SECONDS = 1.0, 5.0, 1.0
STATUSES = ("active", "paused", "parked")


class Deliverer:
    """Delivers the subscriptions that no other process delivers."""

    def __init__(self, settings: Settings, mongo: Mongo, queries: Queries, store: Subscriptions) -> None:
        self._settings, self._store, self._queries = settings, store, queries
        self.progress = Progress(mongo)
        self._tools: Tools | None = None
        self._running = dict[str, tuple[Delivering, asyncio.Task[None]]]()
        self._not_before = dict[str, float]()  # after an error
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start in the background; without subscriptions, nothing more happens."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Stop all deliveries, and let other processes have them."""
        if self._task is not None:
            await cancel(self._task)
        await asyncio.gather(*(self._end(identifier) for identifier in list(self._running)))
        if self._tools is not None:
            await self._tools.sender.close()
            await self._tools.lookup.close()

    async def _run(self) -> None:
        while True:
            try:
                await self._look()
            except PyMongoError as error:
                log.warning("%s; looking for webhooks again in %.0f s", describe(error), AGAIN_SECONDS)
                await asyncio.sleep(AGAIN_SECONDS)
            except Exception:
                log.exception("looking for webhooks failed, retrying")
                await asyncio.sleep(AGAIN_SECONDS)
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._store.changed.wait()
            self._store.changed.clear()

    async def _look(self) -> None:
        if not self._store.ready:
            return
        known = {each.id: each for each in self._store.all}
        for identifier, (delivering, task) in list(self._running.items()):
            subscription = known.get(identifier)
            if task.done() or subscription is None or not delivering.fits(subscription):
                await self._end(identifier)
        wanted = [each for each in known.values() if each.status == "active" and each.id not in self._running]
        if wanted:
            await self._take(wanted)
        self._measure(known.values())

    async def _take(self, wanted: list[Subscription]) -> None:
        """Take free subscriptions; a process that already has some waits, so that others are faster."""
        tools = await self._prepared()
        now = time.monotonic()
        by_id = {each.id: each for each in wanted if self._not_before.get(each.id, 0.0) <= now}
        for identifier in await tools.progress.free(by_id):
            if self._running:
                await asyncio.sleep(random.random() * 0.02 * len(self._running))
            stored = await tools.progress.acquire(identifier)
            if stored is not None:
                delivering = Delivering(tools, by_id[identifier], stored)
                self._running[identifier] = delivering, asyncio.create_task(delivering.run())
                log.info("delivering webhook %s", identifier)

    async def _prepared(self) -> Tools:
        if self._tools is None:
            await self.progress.prepare()
            self._tools = Tools(
                self._settings,
                self.progress,
                self._store,
                Sender(self._settings),
                Customers(self._queries),
                Lookup(self._settings),
                Vault(self._settings),
            )
        return self._tools

    async def _end(self, identifier: str) -> None:
        """End the deliveries of a subscription, and store its progress if MongoDB answers soon."""
        delivering, task = self._running.pop(identifier)
        had_failed = task.done()
        if had_failed and not task.cancelled() and (error := task.exception()) is not None:
            log.warning(
                "deliveries of webhook %s stopped, and start again in %.0f s: %s",
                identifier,
                AGAIN_SECONDS,
                _causes(error),
            )
            self._not_before[identifier] = time.monotonic() + AGAIN_SECONDS
        await cancel(task)
        with suppress(PyMongoError, LostLease, TimeoutError):
            async with asyncio.timeout(STOP_SECONDS):
                await delivering.store()
                await self.progress.release(identifier)

    def _measure(self, known: Collection[Subscription]) -> None:
        for status in STATUSES:
            SUBSCRIPTIONS.labels(status).set(sum(each.status == status for each in known))
        waiting = [each for delivering, _ in self._running.values() for each in delivering.waiting]
        WAITING.set(sum(len(each.offsets) for each in waiting))
        OLDEST.set(max((time.time() - each.since for each in waiting), default=0.0))


def _causes(error: BaseException) -> str:
    """Return the errors in a group as a sentence."""
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(map(_causes, error.exceptions))
    return str(error) or type(error).__name__
