"""Fold some aggregates from their first event, and overwrite their documents.

A document is replaced only if it has not changed since it was read. If the projector was faster, the document is read
again, and the new events are folded, too.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from pymongo.errors import DuplicateKeyError

from domain.message import instant
from ops.errors import CommandFailed, Misconfigured
from ops.kafka import records
from ops.versions.work import Work
from projections.document import Document
from projections.mongo.indexes import is_clustered
from projections.mongo.progress import offsets_of
from projections.mongo.skips import read_skips
from projections.mongo.writes import is_namesake, load, load_entries, namesake_id, remove
from projections.projection import Projection, Record
from streams.kafka.partitions import partition_of
from streams.kafka.unreadable import Unreadable
from streams.messages.codec import event_in
from streams.messages.envelope import EventMessage
from streams.runtime.settings import Settings
from streams.wording import counted

CHUNK, TRIES = 500, 20
PAUSE_SECONDS = 0.2


@dataclass
class Written:
    """The number of aggregates, of their events, and of changed documents; `recounted`: those of other kinds now."""

    aggregates: int = 0
    events: int = 0
    changed: int = 0
    recounted: int = 0

    def __str__(self) -> str:
        said = f"{counted(self.events, 'event')}; {counted(self.changed, 'document was', 'documents were')} rewritten"
        if not self.recounted:
            return said
        counts = f"{self.recounted:,} of them are counted otherwise than before"
        return f"{said}. {counts}: run `fulfillment audit --repair` to correct the counts"


@dataclass
class Folded:
    """The views and entries of some aggregates, as far as the topic was read."""

    projection: Projection
    views: dict[str, dict[str, Any]] = field(default_factory=dict)  # collection → key → view
    entries: dict[str, dict[str, Document]] = field(default_factory=dict)  # collection → id → document
    events: int = 0

    def apply(self, message: EventMessage, record: Record) -> None:
        """Fold an event."""
        self.events += 1
        for model in self.projection.models:
            if (key := model.key(message)) is not None:
                views = self.views.setdefault(model.collection, {})
                views[key] = model.fold(views.get(key), message)
        for name, log in self.projection.logs.items():
            document, entries = log.entry(message, record), self.entries.setdefault(name, {})
            if log.namesakes and is_namesake(document, entries.get(document["_id"])):
                document = {**document, "_id": namesake_id(document)}
            entries[document["_id"]] = document

    def documents(self) -> dict[str, dict[str, Document]]:
        """Return the expected documents: collection → id → document."""
        models: dict[str, dict[str, Document]] = {}
        for model in self.projection.models:
            for key, view in self.views.get(model.collection, {}).items():
                models.setdefault(model.place_of(view), {})[key] = model.document_of(view)
        return {**self.entries, **models}

    def again(self, later: Mapping[str, Iterable[str]]) -> dict[str, dict[str, Document]]:
        """Return the expected documents of some ids by collection, as they are now, wherever they are now."""
        found: dict[str, dict[str, Document]] = {}
        now = self.documents()
        for name, ids in later.items():
            for each, place in ((each, place) for each in ids for place in self.places_of(name)):
                if each in now.get(place, {}):
                    found.setdefault(place, {})[each] = now[place][each]
        return found

    def places_of(self, name: str) -> Sequence[str]:
        """Return the collections that may have the documents of one."""
        return next((model.places for model in self.projection.models if name in model.places), (name,))


async def replay_aggregates(work: Work, projection: Projection, keys: set[bytes] | None, since: str | None) -> Written:
    """Rewrite the documents of aggregates: of `keys`, or of all with events since a time."""
    settings, topic = work.settings, projection.topic.name
    projection = projection.placing(settings)
    if since is not None:
        found = await asyncio.to_thread(_touched_since, settings, topic, since)
        keys = found if keys is None else keys & found
    assert keys is not None
    numbers = {partition_of(key, settings.partitions) for key in keys}
    written = Written(aggregates=len(keys))
    begins = await asyncio.to_thread(records.begins, settings, topic)
    ends = await _ends(work, projection)
    with work.progress(topic, sum(ends[number].offset - begins[number] for number in numbers)) as advance:
        for number in sorted(numbers):
            with records.Log(settings, topic, {number: begins[number]}) as log:
                mine = _Partition(work, projection, log, number, keys)
                await mine.read(ends[number])
                await mine.refuse_unreadable(ends[number])
                written.changed += await mine.write()
                written.recounted += mine.recounted
                written.events += mine.folded.events
            advance(ends[number].offset - begins[number])
    return written


class _End(NamedTuple):
    """The offset up to which a partition is folded, and where its events end."""

    offset: int
    of_events: int

    @property
    def last(self) -> bool:
        """Whether no event follows."""
        return self.offset >= self.of_events


async def _ends(work: Work, projection: Projection) -> dict[int, _End]:
    """Return the end of each partition; if documents are counted, the end of what the projector has counted.

    A document that includes a later event would make the projector skip that event without counting it.
    """
    topic = projection.topic.name
    if not projection.tallies:
        ends = await asyncio.to_thread(records.ends, work.settings, topic)
        return {number: _End(end, end) for number, end in ends.items()}
    ends = await asyncio.to_thread(records.last_records, work.settings, topic)
    reached = await offsets_of(work.mongo, projection)
    handled = {number: reached.get((work.settings.named(topic), number), 0) for number in ends}
    return {number: _End(min(end, handled[number]), end) for number, end in ends.items()}


def _touched_since(settings: Settings, topic: str, since: str) -> set[bytes]:
    try:
        milliseconds = int(datetime.fromisoformat(instant(since)).timestamp() * 1000)
    except (ValueError, OverflowError):
        raise Misconfigured(
            f"--since is not a time: {since!r}. Write it as 2026-11-23 or 2026-11-23T10:00:00Z."
        ) from None
    ends, starts = records.ends(settings, topic), records.offsets_at(settings, topic, milliseconds)
    batches = records.read(settings, topic, starts, {number: ends[number] for number in starts})
    return {record.key for batch in batches for record in batch if record.key is not None}


@dataclass
class _Partition:
    """Some aggregates of one partition."""

    work: Work
    projection: Projection
    log: records.Log
    number: int
    keys: set[bytes]

    def __post_init__(self) -> None:
        self.folded = Folded(self.projection)
        self.recounted = 0  # the number of rewritten documents that are of other kinds than before
        self._seen: dict[tuple[str, str], int] = {}  # (collection, id) → a sequence that was ahead of the topic
        self._last = True  # whether the events were read to the last one

    async def read(self, end: _End) -> None:
        """Fold the events of the aggregates up to an end."""
        self._last = end.last
        left = self.log.upto({self.number: end.offset})
        while (batch := await asyncio.to_thread(next, left, None)) is not None:
            for record in batch:
                if record.key in self.keys or isinstance(record, Unreadable):
                    await self._apply(record)

    async def refuse_unreadable(self, end: _End) -> None:
        """Read the events that the projector has not handled, because it may wait at one that cannot be read."""
        if end.last:
            return
        with records.Log(self.work.settings, self.projection.topic.name, {self.number: end.offset}) as log:
            left = log.upto({self.number: end.of_events})
            while (batch := await asyncio.to_thread(next, left, None)) is not None:
                for record in batch:
                    if record.key in self.keys or isinstance(record, Unreadable):
                        await self._event(record)

    async def _apply(self, record: records.Record) -> None:
        """Fold an event."""
        if (event := await self._event(record)) is not None:
            self.folded.apply(event, record)

    async def _event(self, record: records.Record) -> EventMessage | None:
        """Return the event in a record; None if it cannot be read and the projector skips it, too."""
        event = event_in(record.value)
        if event is None and record.offset not in (await read_skips(self.work.mongo)).get(
            (record.topic, self.number), {}
        ):
            place = f"{record.topic}/{self.number}@{record.offset}"
            raise CommandFailed(
                f"The record at {place} is not an event: run `fulfillment skip projector {place} --reason …`."
            )
        return event

    async def write(self) -> int:
        """Write documents that differ; read further if the projector is ahead, and wait if it is behind."""
        changed = 0
        left = self.folded.documents()
        for _ in range(TRIES):
            later: dict[str, dict[str, Document]] = {}
            for name, wanted in left.items():
                for ids in _chunks(wanted):
                    written, moved = await self._write(name, {each: wanted[each] for each in ids})
                    changed += written
                    if moved:
                        later.setdefault(name, {}).update({each: wanted[each] for each in moved})
            if not later:
                return changed
            await asyncio.sleep(PAUSE_SECONDS)
            ends = await _ends(self.work, self.projection)
            await self.read(ends[self.number])
            left = self.folded.again(later)
        count = sum(map(len, left.values()))
        raise CommandFailed(f"{count} documents change faster than they can be written: run the command again.")

    async def _write(self, name: str, wanted: Mapping[str, Document]) -> tuple[int, list[str]]:
        """Write documents that differ; return their number, and the ids of documents that changed meanwhile."""
        collection = self.work.mongo.durable(self.projection.collection(name))
        log = self.projection.logs.get(name)
        look_up = load_entries if log is not None and is_clustered(log) else load
        there = {document["_id"]: document for document in await look_up(collection, list(wanted))}
        changed, moved = 0, []
        elsewhere = await self._elsewhere(name, wanted)
        for identifier, document in wanted.items():
            found = there.get(identifier)
            if found == document:
                continue
            if found is None and self._is_ahead(name, elsewhere.get(identifier, {}), document):
                moved.append(identifier)
                continue
            if found is not None and self._is_ahead(name, found, document):
                moved.append(identifier)
            elif await self._replace(collection, found, document):
                changed += 1
                before = found or elsewhere.get(identifier)
                self.recounted += counted_otherwise(self.projection, name, before, document)
            else:
                moved.append(identifier)
        outdated = [(each, wanted[each]["sequence"]) for each in elsewhere if each not in moved]
        for place in self.folded.places_of(name):
            if place != name and outdated:
                await remove(self.work.mongo.durable(self.projection.collection(place)), outdated)
        return changed, moved

    async def _elsewhere(self, name: str, wanted: Mapping[str, Document]) -> dict[str, Document]:
        """Return the documents of the same ids in other collections of the model, because they are being moved."""
        found: dict[str, Document] = {}
        for place in self.folded.places_of(name):
            if place != name:
                collection = self.work.mongo.collection(self.projection.collection(place))
                found |= {document["_id"]: document for document in await load(collection, list(wanted))}
        return found

    def _is_ahead(self, name: str, found: Document, document: Document) -> bool:
        """Return whether the projector has newer events; reading further shows if a document only claims that."""
        sequence, at = found.get("sequence"), (name, document["_id"])
        if name in self.folded.entries or not isinstance(sequence, int) or sequence <= document["sequence"]:
            return False
        before, self._seen[at] = self._seen.get(at), sequence
        return before != sequence or not self._last

    async def _replace(self, collection: Any, found: Document | None, document: Document) -> bool:
        if found is None:
            try:
                await collection.insert_one(document)
            except DuplicateKeyError:
                return False
            return True
        same = {"_id": document["_id"], "sequence": found.get("sequence")}
        return bool((await collection.replace_one(same, document)).matched_count)


def counted_otherwise(projection: Projection, name: str, before: Document | None, after: Document) -> bool:
    """Return whether a document is counted among other kinds than before; the tally may then be wrong."""
    model = next((model for model in projection.models if name in model.places), None)
    if model is None or model.counted is None:
        return False
    try:
        kinds = sorted(model.counted.kinds_of(model.view_of(before))) if before is not None else []
    except Exception:  # it may have been damaged in any way
        return True
    return kinds != sorted(model.counted.kinds_of(model.view_of(after)))


def _chunks(ids: Iterable[str]) -> Iterable[list[str]]:
    every = list(ids)
    return (every[first : first + CHUNK] for first in range(0, len(every), CHUNK))
