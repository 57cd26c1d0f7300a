"""The steps of one projection from records to documents: read the needed views, fold in memory, write."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any

from projections.batch import Folding, Part
from projections.cache import Cache
from projections.document import Document
from projections.mongo.client import Mongo
from projections.mongo.writes import Put, insert, load, put
from projections.projection import Model, Projection, View
from streams.runtime.faults import fault

ANY_TIME: AbstractAsyncContextManager[Any] = nullcontext()
Known = dict[tuple[str, str], View]  # (collection, key) → view


async def project(
    mongo: Mongo,
    cache: Cache,
    parts: Sequence[Part],
    before_last: Sequence[asyncio.Future[Any]] = (),
    turn: AbstractAsyncContextManager[Any] = ANY_TIME,
) -> None:
    """Project parts of one projection, folding during their `turn`; a part that must stop records it in `stop`.

    Gapless models are written after everything else, including `before_last`, whether that succeeds or not.
    """
    projection = parts[0].projection
    known = await _load(mongo, cache, projection, parts)
    fault("loaded")
    foldings = [Folding(part, known) for part in parts]
    async with turn:
        for folding in foldings:
            folding.run()
            await asyncio.sleep(0)
    fault("folded")
    await _write(mongo, cache, projection, foldings, before_last)
    fault("documents-written")


async def together(work: Iterable[Awaitable[Any]]) -> list[Any]:
    """Do all `work` concurrently, wait until all of it has ended, then raise the first error."""
    results = await asyncio.gather(*work, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results


async def _load(mongo: Mongo, cache: Cache, projection: Projection, parts: Sequence[Part]) -> Known:
    known, missing = _remembered(cache, projection, parts)
    await together(_read(mongo, projection, model, keys, known) for model, keys in missing.items())
    return known


def _remembered(cache: Cache, projection: Projection, parts: Sequence[Part]) -> tuple[Known, Mapping[Model, list[str]]]:
    """Return the views that need no read, and the keys of the views that do.

    Views with gaps are not cached, because changes by another worker would go unnoticed.
    """
    known: Known = {}
    missing: dict[Model, list[str]] = defaultdict(list)
    for part in parts:
        for model in projection.models:
            for key, first in part.firsts(model).items():
                view = cache.get(part.owner, key, joins=first.sequence) if model.gapless else None
                if view is not None:
                    known[model.collection, key] = view
                elif not model.begins(first):
                    missing[model].append(key)
    return known, missing


async def _read(mongo: Mongo, projection: Projection, model: Model, keys: list[str], known: Known) -> None:
    collection = mongo.collection(projection.collection(model.collection))
    for document in await load(collection, keys):
        known[model.collection, document["_id"]] = model.view_of(document)


async def _write(
    mongo: Mongo,
    cache: Cache,
    projection: Projection,
    foldings: Sequence[Folding],
    before_last: Sequence[asyncio.Future[Any]],
) -> None:
    entries: dict[str, list[Document]] = defaultdict(list)
    for folding in foldings:
        for name, documents in folding.entries.items():
            entries[name] += documents

    def add(name: str, documents: Sequence[Document]) -> Awaitable[None]:
        log = projection.logs[name]
        collection = mongo.collection(projection.collection(name))
        return insert(collection, documents, log.provisional, namesakes=log.namesakes)

    def write(model: Model) -> Awaitable[bool]:
        return put(mongo.collection(projection.collection(model.collection)), _rendered(model, foldings))

    await together(
        [
            *(add(name, documents) for name, documents in entries.items()),
            *(write(model) for model in projection.models if not model.gapless),
        ]
    )
    fault("logs-written")
    if before_last and any(model.gapless for model in projection.models):
        await asyncio.wait(before_last)
    for model in projection.models:
        if model.gapless:
            ours = await write(model)
            _remember(cache, model, foldings, ours)


def _rendered(model: Model, foldings: Sequence[Folding]) -> list[Put]:
    """Return the documents to write to the model's collection."""
    return [
        Put(model.document_of(view), fresh=at not in folding.known)
        for folding in foldings
        for at, view in folding.changed.items()
        if at[0] == model.collection
    ]


def _remember(cache: Cache, model: Model, foldings: Sequence[Folding], ours: bool) -> None:
    """Cache the written views; where the database has newer documents, drop them so that they are read again."""
    for folding in foldings:
        views = {key: view for (collection, key), view in folding.changed.items() if collection == model.collection}
        if ours:
            cache.keep(folding.part.owner, views)
        else:
            cache.drop(folding.part.owner, views)
