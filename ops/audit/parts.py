"""The parts of an audit, each made by one process: partitions first, then what they exchanged.

Every part writes a result of its own, and the results are merged in the order of the parts.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import aiohttp
from pymongo.errors import PyMongoError

from ops.audit import plan as plans
from ops.audit.buckets import Buckets, digests, lines
from ops.audit.documents import Documents
from ops.audit.entries import EntriesAudit, is_hashed, missing, offsets_in, scan, stored
from ops.audit.event_ids import suspects
from ops.audit.lines import Pair, compared
from ops.audit.partition import PartitionAudit
from ops.audit.patience import Patience
from ops.audit.plan import RESULT, Plan
from ops.audit.report import Report
from ops.audit.strangers import Strangers
from ops.audit.tables import Workers
from ops.errors import mongo_error
from ops.kafka import records
from ops.pool import Say
from projections.mongo.client import Mongo
from projections.projection import Projection
from projections.table import shape_of
from streams.runtime.settings import Settings

MOST_PAIRS = 10_000  # lines of a bucket that are compared again; more are only counted


@dataclass
class Work:
    """The connections of a process that makes parts."""

    settings: Settings
    plan: Plan
    folder: Path
    mongo: Mongo
    workers: Workers
    patience: Patience
    say: Say

    def projection(self, name: str) -> Projection:
        """Return a projection in the version that is audited."""
        return replace(_shape(self.plan, name), version=self.plan.shapes[name][1]).placing(self.settings)

    @property
    def partitions(self) -> list["Partition"]:
        """All partitions."""
        return partitions(self.plan)

    @property
    def scans(self) -> list["Scan"]:
        """The event logs in the database."""
        return scans(self.plan)

    @cached_property
    def broken(self) -> set[str]:
        """The orders and products whose events have a gap or do not apply."""
        return {key for each in self.partitions for key in plans.result(self.folder, each.name)["broken"]}


@asynccontextmanager
async def opened(settings: Settings, plan: Plan, folder: Path, patience: Patience, say: Say) -> AsyncIterator[Work]:
    """Give everything that parts need, connected."""
    token = settings.secret("api_token")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession(headers=headers))
        mongo = Mongo(settings)
        stack.push_async_callback(mongo.close)
        yield Work(settings, plan, folder, mongo, Workers(settings, session), patience, say)


class PartBase(ABC):
    """One part; `steps` is its share of the progress that is shown."""

    @property
    @abstractmethod
    def name(self) -> str:
        """Its name, and that of its folder."""

    @abstractmethod
    def steps(self, plan: Plan) -> int:
        """Return how many steps it has."""

    async def run(self, work: Work) -> None:
        """Make it, and write its result."""
        report = Report()
        try:
            with plans.part(work.folder, self.name) as folder:
                found = await self.find(work, report, folder)
                plans.write_json(folder / RESULT, {"report": report.kept(), **found})
        except PyMongoError as error:
            raise mongo_error(work.settings.mongo, error) from error

    @abstractmethod
    async def find(self, work: Work, report: Report, folder: Path) -> dict[str, Any]:
        """Audit it; return what others need besides the report."""


@dataclass(frozen=True)
class Partition(PartBase):
    """A partition of an event topic."""

    projection: str
    topic: str
    number: int

    @property
    def name(self) -> str:
        """Its name, and that of its folder."""
        return f"{self.topic}-{self.number}"

    def steps(self, plan: Plan) -> int:
        """Return the number of its offsets."""
        return plan.ends[self.topic][self.number] - plan.begins[self.topic][self.number]

    async def find(self, work: Work, report: Report, folder: Path) -> dict[str, Any]:
        """Fold its events and compare them."""
        plan, documents = work.plan, Documents(work.mongo, work.projection(self.projection), report, work.plan.repair)
        audit = PartitionAudit(
            work.settings, documents, work.workers, report, self.number, plan.begins[self.topic][self.number],
            plan.ends[self.topic][self.number], work.say, work.patience, Buckets(folder, plan.buckets),
            folder / "spill", plan.limit,
        )  # fmt: skip
        await audit.run()
        return {"broken": audit.broken}


@dataclass(frozen=True)
class Scan(PartBase):
    """All entries of an event log in the database."""

    projection: str
    topic: str
    log: str

    @property
    def name(self) -> str:
        """Its name, and that of its folder."""
        return f"log-{self.log}"

    def steps(self, plan: Plan) -> int:
        """Return nothing: it takes a fraction of the time of the partitions."""
        return 0

    async def find(self, work: Work, report: Report, folder: Path) -> dict[str, Any]:
        """Write down the hashes of its entries, when the events before the end are projected."""
        projection = work.projection(self.projection)
        documents = Documents(work.mongo, projection, report)
        if is_hashed(projection.logs[self.log]):
            await self._wait(work, documents)
            await scan(documents.of(self.log), Buckets(folder, work.plan.buckets))
        return {}

    async def _wait(self, work: Work, documents: Documents) -> None:
        last = await asyncio.to_thread(records.last_records, work.settings, self.topic)
        topic = work.settings.named(self.topic)
        for number, end in last.items():
            while await documents.handled(topic, number) < end and await work.patience.pause():
                pass


@dataclass(frozen=True)
class Bucket(PartBase):
    """The event ids, entries, lines and reservations of one bucket, from all partitions."""

    number: int

    @property
    def name(self) -> str:
        """Its name, and that of its folder."""
        return f"bucket-{self.number}"

    def steps(self, plan: Plan) -> int:
        """Return nothing: it takes a moment."""
        return 0

    async def find(self, work: Work, report: Report, folder: Path) -> dict[str, Any]:
        """Compare entries with events, lines with reservations, and ids with each other."""
        for each in work.scans:
            self._compare_entries(work, each, folder)
        folders = [work.folder / each.name for each in work.partitions]
        found = suspects(digests(folders, "ids", self.number))
        reserved, placed = (lines(folders, kind, self.number) for kind in ("reserved", "lines"))
        pairs = list[Pair]()
        for pair in compared(reserved, placed, work.broken, report):
            if len(pairs) < MOST_PAIRS:
                pairs.append(pair)
            else:
                report.in_flight["lines"] += 1
        return {"suspects": [each.hex() for each in found], "pairs": pairs}

    def _compare_entries(self, work: Work, scan: Scan, folder: Path) -> None:
        there = stored(work.folder / scan.name, self.number)
        for each in work.partitions:
            if each.topic == scan.topic:
                lost = missing(work.folder / each.name, scan.log, there, self.number)
                if lost:
                    with (folder / each.name).open("ab") as file:
                        file.write(lost)


@dataclass(frozen=True)
class Entries(PartBase):
    """The events of a partition whose entries are not as they must be."""

    partition: Partition

    @property
    def name(self) -> str:
        """Its name, and that of its folder."""
        return f"entries-{self.partition.name}"

    def steps(self, plan: Plan) -> int:
        """Return 0, because a partition rarely has such events."""
        return 0

    async def find(self, work: Work, report: Report, folder: Path) -> dict[str, Any]:
        """Look up their entries."""
        buckets = [work.folder / Bucket(number).name for number in range(work.plan.buckets)]
        if offsets := offsets_in(buckets, self.partition.name):
            documents = Documents(work.mongo, work.projection(self.partition.projection), report, work.plan.repair)
            await EntriesAudit(work.settings, documents, self.partition.number, work.patience).check(offsets)
        return {}


@dataclass(frozen=True)
class Collection(PartBase):
    """The documents of one collection that no event explains."""

    projection: str
    topic: str
    collection: str

    @property
    def name(self) -> str:
        """Its name, and that of its folder."""
        return f"collection-{self.collection}"

    def steps(self, plan: Plan) -> int:
        """Return nothing: it takes a fraction of the time of the partitions."""
        return 0

    async def find(self, work: Work, report: Report, folder: Path) -> dict[str, Any]:
        """Look for documents without events."""
        mine = [each for each in work.partitions if each.topic == self.topic]
        documents = Documents(work.mongo, work.projection(self.projection), report)
        strangers = Strangers(
            work.settings, documents, self.collection, [work.folder / each.name for each in mine], folder,
            work.plan.buckets, work.broken,
        )  # fmt: skip
        await strangers.find(work.plan.ends[self.topic])
        return {}


def partitions(plan: Plan) -> list[Partition]:
    """Return the partitions of all topics, in the order in which they are reported."""
    return [Partition(name, topic, number) for topic, name in _topics(plan) for number in sorted(plan.ends[topic])]


def scans(plan: Plan) -> list[Scan]:
    """Return the event logs in the database."""
    return [Scan(name, topic, log) for topic, name in _topics(plan) for log in _shape(plan, name).logs]


def collections(plan: Plan) -> list[Collection]:
    """Return the collections of documents in the database."""
    every = ((topic, name, model) for topic, name in _topics(plan) for model in _shape(plan, name).models)
    return [Collection(name, topic, place) for topic, name, model in every for place in model.places]


def stages(plan: Plan) -> list[list[PartBase]]:
    """Return all parts; those of a stage need the results of the stages before."""
    buckets = [Bucket(number) for number in range(plan.buckets)]
    return [
        [*scans(plan), *partitions(plan)],
        [*collections(plan), *buckets],
        [Entries(each) for each in partitions(plan)],
    ]


def _topics(plan: Plan) -> Iterator[tuple[str, str]]:
    """Yield each topic with the name of its projection."""
    return zip(plan.ends, plan.shapes, strict=True)


def _shape(plan: Plan, name: str) -> Projection:
    found = shape_of(name, plan.shapes[name][0])
    assert found is not None, "the process that planned the audit knows the shape"
    return found
