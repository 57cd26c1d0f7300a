"""The steps of one projection from records to documents: read the needed views, fold in memory, write."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from typing import Any

from projections.batch import Part
from projections.cache import Cache
from projections.document import Document
from projections.mongo.client import Collection, Mongo
from projections.mongo.writes import Put, insert, load, put, remove
from projections.projection import Model, Projection, Record, View
from projections.stopped import Gap
from projections.tallies import Counting, Tally, document_id, document_of, tally_of
from streams.messages.envelope import instant_of
from streams.runtime.faults import fault

ANY_TIME: AbstractAsyncContextManager[Any] = nullcontext()
Known = dict[tuple[str, str], View]  # (collection, key) → view
Tallies = Mapping[tuple[str, int], Tally]  # (collection, partition) → tally


@dataclass(slots=True)
class Folding:
    """The views of a part while they change, the entries its messages leave, and the counts they change."""

    part: Part
    known: Mapping[tuple[str, str], View]  # (collection, key) → the view before the batch, if it existed
    tallies: Tallies = field(default_factory=dict)  # before the batch
    elsewhere: AbstractSet[tuple[str, str]] = frozenset()  # known views whose documents are not where they belong
    changed: dict[tuple[str, str], View] = field(default_factory=dict)
    entries: dict[str, list[Document]] = field(default_factory=lambda: defaultdict(list))
    counting: dict[str, Counting] = field(default_factory=dict)  # by the collection of the counted model
    moved: set[tuple[str, str]] = field(default_factory=set)  # views whose documents may be in two places

    def __post_init__(self) -> None:
        number = self.part.partition
        for model in self.part.projection.models:
            if (counted := model.counted) is not None:
                before = self.tallies.get((counted.collection, number))
                self.counting[model.collection] = Counting(counted, number, before)

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

    def _moves(self, model: Model, at: tuple[str, str], before: View, after: View) -> bool:
        """Return whether the document belongs elsewhere after an event."""
        return at in self.elsewhere or model.place_of(before) != model.place_of(after)

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
        before: list[tuple[str, str, View | None]] = []
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
                if model.archive is not None:  # a process that died may have written it without removing it elsewhere
                    self.moved.add(at)
                continue
            if model.gapless and sequence != version + 1:
                raise Gap(key, version, sequence)
            changes.append((at, after := model.fold(view, message)))
            if model.archive is not None and view is not None and self._moves(model, at, view, after):
                self.moved.add(at)
            if model.counted is not None:
                before.append((*at, view))
        entries = [] if projected else [(name, log.entry(message, record)) for name, log in projection.logs.items()]
        changed.update(changes)
        for collection, key, view in before:
            self.counting[collection].see(key, view, record.offset)
        for name, document in entries:
            self.entries[name].append(document)

    def views(self, collection: str) -> dict[str, View]:
        """Return the changed views of a model by key."""
        return {key: view for (name, key), view in self.changed.items() if name == collection}

    def outdated(self, model: Model) -> Iterator[tuple[str, str, int]]:
        """Yield where documents may be that were moved: collection, id, and the sequence of the one that counts."""
        for at in self.moved:
            if at[0] == model.collection and (view := self.changed.get(at) or self.known.get(at)) is not None:
                there = model.place_of(view)
                yield from ((place, at[1], view.version) for place in model.places if place != there)

    def counts(self) -> Iterator[tuple[str, Put]]:
        """Yield the changed tallies, each with its collection."""
        for collection, counting in self.counting.items():
            if (tally := counting.counted_with(self.views(collection))) is not None:
                yield counting.counted.collection, Put(document_of(tally), fresh=counting.tally is None)


async def project(
    mongo: Mongo,
    cache: Cache,
    parts: Sequence[Part],
    before_last: Sequence[asyncio.Future[Any]] = (),
    turn: AbstractAsyncContextManager[Any] = ANY_TIME,
    unmoved: float = 0.0,
) -> None:
    """Project parts of one projection, folding during their `turn`; a part that must stop records it in `stop`.

    `unmoved`: seconds after a change within which no document is archived.

    Gapless models are written after everything else, including `before_last`, whether that succeeds or not. Tallies are
    loaded after them, so that no loaded document includes an event that its tally does not.
    """
    projection = parts[0].projection
    known, elsewhere = await _load(mongo, cache, projection, parts)
    tallies = await _load_tallies(mongo, projection, parts)
    fault("loaded")
    foldings = [Folding(part, known, tallies, elsewhere) for part in parts]
    async with turn:
        for folding in foldings:
            folding.run()
            await asyncio.sleep(0)
    fault("folded")
    await _write(mongo, cache, projection, foldings, before_last, unmoved)
    fault("documents-written")


async def together(work: Iterable[Awaitable[Any]]) -> list[Any]:
    """Do all `work` concurrently, wait until all of it has ended, then raise the first error."""
    results = await asyncio.gather(*work, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results


async def _load(
    mongo: Mongo, cache: Cache, projection: Projection, parts: Sequence[Part]
) -> tuple[Known, set[tuple[str, str]]]:
    """Return the views that exist, and those whose documents are not where they belong."""
    known, missing = _remembered(cache, projection, parts)
    elsewhere: set[tuple[str, str]] = set()
    await together(_read(mongo, projection, model, keys, known, elsewhere) for model, keys in missing.items())
    return known, elsewhere


def _remembered(
    cache: Cache, projection: Projection, parts: Sequence[Part]
) -> tuple[Known, Mapping[Model, dict[str, int]]]:
    """Return the views that need no read, and the keys of the others, each with the sequence of its first event.

    Views with gaps are not cached, because changes by another worker would go unnoticed.
    """
    known: Known = {}
    missing: dict[Model, dict[str, int]] = defaultdict(dict)
    for part in parts:
        for model in projection.models:
            for key, first in part.firsts(model).items():
                view = cache.get(part.owner, key, joins=first.sequence) if model.gapless else None
                if view is not None:
                    known[model.collection, key] = view
                elif not model.begins(first):
                    missing[model][key] = first.sequence
    return known, missing


async def _read(
    mongo: Mongo,
    projection: Projection,
    model: Model,
    firsts: Mapping[str, int],
    known: Known,
    elsewhere: set[tuple[str, str]],
) -> None:
    """Load views; one that is missing, or that the first event does not follow, may be in the next place."""
    left = list(firsts)
    for place in model.places:
        for document in await load(mongo.collection(projection.collection(place)), left) if left else ():
            at = (model.collection, document["_id"])
            if at not in known or document["sequence"] > known[at].version:
                known[at] = view = model.view_of(document)
                if place != model.place_of(view):
                    elsewhere.add(at)
        ats = {key: known.get((model.collection, key)) for key in left}
        left = [key for key, view in ats.items() if view is None or view.version < firsts[key] - 1]


async def _load_tallies(mongo: Mongo, projection: Projection, parts: Sequence[Part]) -> Tallies:
    ids = [document_id(part.partition) for part in parts]
    found: dict[tuple[str, int], Tally] = {}
    for name in projection.tallies:
        for document in await load(mongo.collection(projection.collection(name)), ids):
            found[name, document["partition"]] = tally_of(document)
    return found


async def _write(
    mongo: Mongo,
    cache: Cache,
    projection: Projection,
    foldings: Sequence[Folding],
    before_last: Sequence[asyncio.Future[Any]],
    unmoved: float,
) -> None:
    entries: dict[str, list[Document]] = defaultdict(list)
    counts: dict[str, list[Put]] = defaultdict(list)
    for folding in foldings:
        for name, documents in folding.entries.items():
            entries[name] += documents
        for name, tally in folding.counts():
            counts[name].append(tally)

    def of(name: str) -> Collection:
        return mongo.collection(projection.collection(name))

    def add(name: str, documents: Sequence[Document]) -> Awaitable[None]:
        log = projection.logs[name]
        return insert(of(name), documents, log.provisional, namesakes=log.namesakes)

    async def write(model: Model) -> bool:
        puts = _rendered(model, foldings)
        ours = await together(put(of(place), some) for place, some in puts.items())
        if outdated := [each for folding in foldings for each in folding.outdated(model)]:
            fault("moved")  # a reader finds the document in at least one of the places
            for place in model.places:
                await remove(of(place), [(key, version) for name, key, version in outdated if name == place])
        for place, newer in (await _overtaken(of, model, foldings, unmoved)).items():
            await remove(of(place), newer)
        return all(ours)

    await together(
        [
            *(add(name, documents) for name, documents in entries.items()),
            *(write(model) for model in projection.models if not model.gapless),
            *(put(of(name), tallies) for name, tallies in counts.items()),
        ]
    )
    fault("logs-written")
    if before_last and any(model.gapless for model in projection.models):
        await asyncio.wait(before_last)
    for model in projection.models:
        if model.gapless:
            ours = await write(model)
            _remember(cache, model, foldings, ours)


async def _overtaken(
    of: Callable[[str], Collection], model: Model, foldings: Sequence[Folding], unmoved: float
) -> dict[str, list[tuple[str, int]]]:
    """Return by collection which written documents have a newer one elsewhere, and its sequence.

    Another process may have moved them while this one, which no longer owned the partition, was paused. The mover
    writes before it removes, so that one of both finds the document of the other.
    """
    if (archive := model.archive) is None:
        return {}
    since, doubtful = instant_of(time.time() - unmoved), defaultdict[str, list[str]](list)
    for folding in foldings:
        for key, view in folding.views(model.collection).items():
            if archive.holds(view) or archive.changed(view) <= since:
                doubtful[model.place_of(view)].append(key)
    found = defaultdict[str, list[tuple[str, int]]](list)
    for place, keys in doubtful.items():
        for other in model.places:
            if other != place:
                documents = of(other).find({"_id": {"$in": keys}}, {"sequence": 1}, batch_size=len(keys) + 1)
                found[place] += [(each["_id"], each["sequence"]) for each in await documents.to_list(None)]
    return {place: newer for place, newer in found.items() if newer}


def _rendered(model: Model, foldings: Sequence[Folding]) -> dict[str, list[Put]]:
    """Return the documents to write, by the collection they belong in."""
    puts: dict[str, list[Put]] = defaultdict(list)
    for folding in foldings:
        for at, view in folding.changed.items():
            if at[0] == model.collection:
                place, before = model.place_of(view), folding.known.get(at)
                fresh = before is None or model.place_of(before) != place
                puts[place].append(Put(model.document_of(view), fresh))
    return puts


def _remember(cache: Cache, model: Model, foldings: Sequence[Folding], ours: bool) -> None:
    """Cache the written views; where the database has newer documents, drop them so that they are read again."""
    for folding in foldings:
        views = folding.views(model.collection)
        if ours:
            cache.keep(folding.part.owner, views)
        else:
            cache.drop(folding.part.owner, views)
