"""Compare two versions document by document, while the projector writes to both.

Documents that are equal need no second look. Documents that differ are read again until both have the same sequence,
because the projector may have updated only one of them.

Versions of one shape have the same documents. If the shapes differ, each document of the live version is converted:
it is read as the fold reads it, and written as the code of the new version writes it. Entries of an event log, whose
ids may differ, are compared as the API shows them.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import bson
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument

from ops.audit.differences import differences
from ops.progress import Advance, ShowProgress
from ops.versions.deploy import wait_until_caught_up
from ops.versions.work import Work
from projections.document import Document
from projections.mongo.client import aggregate
from projections.projection import History, Projection
from projections.versions import Denied, Verified, verified
from streams.messages.envelope import now

CHUNK = 1_000  # documents
PATIENCE_SECONDS, PAUSE_SECONDS = 15.0, 0.3  # time for a document to reach the same sequence in both
LISTED = 1_000
RAW: Any = CodecOptions(document_class=RawBSONDocument)
AWARE: Any = CodecOptions(tz_aware=True)
_ID = b"\x02_id\x00"  # the first bytes of a document whose `_id` is a string, as in all our collections


@dataclass(frozen=True, slots=True)
class Difference:
    """A document that differs between the versions."""

    collection: str
    id: str
    what: str


@dataclass
class Comparison:
    """The result of comparing a version with the live one."""

    live: Projection
    version: Projection
    documents: int = 0
    count: int = 0
    differences: list[Difference] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def differs(self, difference: Difference) -> None:
        """Add a difference."""
        self.count += 1
        if len(self.differences) < LISTED:
            self.differences.append(difference)


async def verify(work: Work, name: str, sample: int | None, ignored: Sequence[str]) -> Comparison:
    """Compare the candidate with the live version, all documents or a `sample` of each, and record the result."""
    versions = await work.registry.get(name)
    candidate, live = versions.candidate, versions.live_projection
    if candidate is None or (version := versions.projection(candidate.number)) is None:
        raise Denied(
            f"There is no version of {name} to verify: build one with `fulfillment projections deploy {name}`."
        )
    if live is None:
        raise Denied(f"No version of {name} is live to compare with: promote this one with --force.")
    await wait_until_caught_up(work, live, version)
    comparison = Comparison(live, version)
    for collection in live.collections:
        if collection in version.collections:
            await _pair(work, comparison, collection, ignored).compare(sample)
    only = set(live.collections) ^ set(version.collections)
    comparison.notes += [f"{each} exists in only one of the versions, and was not compared" for each in sorted(only)]
    what = Verified(now(), comparison.documents, comparison.count, sample is not None, tuple(ignored))
    await work.registry.change(name, lambda found: verified(found, version.version, what))
    return comparison


Id = Any  # a document's `_id` as bytes; for an entry of a log, its aggregate and sequence
Content = Any  # a document's bytes; for an entry of a log, its form in the API


@dataclass
class _Documents:
    """A collection of one version; `rewrite` converts its documents to the other version's shape."""

    collection: Any
    ignored: Document
    rewrite: Callable[[Document], Document] | None = None

    async def walk(self) -> AsyncIterator[tuple[Id, Content]]:
        """Yield all documents in the order of their ids."""
        cursor = self._find({}, CHUNK).sort("_id", 1)
        while chunk := await cursor.to_list(CHUNK):
            for each in chunk:
                yield self._read(bytes(each.raw))  # the driver returns large documents as memory views

    async def load(self, ids: Sequence[Id]) -> dict[Id, Content]:
        """Return the documents of `ids` that exist."""
        found = self._find({"_id": {"$in": [each.decode() for each in ids]}}, len(ids) + 1)
        return dict([self._read(bytes(each.raw)) for each in await found.to_list(None)])

    async def sample(self, size: int) -> set[Id]:
        """Return the ids of random documents."""
        cursor = await aggregate(self.collection, [{"$sample": {"size": size}}, {"$project": {"_id": 1}}])
        return {_id_of(bytes(document.raw)) async for document in cursor}

    def _find(self, where: Document, batch: int) -> Any:
        fields = None if self.rewrite else self.ignored or None
        return self.collection.find(where, fields, batch_size=batch)

    def _read(self, raw: bytes) -> tuple[Id, Content]:
        return _id_of(raw), raw if self.rewrite is None else self._rewritten(raw, self.rewrite)

    def _rewritten(self, raw: bytes, rewrite: Callable[[Document], Document]) -> bytes:
        """Return the document in the other version's shape; one that cannot be converted is unchanged, and differs."""
        with suppress(Exception):
            document = rewrite(bson.decode(raw, AWARE))
            raw = bson.encode({name: value for name, value in document.items() if name not in self.ignored})
        return raw


