"""Projects batches of records: read what is needed, fold in memory, one write a document, then the progress."""

import asyncio
from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from types import MappingProxyType

from projections.batch import Part
from projections.cache import Cache
from projections.mongo.client import Mongo
from projections.mongo.progress import TopicPartition, progress_id, read_progress, write_progress
from projections.pipeline import project, together
from projections.projection import Projection, Record
from projections.stopped import Stopped
from projections.table import PROJECTIONS
from streams.faults import fault
from streams.settings import Settings


class Runner:
    """The projections of some partitions; one call of `apply` at a time."""

    def __init__(self, mongo: Mongo, settings: Settings, projections: Sequence[Projection] = PROJECTIONS) -> None:
        self._mongo, self._projections = mongo, projections
        self._cache = Cache()
        self._topics: dict[str, list[Projection]] = defaultdict(list)
        for projection in projections:
            self._topics[settings.named(projection.topic.name)].append(projection)

    async def positions(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Return where each (topic, partition) is to be read from: where the slowest of its projections is."""
        wanted = list(partitions)
        reached = await read_progress(self._mongo, self._projections, wanted)
        return {
            at: min((reached.get(progress_id(one, at), 0) for one in self._topics.get(at[0], ())), default=0)
            for at in wanted
        }

    def forget(self, partitions: Iterable[TopicPartition]) -> None:
        """Drop what is remembered of `partitions`: they are read elsewhere now."""
        self._cache.forget(partitions)

    def forget_all(self) -> None:
        """Drop all that is remembered."""
        self._cache.clear()

    async def apply(
        self,
        batches: Mapping[TopicPartition, Sequence[Record]],
        skipped: Mapping[TopicPartition, Container[int]] = MappingProxyType({}),
    ) -> None:
        """Project records that follow, in each partition, on those before; doing it again changes nothing.

        `skipped`: offsets to go on behind where they cannot be projected.
        `Stopped` when partitions cannot be read on: the others, and what came before in these, were projected.
        `PyMongoError` when the database failed: nothing is remembered of the batch, so apply the same one again.
        """
        work = [
            self._project(
                projection, {at: records for at, records in batches.items() if records and at[0] == topic}, skipped
            )
            for topic, projections in self._topics.items()
            for projection in projections
        ]
        try:
            parts = [part for done in await together(work) for part in done]
            await write_progress(
                self._mongo, {(part.projection, (part.topic, part.partition)): part.next_offset for part in parts}
            )
            fault("progress-stored")
        except BaseException:
            self._cache.forget(batches)
            raise
        if stops := [part.stop for part in parts if part.stop]:
            raise Stopped(stops)

    async def _project(
        self,
        projection: Projection,
        batches: Mapping[TopicPartition, Sequence[Record]],
        skipped: Mapping[TopicPartition, Container[int]],
    ) -> list[Part]:
        parts = []
        for (topic, partition), records in batches.items():
            parts.append(Part(projection, topic, partition, records, skipped.get((topic, partition), ())))
            await asyncio.sleep(0)  # a large batch must not keep heartbeats, or another projection's answers, waiting
        if parts:
            await project(self._mongo, self._cache, parts)
        return parts
