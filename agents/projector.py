"""The projector agent: folds events and outcomes into the read models.

reads    order-events, inventory-events, command-outcomes
follows  customer-keys (customer_keys.py), if personal data is encrypted
writes   MongoDB: documents, then how far they are
"""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from faust.types import TP
from pymongo.errors import PyMongoError
from tenacity import AsyncRetrying, retry_if_exception_type, wait_random_exponential

from parking.letter import DeadLetter
from projections.metrics import update
from projections.mongo.client import Mongo
from projections.mongo.failures import describe
from projections.mongo.indexes import create_indexes
from projections.mongo.progress import AnotherTopic, TopicPartition
from projections.mongo.readers import Presence
from projections.mongo.registry import Registry
from projections.mongo.skips import read_skips, write_skip
from projections.projection import Projection
from projections.runner import Runner
from projections.stopped import Stopped
from projections.versions import Denied, Versions, in_state
from streams.kafka.transport import Fetch, FetchConsumer, Handle, Offsets, Part, Prepared
from streams.kafka.unreadable import Unreadable
from streams.runtime.app import RoleApp
from streams.runtime.faults import fault
from streams.runtime.process import EX_CONFIG, end_process
from streams.runtime.settings import Settings
from streams.topics import COMMAND_OUTCOMES, topic_ids
from streams.tracing import traces

from .customer_keys import KeyFollower
from .metrics import FETCH_RECORDS
from .skips import Skips
from .traces import Projected

log = logging.getLogger(__name__)
LOOK_SECONDS = 0.5  # interval at which deployed and retired versions are looked for

Following = frozenset[tuple[str, int, int]]  # name, how often its documents were written by others, version


class NoLongerOurs(Exception):
    """The partitions of a fetch were assigned to another worker while the database was unreachable."""