@dataclass
class _Entries:
    """An event log of one version, as the API shows it."""

    collection: Any
    ignored: Document
    history: History

    async def walk(self) -> AsyncIterator[tuple[Id, Content]]:
        """Yield all entries, grouped by aggregate."""
        by = [("_id", 1)] if self.history.order == "_id" else [(self.history.of, 1), (self.history.order, 1)]
        cursor = self.collection.find({}, batch_size=CHUNK).sort(by)
        while chunk := await cursor.to_list(CHUNK):
            for each in chunk:
                yield self._read(bson.decode(each.raw, AWARE))

    async def load(self, ids: Sequence[Id]) -> dict[Id, Content]:
        """Return the entries of `ids` that exist, and perhaps others."""
        if not ids:
            return {}
        sequences: dict[str, list[int]] = defaultdict(list)
        for aggregate_id, sequence in ids:
            sequences[aggregate_id].append(sequence)
        ranges = [self.history.between(each, min(numbers), max(numbers)) for each, numbers in sequences.items()]
        found = await self.collection.find({"$or": ranges}, batch_size=CHUNK).to_list(None)
        return dict([self._read(bson.decode(each.raw, AWARE)) for each in found])

    async def sample(self, size: int) -> set[Id]:
        """Return the ids of random entries."""
        cursor = await aggregate(self.collection, [{"$sample": {"size": size}}])
        return {self._read(bson.decode(each.raw, AWARE))[0] async for each in cursor}

    def _read(self, entry: Document) -> tuple[Id, Content]:
        shown = self.history.shown(entry)
        aggregate_id, sequence = shown[self.history.of], shown["sequence"]
        shown["id"] = shown["id"].removesuffix(
            f"/{aggregate_id}/{sequence}"
        )  # removes the suffix of an event whose id is not unique
        return (aggregate_id, sequence), {name: value for name, value in shown.items() if name not in self.ignored}


