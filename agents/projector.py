"""The projector agent: folds events and outcomes into the read models."""

import logging
from typing import Any

from faust.types import TP
from pymongo.errors import PyMongoError
from tenacity import AsyncRetrying, before_sleep_log, retry_if_exception_type, wait_random_exponential

from projections.mongo.client import Mongo
from projections.mongo.indexes import create_indexes
from projections.mongo.progress import TopicPartition
from projections.mongo.skips import read_skips, write_skip
from projections.runner import Runner
from projections.stopped import Stopped
from projections.table import PROJECTIONS
from streams import topics
from streams.app import RoleApp
from streams.faults import fault
from streams.letters import DeadLetter
from streams.settings import Role, Settings
from streams.transport import Fetch, FetchConsumer, fetches

from .skips import Skips

log = logging.getLogger(__name__)


class NoLongerOurs(Exception):
    """The partitions of a fetch were given to somebody else while the database was away."""


class Projecting:
    """Applies fetches; waits while MongoDB is away, as long as the partitions are ours."""

    def __init__(self, app: RoleApp, settings: Settings) -> None:
        self.app, self.mongo = app, Mongo(settings)
        self.runner = Runner(self.mongo, settings)
        self.skips = Skips(app, "projector", settings, self._learnt)
        self.skipped: dict[TopicPartition, dict[int, str]] = {}
        app.prepare = self.prepare
        app.starting = self.mongo_ready

    async def mongo_ready(self) -> None:
        """Create the indexes; wait while the database is away."""
        async for attempt in self._while_mongo_is_away():
            with attempt:
                await create_indexes(self.mongo, PROJECTIONS)

    async def prepare(self, inputs: set[TP]) -> dict[TP, int]:
        """Return where MongoDB says the partitions are to be read from."""
        self.runner.forget_all()
        async for attempt in self._while_mongo_is_away():
            with attempt:
                positions = await self.runner.positions([(tp.topic, tp.partition) for tp in inputs])
                self.skipped = await read_skips(self.mongo)
        fault("offsets-read")
        return {tp: positions[tp.topic, tp.partition] for tp in inputs}

    async def apply(self, fetch: Fetch) -> None:
        """Apply a fetch whole, again and again until the database has it or the partitions are not ours any more."""
        consumer: FetchConsumer = self.app.consumer
        try:
            async for attempt in self._while_mongo_is_away():
                with attempt:
                    if not consumer.is_current(fetch):
                        raise NoLongerOurs
                    await self._apply_once(fetch)
            fetch.done = True
        except NoLongerOurs:
            log.info("%d records are left to the new owner of their partitions", len(fetch))

    async def _apply_once(self, fetch: Fetch) -> None:
        try:
            batches = {(tp.topic, tp.partition): part.records for tp, part in fetch.parts.items()}
            await self.runner.apply(batches, self.skipped)
        except Stopped as stopped:
            for stop in stopped.stops:
                log.error("%s", stop)
                self.app.consumer.stop_partition(TP(stop.topic, stop.partition), str(stop))
                part = fetch.parts[TP(stop.topic, stop.partition)]
                self.skips.wait_for(next(record for record in part.records if record.offset == stop.offset))
                part.records = [record for record in part.records if record.offset < stop.offset]
        self.app.waiting_for = None

    async def _learnt(self, skip: DeadLetter) -> None:
        """Keep that an event is skipped, first where every later owner of its partition will look."""
        at, reason = (skip.topic, skip.partition), skip.reason or ""
        await write_skip(self.mongo, at, skip.offset, reason, skip.time)
        self.skipped.setdefault(at, {})[skip.offset] = reason

    def _while_mongo_is_away(self) -> AsyncRetrying:
        def say(state: Any) -> None:
            self.app.waiting_for = f"MongoDB is away: {state.outcome.exception()}"
            before_sleep_log(log, logging.WARNING)(state)

        return AsyncRetrying(
            retry=retry_if_exception_type(PyMongoError),
            wait=wait_random_exponential(multiplier=0.05, max=2),
            before_sleep=say,
            reraise=True,
        )


def projector(app: RoleApp, role: Role, settings: Settings) -> Projecting:
    """Give the projector role its agent."""
    projecting = Projecting(app, settings)

    @app.fetch_agent(topics.ORDER_EVENTS, topics.INVENTORY_EVENTS, topics.COMMAND_OUTCOMES)
    async def projector_agent(stream: Any) -> None:
        """Fold what one fetch brought into the read models."""
        async for fetch in fetches(stream):
            await projecting.apply(fetch)

    return projecting
