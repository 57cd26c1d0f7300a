"""The versions of the projections: one document each, changed by compare-and-set."""

from collections import defaultdict
from collections.abc import Callable, Iterable

from pydantic import TypeAdapter
from pymongo.errors import DuplicateKeyError

from projections.document import Document
from projections.mongo.client import Mongo
from projections.mongo.indexes import PROGRESS
from projections.projection import Projection
from projections.table import PROJECTIONS
from projections.versions import Denied, Version, Versions
from streams.messages.envelope import now

_VERSIONS: TypeAdapter[Versions] = TypeAdapter(Versions)
MINE = {"revision": {"$exists": True}}  # the collection also holds the progress of each version


class Registry:
    """The versions of this installation's projections."""

    def __init__(self, mongo: Mongo) -> None:
        self._documents, self._durable = mongo.collection(PROGRESS), mongo.durable(PROGRESS)

    async def read(self) -> dict[str, Versions]:
        """Return the versions by projection name."""
        return {document["_id"]: _versions(document) async for document in self._documents.find(MINE, batch_size=1_000)}

    async def progress(self) -> dict[tuple[str, int], dict[tuple[str, int], int]]:
        """Return (name, version) → (topic, partition) → next offset."""
        found: dict[tuple[str, int], dict[tuple[str, int], int]] = defaultdict(dict)
        async for document in self._documents.find({"nextOffset": {"$exists": True}}, batch_size=10_000):
            of = document["projection"], document["version"]
            found[of][document["topic"], document["partition"]] = document["nextOffset"]
        return dict(found)

    async def get(self, name: str) -> Versions:
        """Return the versions of one projection; empty if it is unknown."""
        found = await self._documents.find_one({"_id": name})
        return Versions(name) if found is None else _versions(found)

    async def bootstrap(self, projections: Iterable[Projection] = PROJECTIONS) -> None:
        """Make version 1 live: of all projections in a new database, else of the projections with progress.

        A projection that is new in an existing installation has to be deployed.
        """
        known = await self.read()
        unknown = [one for one in projections if one.name not in known]
        if not unknown:
            return
        projected = set(await self._documents.distinct("projection"))
        for one in unknown:
            if not projected or one.name in projected:
                first = Version(1, one.shape if not projected else 1, "following", now())
                await self._insert(Versions(one.name, live=1, newest=1, revision=1, versions=(first,)))

    async def change(self, name: str, change: Callable[[Versions], Versions], revision: int | None = None) -> Versions:
        """Store the versions that `change` returns, retried if another process changed them first.

        `revision`: change only this revision; raise `Denied` if it is no longer current.
        """
        while True:
            before = await self.get(name)
            if revision is not None and before.revision != revision:
                raise Denied(f"The versions of {name} were changed by another process: check them and try again.")
            after = change(before)
            if await self._store(before, after):
                return after

    async def touch(self, name: str) -> None:
        """Make projectors reload their cached documents of a projection, because another process wrote them."""
        await self._durable.update_one({"_id": name}, {"$inc": {"revision": 1, "touched": 1}})

    async def _store(self, before: Versions, after: Versions) -> bool:
        document = _document(after, before.revision + 1)
        if before.revision == 0:
            return await self._insert_document(document)
        replaced = await self._durable.replace_one({"_id": before.name, "revision": before.revision}, document)
        return bool(replaced.matched_count)

    async def _insert(self, versions: Versions) -> bool:
        return await self._insert_document(_document(versions, versions.revision))

    async def _insert_document(self, document: Document) -> bool:
        try:
            await self._durable.insert_one(document)
        except DuplicateKeyError:
            return False
        return True


def _versions(document: Document) -> Versions:
    return _VERSIONS.validate_python({"name": document["_id"], **document})


def _document(versions: Versions, revision: int) -> Document:
    document: Document = _VERSIONS.dump_python(versions)
    return {"_id": document.pop("name"), **document, "revision": revision}


async def live_version(mongo: Mongo, projection: Projection) -> Projection:
    """Return the version of a projection that the API reads; raise `Denied` if this code does not know it."""
    versions = await Registry(mongo).get(projection.name)
    if versions.live is None:  # a database that has not been initialized
        return projection
    if (live := versions.live_projection) is None:
        raise Denied(f"{projection.name} v{versions.live} has a shape that this code does not know: use newer code.")
    return live
