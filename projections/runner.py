"""Projects batches of records: read what is needed, fold in memory, one write a document, then the progress."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from projections.batch import Part
from projections.cache import Cache
from projections.mongo.client import Mongo
from projections.mongo.progress import TopicPartition, progress_id, read_progress, write_progress
from projections.pipeline import project, together
from projections.projection import Projection, Record
from projections.stopped import Stopped
from projections.table import PROJECTIONS
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

    async def apply(self, batches: Mapping[TopicPartition, Sequence[Record]]) -> None:
        """Project records that follow, in each partition, on those before; doing it again changes nothing.

        `Stopped` when partitions cannot be read on: the others, and what came before in these, were projected.
        `PyMongoError` when the database failed: nothing is remembered of the batch, so apply the same one again.
        """
        parts = [
            Part(projection, topic, partition, records)
            for (topic, partition), records in batches.items()
            for projection in self._topics.get(topic, ())
            if records
        ]
        try:
            await self._project(parts)
        except BaseException:
            self._cache.forget(batches)
            raise
        if stops := [part.stop for part in parts if part.stop]:
            raise Stopped(stops)

    async def _project(self, parts: Sequence[Part]) -> None:
        grouped = [[part for part in parts if part.projection is one] for one in self._projections]
        await together(project(self._mongo, self._cache, group) for group in grouped if group)
        await write_progress(
            self._mongo, {(part.projection, (part.topic, part.partition)): part.next_offset for part in parts}
        )
