"""Two versions compared, document by document, at the same sequence: while both are being written to.

What is equal at once is equal. What is not is looked at again: a document may be of another sequence in one version
only because the projector has just come by.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import bson
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument

from ops.audit.differences import differences
from ops.progress import Advance, progress
from ops.versions.deploy import wait_until_caught_up
from ops.versions.work import Work
from projections.document import Document
from projections.projection import Projection
from projections.versions import Refused, Verified, verified
from streams.messages.envelope import now

CHUNK = 1_000  # documents
PATIENCE_SECONDS, PAUSE_SECONDS = 15.0, 0.3  # for a document to be of the same sequence in both
LISTED = 1_000
RAW: Any = CodecOptions(document_class=RawBSONDocument)
_ID = b"\x02_id\x00"  # how a document begins whose `_id` is a string, and ours are


@dataclass(frozen=True, slots=True)
class Difference:
    """A document that is not the same in both versions."""

    collection: str
    id: str
    what: str


@dataclass
class Comparison:
    """What comparing a version with the live one came to."""

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
    """Compare the candidate with the live version, and keep what that came to; `sample`: so many documents of each."""
    versions = await work.registry.get(name)
    candidate, live = versions.candidate, versions.live_projection
    if candidate is None or (version := versions.projection(candidate.number)) is None:
        raise Refused(f"There is no version of {name} to verify: `fulfillment projections deploy {name}` builds one.")
    if live is None:
        raise Refused(f"No version of {name} is live: there is nothing to compare with. Promote it.")
    await wait_until_caught_up(work, live, version)
    comparison = Comparison(live, version)
    for collection in live.collections:
        if collection in version.collections:
            await _Pair(work, comparison, collection, dict.fromkeys(ignored, 0)).compare(sample)
    only = set(live.collections) ^ set(version.collections)
    comparison.notes += [f"{each} is only in one of both versions, and was not compared" for each in sorted(only)]
    what = Verified(now(), comparison.documents, comparison.count, sample is not None, tuple(ignored))
    await work.registry.change(name, lambda found: verified(found, version.version, what))
    return comparison


@dataclass
class _Pair:
    """A collection of both versions."""

    work: Work
    comparison: Comparison
    name: str
    fields: Document

    def __post_init__(self) -> None:
        mongo = self.work.mongo
        both = [one.collection(self.name) for one in (self.comparison.live, self.comparison.version)]
        self.live, self.version = (mongo.database[each].with_options(codec_options=RAW) for each in both)

    async def compare(self, sample: int | None) -> None:
        total = sample or await self.live.estimated_document_count()
        with progress(
            f"{self.name}: v{self.comparison.live.version} and v{self.comparison.version.version}", total
        ) as say:
            suspects = await (self._compare_all(say) if sample is None else self._sample(sample))
            await self._judge(suspects)

    async def _compare_all(self, say: Advance) -> list[bytes]:
        """Go through both in the order of their ids; return those that are not the same."""
        suspects: list[bytes] = []
        ours, theirs = self._walk(self.version), self._walk(self.live)
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
                say()
                one, other = await anext(ours, None), await anext(theirs, None)
        return suspects

    async def _walk(self, collection: Any) -> AsyncIterator[tuple[bytes, bytes]]:
        cursor = collection.find({}, self.fields or None, batch_size=CHUNK).sort("_id", 1)
        while chunk := await cursor.to_list(CHUNK):
            for document in chunk:
                raw = bytes(document.raw)
                yield _id_of(raw), raw

    async def _sample(self, size: int) -> list[bytes]:
        found: set[bytes] = set()
        for collection in (self.live, self.version):
            cursor = await collection.aggregate([{"$sample": {"size": size}}, {"$project": {"_id": 1}}])
            found |= {_id_of(bytes(document.raw)) async for document in cursor}
        return sorted(found)

    async def _judge(self, suspects: list[bytes]) -> None:
        """Look again at documents until each is the same, or differs at the same sequence, or it takes too long."""
        until = time.monotonic() + PATIENCE_SECONDS
        while suspects:
            last = time.monotonic() > until
            later: list[bytes] = []
            for first in range(0, len(suspects), CHUNK):
                later += await self._look(suspects[first : first + CHUNK], last)
            suspects = later
            if suspects:
                await asyncio.sleep(PAUSE_SECONDS)

    async def _look(self, ids: Sequence[bytes], last: bool) -> list[bytes]:
        """Judge what can be judged; return the ids of the others, none when it is the `last` look."""
        ours, theirs = await asyncio.gather(self._load(self.version, ids), self._load(self.live, ids))
        later = []
        for each in ids:
            one, other = ours.get(each), theirs.get(each)
            if one is None and other is None:
                continue  # a document that expired
            if one == other:
                self.comparison.documents += 1
            elif last or _same_sequence(one, other):
                self.comparison.documents += 1
                self._say(each.decode(), one, other)
            else:
                later.append(each)
        return later

    async def _load(self, collection: Any, ids: Iterable[bytes]) -> dict[bytes, bytes]:
        wanted = [each.decode() for each in ids]
        cursor = collection.find({"_id": {"$in": wanted}}, self.fields or None, batch_size=len(wanted) + 1)
        loaded = [bytes(document.raw) for document in await cursor.to_list(None)]  # large ones are views until here
        return {_id_of(raw): raw for raw in loaded}

    def _say(self, identifier: str, one: bytes | None, other: bytes | None) -> None:
        live = f"v{self.comparison.live.version}"
        if one is None or other is None:
            what = "is missing" if one is None else f"is not in {live}"
        else:
            what = differences(bson.decode(one), bson.decode(other), f"{live} has")
        self.comparison.differs(Difference(self.comparison.version.collection(self.name), identifier, what))


def _id_of(raw: bytes) -> bytes:
    """Return a document's `_id`, in MongoDB's order of strings, without decoding the document."""
    if raw[4:9] != _ID:
        return str(bson.decode(raw)["_id"]).encode()
    return raw[13 : 12 + int.from_bytes(raw[9:13], "little")]


def _same_sequence(one: bytes | None, other: bytes | None) -> bool:
    if one is None or other is None:
        return False
    return bson.decode(one).get("sequence") == bson.decode(other).get("sequence")