@dataclass
class _Pair:
    """One collection in both versions."""

    progress: ShowProgress
    comparison: Comparison
    name: str
    version: _Documents | _Entries
    live: _Documents | _Entries

    async def compare(self, sample: int | None) -> None:
        """Compare all documents, or a `sample`."""
        total = sample or await self.live.collection.estimated_document_count()
        with self.progress(
            f"{self.name}: v{self.comparison.live.version} and v{self.comparison.version.version}", total
        ) as advance:
            if sample is not None:
                suspects = sorted(await self.live.sample(sample) | await self.version.sample(sample))
            elif isinstance(self.live, _Documents):
                suspects = await self._compare_in_order(advance)
            else:
                suspects = await self._compare_by_id(advance)
            await self._judge(suspects)

    async def _compare_in_order(self, advance: Advance) -> list[Id]:
        """Read both in the order of their ids; return the ids of documents that differ."""
        suspects: list[Id] = []
        ours, theirs = self.version.walk(), self.live.walk()
        one, other = await anext(ours, None), await anext(theirs, None)
        while one is not None or other is not None:
            if other is None or (one is not None and one[0] < other[0]):
                suspects.append(one[0] if one else b"")
                one = await anext(ours, None)
            elif one is None or other[0] < one[0]:
                suspects.append(other[0])
                other = await anext(theirs, None)
            else:
                if one[1] == other[1]:
                    self.comparison.documents += 1
                else:
                    suspects.append(one[0])
                advance()
                one, other = await anext(ours, None), await anext(theirs, None)
        return suspects

    async def _compare_by_id(self, advance: Advance) -> list[Id]:
        """Look up every entry in the other version, because the order of entries may differ."""
        suspects: list[Id] = []
        async for chunk in _chunks(self.live.walk()):
            found = await self.version.load(list(chunk))
            same = [each for each, content in chunk.items() if found.get(each) == content]
            self.comparison.documents += len(same)
            suspects += chunk.keys() - set(same)
            advance(len(chunk))
        async for chunk in _chunks(self.version.walk()):
            found = await self.live.load(list(chunk))
            suspects += chunk.keys() - found.keys()
        return sorted(suspects)

    async def _judge(self, suspects: list[Id]) -> None:
        """Compare documents again until each is equal, or differs at the same sequence, or the time is up."""
        until = time.monotonic() + PATIENCE_SECONDS
        while suspects:
            last = time.monotonic() > until
            later: list[Id] = []
            for first in range(0, len(suspects), CHUNK):
                later += await self._look(suspects[first : first + CHUNK], last)
            suspects = later
            if suspects:
                await asyncio.sleep(PAUSE_SECONDS)

    async def _look(self, ids: Sequence[Id], last: bool) -> list[Id]:
        """Compare documents that have the same sequence; return the ids of the others, none in the `last` attempt."""
        ours, theirs = await asyncio.gather(self.version.load(ids), self.live.load(ids))
        later = []
        for each in ids:
            one, other = _document(ours.get(each)), _document(theirs.get(each))
            if one is None and other is None:
                continue  # the document has expired
            if one == other:
                self.comparison.documents += 1
            elif last or (one and other and one.get("sequence") == other.get("sequence")):
                self.comparison.documents += 1
                self._add(each, one, other)
            else:
                later.append(each)
        return later

    def _add(self, identifier: Id, one: Document | None, other: Document | None) -> None:
        live = f"v{self.comparison.live.version}"
        if one is None or other is None:
            what = "is missing" if one is None else f"is missing from {live}"
        else:
            what = differences(one, other, f"{live} has")
        name = identifier.decode() if isinstance(identifier, bytes) else "/".join(map(str, identifier))
        self.comparison.differs(Difference(self.comparison.version.collection(self.name), name, what))


def _pair(work: Work, comparison: Comparison, name: str, ignored: Sequence[str]) -> _Pair:
    """Return one collection in both versions, ready to be compared."""
    both, fields = (comparison.version, comparison.live), dict.fromkeys(ignored, 0)
    version, live = (work.mongo.database[one.collection(name)].with_options(codec_options=RAW) for one in both)
    if comparison.version.shape == comparison.live.shape:
        return _Pair(work.progress, comparison, name, _Documents(version, fields), _Documents(live, fields))
    if name in comparison.live.logs:
        ours, theirs = (one.logs[name].history for one in both)
        if ours is not None and theirs is not None:
            return _Pair(
                work.progress, comparison, name, _Entries(version, fields, ours), _Entries(live, fields, theirs)
            )
        return _Pair(work.progress, comparison, name, _Documents(version, fields), _Documents(live, fields))
    written, read = (next(model for model in one.models if model.collection == name) for one in both)

    def rewrite(document: Document) -> Document:
        return written.document_of(read.view_of(document))

    return _Pair(work.progress, comparison, name, _Documents(version, fields), _Documents(live, fields, rewrite))


async def _chunks(entries: AsyncIterator[tuple[Id, Content]]) -> AsyncIterator[dict[Id, Content]]:
    """Yield entries in chunks."""
    chunk: dict[Id, Content] = {}
    async for each, content in entries:
        chunk[each] = content
        if len(chunk) == CHUNK:
            yield chunk
            chunk = {}
    if chunk:
        yield chunk


def _document(content: Content | None) -> Document | None:
    return bson.decode(content, AWARE) if isinstance(content, bytes) else content


def _id_of(raw: bytes) -> bytes:
    """Return a document's `_id` as bytes, which sort as MongoDB sorts strings, without decoding the document."""
    if raw[4:9] != _ID:
        return str(bson.decode(raw)["_id"]).encode()
    return raw[13 : 12 + int.from_bytes(raw[9:13], "little")]
