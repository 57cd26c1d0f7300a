"""The steps of one projection from records to documents: read the needed views, fold in memory, write."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from typing import Any

from projections.batch import Part
from projections.cache import Cache
from projections.document import Document
from projections.mongo.client import Mongo
from projections.mongo.writes import Put, insert, load, put
from projections.projection import Model, Projection, Record, View
from projections.stopped import Gap
from streams.runtime.faults import fault

ANY_TIME: AbstractAsyncContextManager[Any] = nullcontext()
Known = dict[tuple[str, str], View]  # (collection, key) → view


@dataclass(slots=True)
class Folding:
    """The views of a part while they change, and the entries its messages leave."""

    part: Part
    known: Mapping[tuple[str, str], View]  # (collection, key) → the view before the batch, if it existed
    changed: dict[tuple[str, str], View] = field(default_factory=dict)
    entries: dict[str, list[Document]] = field(default_factory=lambda: defaultdict(list))

    def run(self) -> None:
        """Fold all messages, up to the first that cannot be folded."""
        part = self.part
        for record, message in part.messages:
            if part.passed_over and record.offset in part.passed_over:
                self._pass_over(message)
                continue
            try:
                self._step(message, record)
            except Exception as error:  # no error skips an event by itself: only an operator does
                if record.offset in part.skipped:
                    self._pass_over(message)
                    continue
                part.stop_at(record.offset, error)
                return

    def _pass_over(self, message: Any) -> None:
        """Let views continue after a skipped event, without its contents."""
        for model in self.part.projection.models:
            with suppress(Exception):  # its key may be the part that cannot be read
                at = (model.collection, str(model.key(message)))
                view: Any = self.changed.get(at) or self.known.get(at)
                if view is not None and message.sequence > view.version:
                    self.changed[at] = view._replace(version=message.sequence)

    def _step(self, message: Any, record: Record) -> None:
        """Fold a message into all models and logs, or into none."""
        projection, changed, projected = self.part.projection, self.changed, False
        changes: list[tuple[tuple[str, str], View]] = []
        for model in projection.models:
            if (key := model.key(message)) is None:
                continue
            at = (model.collection, key)
            view = changed.get(at) or self.known.get(at)
            version, sequence = view.version if view else 0, message.sequence
            if sequence <= version:
                # A gapless document is written last, so all documents of its messages were written. Views that begin
                # with this message were not read, and later messages may be new, so that these views are rebuilt.
                projected = projected or model.gapless
                continue
            if model.gapless and sequence != version + 1:
                raise Gap(key, version, sequence)
            changes.append((at, model.fold(view, message)))
        entries = [] if projected else [(name, log.entry(message, record)) for name, log in projection.logs.items()]
        changed.update(changes)
        for name, document in entries:
            self.entries[name].append(document)


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
