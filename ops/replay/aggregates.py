"""Fold some aggregates from their first event, and overwrite their documents.

A document is replaced only if it has not changed since it was read. If the projector was faster, the document is read
again, and the new events are folded, too.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pymongo.errors import DuplicateKeyError

from domain.message import instant
from ops.errors import CommandFailed, Misconfigured
from ops.kafka import records
from ops.versions.work import Work
from projections.document import Document
from projections.mongo.skips import read_skips
from projections.mongo.writes import is_namesake, load, namesake_id
from projections.projection import Projection, Record
from streams.kafka.partitions import partition_of
from streams.kafka.unreadable import Unreadable
from streams.messages.codec import event_in
from streams.messages.envelope import EventMessage
from streams.runtime.settings import Settings

CHUNK, TRIES = 500, 20
PAUSE_SECONDS = 0.2


@dataclass
class Written:
    """The number of aggregates, of their events, and of changed documents."""

    aggregates: int = 0
    events: int = 0
    changed: int = 0


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
        models = {
            model.collection: {
                key: model.document_of(view) for key, view in self.views.get(model.collection, {}).items()
            }
            for model in self.projection.models
        }
        return {**self.entries, **models}


async def replay_aggregates(work: Work, projection: Projection, keys: set[bytes] | None, since: str | None) -> Written:
    """Rewrite the documents of aggregates: of `keys`, or of all with events since a time."""
    settings, topic = work.settings, projection.topic.name
    if since is not None:
        found = await asyncio.to_thread(_touched_since, settings, topic, since)
        keys = found if keys is None else keys & found
    assert keys is not None
    numbers = {partition_of(key, settings.partitions) for key in keys}
    written = Written(aggregates=len(keys))
    begins = await asyncio.to_thread(records.begins, settings, topic)
    ends = await asyncio.to_thread(records.ends, settings, topic)
    with work.progress(topic, sum(ends[number] - begins[number] for number in numbers)) as advance:
        for number in sorted(numbers):
            with records.Log(settings, topic, {number: begins[number]}) as log:
                mine = _Partition(work, projection, log, number, keys)
                await mine.read(ends[number])
                written.changed += await mine.write()
                written.events += mine.folded.events
            advance(ends[number] - begins[number])
    return written


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
        self._seen: dict[tuple[str, str], int] = {}  # (collection, id) → a sequence that was ahead of the topic

    async def read(self, end: int) -> None:
        """Fold the events of the aggregates up to an offset."""
        left = self.log.upto({self.number: end})
        while (batch := await asyncio.to_thread(next, left, None)) is not None:
            for record in batch:
                if record.key in self.keys or isinstance(record, Unreadable):
                    await self._apply(record)

    async def _apply(self, record: records.Record) -> None:
        """Fold an event; skip a record that cannot be read if the projector skips it, too."""
        if (event := event_in(record.value)) is not None:
            self.folded.apply(event, record)
        elif record.offset not in (await read_skips(self.work.mongo)).get((record.topic, self.number), {}):
            place = f"{record.topic}/{self.number}@{record.offset}"
            raise CommandFailed(
                f"The record at {place} is not an event: run `fulfillment skip projector {place} --reason …`."
            )

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
            ends = await asyncio.to_thread(records.ends, self.work.settings, self.projection.topic.name)
            await self.read(ends[self.number])
            now = self.folded.documents()
            left = {name: {each: now[name][each] for each in documents} for name, documents in later.items()}
        count = sum(map(len, left.values()))
        raise CommandFailed(f"{count} documents change faster than they can be written: run the command again.")

    async def _write(self, name: str, wanted: Mapping[str, Document]) -> tuple[int, list[str]]:
        """Write documents that differ; return their number, and the ids of documents that changed meanwhile."""
        collection = self.work.mongo.durable(self.projection.collection(name))
        there = {document["_id"]: document for document in await load(collection, list(wanted))}
        changed, moved = 0, []
        for identifier, document in wanted.items():
            found = there.get(identifier)
            if found == document:
                continue
            if found is not None and self._is_ahead(name, found, document):
                moved.append(identifier)
            elif await self._replace(collection, found, document):
                changed += 1
            else:
                moved.append(identifier)
        return changed, moved

    def _is_ahead(self, name: str, found: Document, document: Document) -> bool:
        """Return whether the projector has newer events; reading further shows if a document only claims that."""
        sequence, at = found.get("sequence"), (name, document["_id"])
        if name in self.folded.entries or not isinstance(sequence, int) or sequence <= document["sequence"]:
            return False
        before, self._seen[at] = self._seen.get(at), sequence
        return before != sequence

    async def _replace(self, collection: Any, found: Document | None, document: Document) -> bool:
        if found is None:
            try:
                await collection.insert_one(document)
            except DuplicateKeyError:
                return False
            return True
        same = {"_id": document["_id"], "sequence": found.get("sequence")}
        return bool((await collection.replace_one(same, document)).matched_count)


def _chunks(ids: Iterable[str]) -> Iterable[list[str]]:
    every = list(ids)
    return (every[first : first + CHUNK] for first in range(0, len(every), CHUNK))
