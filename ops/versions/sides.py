"""The two sides of a comparison: a collection of one version, read range by range, or looked up by id.

DocumentsSide     documents as bytes, in the order of their ids
EntriesSide       entries of an event log as the API shows them; their ids and their order depend on the shape
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import bson
from bson.codec_options import CodecOptions

from ops.raw_documents import id_of, raw_batches
from projections.document import Document
from projections.mongo.client import aggregate
from projections.projection import History

AWARE: Any = CodecOptions(tz_aware=True)
AT_ONCE = 50  # queries
SAMPLES = 20  # documents per range that are sampled to make ranges of about the same size

Id = Any  # a document's `_id` as bytes; for an entry of a log, its aggregate and sequence
Content = Any  # a document's bytes; for an entry of a log, its form in the API


@dataclass
class DocumentsSide:
    """A collection of one version; `rewrite` converts its documents to the other version's shape."""

    collection: Any
    ignored: Document
    rewrite: Callable[[Document], Document] | None = None
    is_clustered: bool = False

    async def walk(self, where: Document) -> AsyncIterator[tuple[Id, Content]]:
        """Yield the documents of a range in the order of their ids."""
        async for batch in raw_batches(self.collection, where, self._fields, sort=[("_id", 1)]):
            for raw in batch:
                yield self._read(raw)

    async def load(self, ids: Sequence[Id]) -> dict[Id, Content]:
        """Return the documents of `ids` that exist, and perhaps others."""
        names = [each.decode() for each in ids]
        queries = _by_aggregate(names) if self.is_clustered else [{"_id": {"$in": names}}]
        return dict([self._read(raw) for raw in await _found(self.collection, queries, self._fields)])

    async def sample(self, size: int) -> set[Id]:
        """Return the ids of random documents."""
        return {str(each["_id"]).encode() for each in await _sample(self.collection, size, "_id")}

    async def ranges(self, count: int) -> list[Document]:
        """Return about `count` queries, which together find all documents."""
        return await _ranges(self.collection, "_id", count)

    @property
    def _fields(self) -> Document | None:
        return None if self.rewrite else self.ignored or None

    def _read(self, raw: bytes) -> tuple[Id, Content]:
        return id_of(raw), raw if self.rewrite is None else self._rewritten(raw, self.rewrite)

    def _rewritten(self, raw: bytes, rewrite: Callable[[Document], Document]) -> bytes:
        """Return the document in the other version's shape; one that cannot be converted is unchanged, and differs."""
        with suppress(Exception):
            document = rewrite(bson.decode(raw, AWARE))
            raw = bson.encode({name: value for name, value in document.items() if name not in self.ignored})
        return raw


@dataclass
class EntriesSide:
    """An event log of one version, as the API shows it."""

    collection: Any
    ignored: Document
    history: History

    async def walk(self, where: Document) -> AsyncIterator[tuple[Id, Content]]:
        """Yield the entries of a range, grouped by aggregate."""
        order = ["_id"] if self.history.order == "_id" else [self.history.of, self.history.order]
        async for batch in raw_batches(self.collection, where, sort=[(field, 1) for field in order]):
            for raw in batch:
                yield self._read(raw)

    async def load(self, ids: Sequence[Id]) -> dict[Id, Content]:
        """Return the entries of `ids` that exist, and perhaps others."""
        sequences: dict[str, list[int]] = defaultdict(list)
        for aggregate_id, sequence in ids:
            sequences[aggregate_id].append(sequence)
        queries = [self.history.between(each, min(numbers), max(numbers)) for each, numbers in sequences.items()]
        return dict([self._read(raw) for raw in await _found(self.collection, queries)])

    async def sample(self, size: int) -> set[Id]:
        """Return the ids of random entries."""
        return {self._shown(each)[0] for each in await _sample(self.collection, size)}

    async def ranges(self, count: int) -> list[Document]:
        """Return about `count` queries, which together find all entries."""
        return await _ranges(self.collection, "_id" if self.history.order == "_id" else self.history.of, count)

    def _read(self, raw: bytes) -> tuple[Id, Content]:
        return self._shown(bson.decode(raw, AWARE))

    def _shown(self, entry: Document) -> tuple[Id, Content]:
        shown = self.history.shown(entry)
        aggregate_id, sequence = shown[self.history.of], shown["sequence"]
        shown["id"] = shown["id"].removesuffix(
            f"/{aggregate_id}/{sequence}"
        )  # removes the suffix of an event whose id is not unique
        return (aggregate_id, sequence), {name: value for name, value in shown.items() if name not in self.ignored}


Side = DocumentsSide | EntriesSide


def _by_aggregate(ids: Iterable[str]) -> list[Document]:
    """Return a range for each aggregate: MongoDB answers `$in` on a clustered collection by reading all of it."""
    of: dict[str, list[str]] = defaultdict(list)
    for each in ids:
        of[each.rpartition("/")[0]].append(each)
    return [{"_id": {"$gte": min(each), "$lte": max(each)}} for each in of.values()]


async def _found(collection: Any, queries: Sequence[Document], fields: Document | None = None) -> list[bytes]:
    """Return what queries find."""

    async def find(where: Document) -> list[bytes]:
        return [raw async for batch in raw_batches(collection, where, fields) for raw in batch]

    found: list[bytes] = []
    for first in range(0, len(queries), AT_ONCE):
        for some in await asyncio.gather(*map(find, queries[first : first + AT_ONCE])):
            found += some
    return found


async def _sample(collection: Any, size: int, field: str | None = None) -> list[Document]:
    stages: list[Document] = [{"$sample": {"size": size}}, *([{"$project": {field: 1}}] if field else [])]
    return [document async for document in await aggregate(collection, stages)]


async def _ranges(collection: Any, field: str, count: int) -> list[Document]:
    if count <= 1:
        return [{}]
    sampled = [document[field] for document in await _sample(collection, count * SAMPLES, field)]
    cuts = sorted(each for each in sampled if isinstance(each, str))[SAMPLES::SAMPLES]
    return [_range(field, first, end) for first, end in pairwise([None, *dict.fromkeys(cuts), None])]


def _range(field: str, first: str | None, end: str | None) -> Document:
    bounds = {name: bound for name, bound in (("$gte", first), ("$lt", end)) if bound is not None}
    return {field: bounds} if bounds else {}