class Projecting:
    """Applies fetches; waits while MongoDB is unreachable, as long as this worker owns the partitions."""

    def __init__(self, app: RoleApp, settings: Settings) -> None:
        self.app, self.settings, self.mongo = app, settings, Mongo(settings)
        self.topic_ids: dict[str, str] = {}
        self.runner = Runner(self.mongo, settings, topic_ids=self.topic_ids)
        self.registry = Registry(self.mongo)
        self.presence = Presence(self.mongo, "projector", settings)
        self.following: Following = frozenset()
        self.skips = Skips(app, "projector", settings, self._learnt)
        self.skipped: dict[TopicPartition, dict[int, str]] = {}
        self._traced: Handle | None = None
        if traces.ON is not None:
            self._traced = Projected(traces.ON, settings.named(COMMAND_OUTCOMES.name)).around(self._apply)

    def due(self) -> Mapping[int, float]:
        """Return nothing: read models have no timers."""
        return {}

    def tell(self, lag: Mapping[TP, int]) -> None:
        """Set the metrics of projections."""
        update(self.runner.standing, lag)

    async def handle(self, fetch: Fetch) -> Offsets | None:
        """Fold a fetch into the read models: store the documents, then the progress."""
        return await (self._apply(fetch) if self._traced is None else self._traced(fetch))

    async def start(self) -> None:
        """Read the topics' ids and create a new database's indexes; wait while MongoDB is unreachable."""
        self.topic_ids |= await topic_ids(self.settings, self.app.reads)
        async for attempt in self._while_mongo_is_unreachable():
            with attempt:
                await self.registry.bootstrap()
                await create_indexes(self.mongo, ())
        self.app.add_future(self._look_for_versions())
        if self.settings.encrypts_personal_data:
            self.app.add_future(KeyFollower(self.app, self.settings, self.mongo).follow())

    async def prepare(self, inputs: set[TP]) -> Prepared:
        """Return the offsets at which the partitions continue, which are stored in MongoDB."""
        self.runner.forget_all()
        async for attempt in self._while_mongo_is_unreachable():
            with attempt:
                await self._follow()
                try:
                    positions = await self.runner.positions([(tp.topic, tp.partition) for tp in inputs])
                except AnotherTopic as error:
                    end_process(str(error), EX_CONFIG)
                self.skipped = await read_skips(self.mongo)
        fault("offsets-read")
        return Prepared({tp: positions[tp.topic, tp.partition] for tp in inputs})

    # --- versions

    async def _follow(self) -> None:
        """Follow the live version of each projection, and the versions that are kept up to date beside it."""
        known = await self.registry.read()
        live = [_live(versions) for versions in known.values() if versions.live is not None]
        others = [
            projection
            for versions in known.values()
            for version in versions.followed
            if version.number != versions.live and (projection := versions.projection(version.number)) is not None
        ]
        await create_indexes(self.mongo, live)
        self.runner.follow([*live, *others], {one.id for one in others})
        self.following = _following(known)
        log.info("following %s", ", ".join(one.id for one in self.runner.followed))

    async def _look_for_versions(self) -> None:
        """Prepare again, from the position of the slowest version, whenever there are other versions to follow."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self._say_failed()
                if self.app.consumer.prepared:
                    await self.presence.tell([one.id for one in self.runner.followed])
                known = await self.registry.read()
            except PyMongoError as error:
                log.warning("%s; reading the versions again until it answers", describe(error))
                continue
            live = {one.id for versions in known.values() if (one := versions.live_projection) is not None}
            self.runner.spare({one.id for one in self.runner.followed} - live)
            if _following(known) != self.following and self.app.consumer.prepared:
                await self.app.consumer.rewind()

    async def _say_failed(self) -> None:
        for projection, reason in list(self.runner.failed.items()):
            with suppress(Denied):  # it was retired or promoted meanwhile

                def stopped(versions: Versions, one: Projection = projection, why: str = reason) -> Versions:
                    return in_state(versions, one.version, "stopped", why)

                await self.registry.change(projection.name, stopped)

    async def _apply(self, fetch: Fetch) -> Offsets | None:
        """Apply a whole fetch, and retry until MongoDB has it; return None once another worker owns the partitions."""
        consumer: FetchConsumer = self.app.consumer
        try:
            async for attempt in self._while_mongo_is_unreachable():
                with attempt:
                    if not consumer.is_current(fetch):
                        raise NoLongerOurs
                    handled = await self._apply_once(fetch)
            FETCH_RECORDS.observe(len(fetch))
            log.debug("projected %d records of %d partitions", len(fetch), len(fetch.parts))
            return handled
        except NoLongerOurs:
            log.info("leaving %d records to the new owner of their partitions", len(fetch))
            return None

    async def _apply_once(self, fetch: Fetch) -> Offsets:
        handled = dict(fetch.parts)
        try:
            batches = {(tp.topic, tp.partition): part.records for tp, part in fetch.parts.items()}
            await self.runner.apply(batches, self.skipped)
        except Stopped as stopped:
            for stop in stopped.stops:
                tp = TP(stop.topic, stop.partition)
                part = fetch.parts[tp]
                record = next(record for record in part.records if record.offset == stop.offset)
                reason = self.skips.blocked_by(record) if isinstance(record, Unreadable) else str(stop)
                log.error("%s", reason)
                self.app.consumer.stop_partition(tp, reason)
                self.skips.wait_for(record)
                handled[tp] = Part(part.began, [record for record in part.records if record.offset < stop.offset])
        self.app.say_waiting(None)
        return {tp: part.ended for tp, part in handled.items()}

    async def _learnt(self, skip: DeadLetter) -> None:
        """Remember that an event is skipped, first in MongoDB, where later owners of its partition look."""
        at, reason = (skip.topic, skip.partition), skip.reason or ""
        await write_skip(self.mongo, at, skip.offset, reason, skip.time)
        self.skipped.setdefault(at, {})[skip.offset] = reason

    def _while_mongo_is_unreachable(self) -> AsyncRetrying:
        def say(state: Any) -> None:
            reason = describe(state.outcome.exception())
            self.app.say_waiting(f"{reason}; retrying")
            log.warning("%s; retrying in %.1f s", reason, state.upcoming_sleep)

        return AsyncRetrying(
            retry=retry_if_exception_type(PyMongoError),
            wait=wait_random_exponential(multiplier=0.05, max=2),
            before_sleep=say,
            reraise=True,
        )


def _following(known: dict[str, Versions]) -> Following:
    return frozenset(
        (versions.name, versions.touched, version.number)
        for versions in known.values()
        for version in versions.versions
        if version.state == "following"
    )


def _live(versions: Versions) -> Projection:
    if (projection := versions.live_projection) is not None:
        return projection
    shape = next(version.shape for version in versions.versions if version.number == versions.live)
    end_process(f"{versions.name} v{versions.live} has shape {shape}, which this code does not know: deploy newer code")


def start(app: RoleApp, settings: Settings) -> None:
    """Attach the projector's work to its app."""
    app.attach(Projecting(app, settings))
