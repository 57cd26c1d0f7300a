"""Compare a range of documents of two versions, while the projector writes to both.

Documents that are equal need no second look. Documents that differ are read again until both have the same sequence,
because the projector may have updated only one of them.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import bson
from pymongo.errors import PyMongoError

from ops.audit.differences import differences
from ops.audit.patience import Seconds
from ops.errors import mongo_error
from ops.pool import Say
from ops.versions.sides import AWARE, Content, DocumentsSide, EntriesSide, Id, Side
from projections.document import Document
from projections.mongo.client import Mongo
from projections.mongo.indexes import is_clustered
from projections.projection import Projection
from projections.table import shape_of
from streams.runtime.settings import Settings

CHUNK = 1_000  # documents
PAUSE_SECONDS = 0.3
HURRIED_SECONDS = 1.0  # that a range waits once it is certain that the versions differ
LISTED = 1_000


class Built(NamedTuple):
    """A version of a projection, by its numbers."""

    name: str
    shape: int
    version: int

    @classmethod
    def of(cls, projection: Projection) -> "Built":
        """Return the numbers of a version."""
        return cls(projection.name, projection.shape, projection.version)

    def projection(self) -> Projection:
        """Return the version."""
        shape = shape_of(self.name, self.shape)
        assert shape is not None, "the process that compares the versions knows the shape"
        return replace(shape, version=self.version)


class Difference(NamedTuple):
    """A document that differs between the versions."""

    collection: str
    id: str
    what: str


@dataclass
class Compared:
    """The result of a comparison, or of a part of it."""

    documents: int = 0
    count: int = 0
    differences: list[Difference] = field(default_factory=list)

    def differs(self, difference: Difference) -> None:
        """Add a difference."""
        self.count += 1
        if len(self.differences) < LISTED:
            self.differences.append(difference)

    def add(self, part: "Compared") -> None:
        """Add the result of a part."""
        self.documents += part.documents
        self.count += part.count
        self.differences += part.differences[: LISTED - len(self.differences)]


@dataclass
class Work:
    """Both versions; `patience`: seconds that a document may take to get the same sequence in both."""

    settings: Settings
    mongo: Mongo
    version: Projection
    live: Projection
    ignored: Sequence[str]
    patience: Seconds
    say: Say

    def sides(self, name: str) -> tuple[Side, Side]:
        """Return one collection of the new and of the live version."""
        fields = dict.fromkeys(self.ignored, 0)
        version, live = (self.mongo.collection(one.collection(name)) for one in (self.version, self.live))
        log = self.live.logs.get(name)
        if self.version.shape == self.live.shape or name in self.live.tallies:
            clustered = log is not None and is_clustered(log)
            return DocumentsSide(version, fields, None, clustered), DocumentsSide(live, fields, None, clustered)
        if log is not None:
            ours, theirs = self.version.logs[name].history, log.history
            if ours is not None and theirs is not None:
                return EntriesSide(version, fields, ours), EntriesSide(live, fields, theirs)
            return DocumentsSide(version, fields), DocumentsSide(live, fields)
        written, read = (next(each for each in one.models if name in each.places) for one in self._both)

        def rewrite(document: Document) -> Document:
            return written.document_of(read.view_of(document))

        return DocumentsSide(version, fields), DocumentsSide(live, fields, rewrite)

    @property
    def _both(self) -> tuple[Projection, Projection]:
        return self.version, self.live


@asynccontextmanager
async def opened(
    settings: Settings, version: Built, live: Built, ignored: Sequence[str], patience: Seconds, say: Say
) -> AsyncIterator[Work]:
    """Give what a process compares with."""
    mongo = Mongo(settings)
    try:
        yield Work(settings, mongo, version.projection(), live.projection(), ignored, patience, say)
    finally:
        await mongo.close()


@dataclass(frozen=True)
class Range:
    """The documents of a collection that a query finds, in both versions."""

    collection: str
    where: Document

    async def run(self, work: Work) -> Compared:
        """Compare them."""
        pair = _Pair(work, self.collection)
        try:
            await self.compare(pair)
        except PyMongoError as error:
            raise mongo_error(work.settings.mongo, error) from error
        return pair.compared

    async def compare(self, pair: "_Pair") -> None:
        """Compare them in the order of their ids."""
        await pair.judge(await pair.differing_in_order(self.where))


@dataclass(frozen=True)
class LiveEntries(Range):
    """The entries of a log that a query finds in the live version; they may have another order in the new one."""

    async def compare(self, pair: "_Pair") -> None:
        """Look up each in the new version."""
        await pair.judge(await pair.differing_by_id(self.where))


@dataclass(frozen=True)
class NewEntries(Range):
    """The entries of a log that a query finds in the new version."""

    async def compare(self, pair: "_Pair") -> None:
        """Look up each in the live version, to find entries that are only in the new one."""
        await pair.judge(await pair.only_in_new(self.where))


@dataclass(frozen=True)
class Sample(Range):
    """A number of random documents of each version."""

    size: int

    async def compare(self, pair: "_Pair") -> None:
        """Compare them."""
        await pair.judge(sorted(await pair.live.sample(self.size) | await pair.version.sample(self.size)))
        pair.work.say(self.size)


class _Pair:
    """One collection in both versions."""

    def __init__(self, work: Work, name: str) -> None:
        self.work, self.name, self.compared = work, name, Compared()
        self.version, self.live = work.sides(name)

    async def differing_in_order(self, where: Document) -> list[Id]:
        """Read both in the order of their ids; return the ids of documents that differ."""
        suspects: list[Id] = []
        ours, theirs, read = self.version.walk(where), self.live.walk(where), 0
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
                    self.compared.documents += 1
                else:
                    suspects.append(one[0])
                read += 1
                if read % CHUNK == 0:
                    self.work.say(CHUNK)
                one, other = await anext(ours, None), await anext(theirs, None)
        self.work.say(read % CHUNK)
        return suspects

    async def differing_by_id(self, where: Document) -> list[Id]:
        """Look up every entry of the live version in the new one; return the ids of entries that differ."""
        suspects: list[Id] = []
        async for chunk in _chunks(self.live.walk(where)):
            found = await self.version.load(list(chunk))
            same = [each for each, content in chunk.items() if found.get(each) == content]
            self.compared.documents += len(same)
            suspects += chunk.keys() - set(same)
            self.work.say(len(chunk))
        return sorted(suspects)

    async def only_in_new(self, where: Document) -> list[Id]:
        """Look up every entry of the new version in the live one; return the ids of entries that it does not have."""
        suspects: list[Id] = []
        async for chunk in _chunks(self.version.walk(where)):
            suspects += chunk.keys() - (await self.live.load(list(chunk))).keys()
            self.work.say(len(chunk))
        return sorted(suspects)

    async def judge(self, suspects: list[Id]) -> None:
        """Compare documents again until each is equal, or differs at the same sequence, or the time is up."""
        began = time.monotonic()
        while suspects:
            last = time.monotonic() - began > self.work.patience.value
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
                self.compared.documents += 1
            elif last or (one and other and one.get("sequence") == other.get("sequence")):
                self.compared.documents += 1
                self._add(each, one, other)
            else:
                later.append(each)
        return later

    def _add(self, identifier: Id, one: Document | None, other: Document | None) -> None:
        live = f"v{self.work.live.version}"
        if one is None or other is None:
            what = "is missing" if one is None else f"is missing from {live}"
        else:
            what = differences(one, other, f"{live} has")
        name = identifier.decode() if isinstance(identifier, bytes) else "/".join(map(str, identifier))
        self.compared.differs(Difference(self.work.version.collection(self.name), name, what))
        self.work.patience.value = min(self.work.patience.value, HURRIED_SECONDS)


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
    found: Document | None = bson.decode(content, AWARE) if isinstance(content, bytes) else content
    return found
