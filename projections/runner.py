"""Projects batches of records: read the needed views, fold in memory, one write per document, then the progress."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from math import inf
from types import MappingProxyType

from projections.batch import Decoded, Part
from projections.cache import Cache
from projections.metrics import PROJECT_SECONDS, Standing, observe
from projections.mongo.client import Mongo
from projections.mongo.failures import is_unreachable
from projections.mongo.progress import TopicPartition, progress_id, read_progress, write_progress
from projections.mongo.writes import Unwritable
from projections.pipeline import project, together
from projections.projection import Projection, Record
from projections.stopped import Stop, Stopped
from projections.table import PROJECTIONS
from streams.runtime.faults import fault
from streams.runtime.settings import Settings

log = logging.getLogger(__name__)
SHARE = 256  # records; larger batches are folded in shares, so that MongoDB writes one while the next is folded


class Runner:
    """The projections of some partitions; one call of `apply` at a time.

    `topic_ids`: full name → current id of each topic; without it, topics are not compared with those read before.
    """

    def __init__(
        self,
        mongo: Mongo,
        settings: Settings,
        projections: Sequence[Projection] = PROJECTIONS,
        topic_ids: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._mongo, self._settings, self._topic_ids = mongo, settings, topic_ids
        self._cache = Cache()
        # half of the time after which orders are archived: clocks differ
        self._unmoved = settings.closed_after * 86_400 / 2 or inf
        self._turn = asyncio.Lock()  # one share is decoded or folded at a time, while earlier ones are written
        self.standing: Standing = {}  # the progress of each projection, for metrics
        self.failed: dict[Projection, str] = {}  # spare versions that stopped, and why
        self.follow(projections)

    def follow(self, projections: Sequence[Projection], spare: Container[str] = ()) -> None:
        """Apply these from now on; a failure of a `spare` one (by id) stops only itself."""
        self._projections, self._spare = [one.placing(self._settings) for one in projections], spare
        self._reached: dict[str, int] = {}
        self._topics: dict[str, list[Projection]] = defaultdict(list)
        self.failed.clear()
        for projection in self._projections:
            self._topics[self._settings.named(projection.topic.name)].append(projection)

    def spare(self, spare: Container[str]) -> None:
        """Replace the set of projections whose failure stops only themselves."""
        self._spare = spare

    @property
    def followed(self) -> list[Projection]:
        """The projections it applies."""
        return [one for one in self._projections if one not in self.failed]

    async def positions(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Return from where each (topic, partition) is to be read: the position of its slowest projection.

        Raise `AnotherTopic` if a topic is not the one that was read before.
        """
        wanted = list(partitions)
        reached = self._reached = await read_progress(self._mongo, self._projections, wanted, self._topic_ids)
        for at in wanted:
            for one in self._topics.get(at[0], ()):
                self.standing[one, at] = (reached.get(progress_id(one, at), 0), None)
        return {
            at: min((reached.get(progress_id(one, at), 0) for one in self._topics.get(at[0], ())), default=0)
            for at in wanted
        }

    def forget(self, partitions: Iterable[TopicPartition]) -> None:
        """Drop everything cached of `partitions`, which are read by another process now."""
        gone = set(partitions)
        self._cache.forget(gone)
        for projection in self._projections:
            for at in gone:
                self._reached.pop(progress_id(projection, at), None)
                self.standing.pop((projection, at), None)

    def forget_all(self) -> None:
        """Drop everything cached."""
        self._cache.clear()
        self._reached = {}
        self.standing.clear()

    async def apply(
        self,
        batches: Mapping[TopicPartition, Sequence[Record]],
        skipped: Mapping[TopicPartition, Container[int]] = MappingProxyType({}),
    ) -> None:
        """Project records that follow, in each partition, on earlier ones; repeating it has no effect.

        `skipped`: offsets to skip if they cannot be projected. Raise `Stopped` if partitions are blocked: the other
        partitions, and earlier records of these, were projected. Raise `PyMongoError` if the database failed: nothing
        of the batch is cached, so apply it again.
        """
        reached = self._reached
        decoded = {at: Decoded(records) for at, records in batches.items() if records}
        work: list[asyncio.Task[list[Part]]] = []
        for topic, projections in self._topics.items():
            batch = {at: of for at, of in decoded.items() if at[0] == topic}
            sums: list[asyncio.Task[list[Part]]] = []
            for one in sorted(projections, key=lambda projection: not projection.sums):
                if one not in self.failed:
                    ways = [self._project(one, share, skipped, reached, tuple(sums)) for share in _shares(batch)]
                    tasks = [asyncio.create_task(way) for way in ways]
                    work += tasks
                    if one.sums and one.id not in self._spare:
                        sums += tasks
        try:
            with PROJECT_SECONDS.time():
                parts = [part for done in await together(work) for part in done]
                await write_progress(
                    self._mongo,
                    {(part.projection, (part.topic, part.partition)): part.next_offset for part in parts},
                    self._topic_ids,
                )
            fault("progress-stored")
            observe(parts, self._spare, self.standing)
        except BaseException:
            self._cache.forget(batches)
            raise
        for part in parts:
            reached[progress_id(part.projection, (part.topic, part.partition))] = part.next_offset
        if stops := _first_stops(stop for part in parts if (stop := self._stop_of(part))):
            raise Stopped(stops)

    def _stop_of(self, part: Part) -> Stop | None:
        """Return where a part stopped; a spare projection that stopped is dropped instead."""
        if part.stop is not None and part.projection.id in self._spare:
            self._fail(part.projection, str(part.stop))
            return None
        return part.stop

    def _fail(self, projection: Projection, reason: str) -> None:
        log.error("%s is no longer kept up to date: %s", projection.id, reason)
        self.failed[projection] = reason

    async def _project(
        self,
        projection: Projection,
        share: Mapping[TopicPartition, Decoded],
        skipped: Mapping[TopicPartition, Container[int]],
        reached: Mapping[str, int],
        before_last: Sequence[asyncio.Task[list[Part]]],
    ) -> list[Part]:
        """Project one projection. Its last documents follow `before_last`: a reader of them sees the others too."""
        parts = []
        async with self._turn:
            for at, decoded in share.items():
                if records := decoded.behind(reached.get(progress_id(projection, at), 0)):
                    parts.append(Part(projection, *at, records, skipped.get(at, ()), decoded))
                await asyncio.sleep(0)  # a large batch must not delay the answers of others
        try:
            if parts:
                await project(self._mongo, self._cache, parts, before_last, self._turn, self._unmoved)
        except Unwritable:
            return [await self._narrowed(part, part.records) for part in parts]
        except Exception as error:
            if projection.id not in self._spare or is_unreachable(error):
                raise
            self._fail(projection, f"{type(error).__name__}: {error}")
            return []
        return parts

    async def _narrowed(self, part: Part, records: Sequence[Record]) -> Part:
        """Project one part with a document that cannot be written: the records before it, and then stop."""
        self._cache.forget([(part.topic, part.partition)])
        narrower = Part(part.projection, part.topic, part.partition, records, part.skipped)
        try:
            await project(self._mongo, self._cache, [narrower])
        except Unwritable as error:
            if len(records) > 1:
                half = len(records) // 2
                first = await self._narrowed(part, records[:half])
                return first if first.stop else await self._narrowed(part, records[half:])
            if records[0].offset in part.skipped:
                at = part.projection, part.topic, part.partition
                narrower = Part(*at, records, part.skipped, passed_over={records[0].offset})
                await project(self._mongo, self._cache, [narrower])
            else:
                narrower.stop_at(records[0].offset, error)
        return narrower


def _shares(batch: Mapping[TopicPartition, Decoded]) -> Iterator[dict[TopicPartition, Decoded]]:
    """Yield the partitions of a batch in groups that have about as many records as a share."""
    share: dict[TopicPartition, Decoded] = {}
    for at, decoded in batch.items():
        share[at] = decoded
        if sum(len(each.records) for each in share.values()) >= SHARE:
            yield share
            share = {}
    if share:
        yield share


def _first_stops(stops: Iterable[Stop]) -> list[Stop]:
    """Return where each partition is blocked: where the first of its projections stopped."""
    first: dict[TopicPartition, Stop] = {}
    for stop in sorted(stops, key=lambda stop: stop.offset):
        first.setdefault((stop.topic, stop.partition), stop)
    return list(first.values())
