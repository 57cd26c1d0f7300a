"""Where read models are stored: in collections of their own, or derived from documents of another read model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import orjson
from pymongo import IndexModel

from projections.document import Document, public
from projections.mongo.indexes import indexes_of
from projections.mongo.plans import Plan, plan
from projections.orders import whole
from projections.projection import Archive, Derived, History, Log, Model, Projection, Summed
from projections.table import PROJECTIONS

Shown = Document | orjson.Fragment  # a document as the API shows it, or its JSON


@dataclass(frozen=True, slots=True)
class Source:
    """The collection from which a read model is read, the filter on its documents, and how they are shown.

    `rendered`: documents contain the answer as JSON. `derived`: the answer is made from that JSON. `history`: documents
    are entries of a log. `tally`: the collection of its counts, if it is counted. `archive`: the collection of the
    documents that are set aside. The rest is described at `Model`.
    """

    collection: str
    where: Mapping[str, object] = field(default_factory=dict)
    rendered: bool = False
    derived: Derived | None = None
    history: History | None = None
    summed: Summed | None = None
    sorts: tuple[str, ...] = ()
    partial_sorts: tuple[str, ...] = ()
    indexes: Sequence[IndexModel] = ()
    values: Mapping[str, Sequence[object]] = field(default_factory=dict)
    tally: str | None = None
    archive: str | None = None

    def key(self, name: str) -> str:
        """Return the collection's name of a sortable field."""
        return self.derived.made_of.get(name, name) if self.derived else name

    def plan(self, where: Mapping[str, object], key: str) -> Plan | None:
        """Return how to find documents by the values of fields, sorted by `key`, without reading others."""
        return plan(self.indexes, self.values, {**self.where, **where}, key)

    def fields(self, *others: str) -> Document:
        """Return the fields to fetch; empty if all are needed."""
        if self.derived:
            others = (*others, "_pickableSince")
        return {"_json": 1, "sequence": 1, **dict.fromkeys(others, 1)} if self.rendered or self.derived else {}

    def shown(self, document: Document) -> Shown:
        """Return a document of the collection as the API shows it."""
        if self.rendered:
            return orjson.Fragment(document["_json"])
        if self.history:
            return self.history.shown(document)
        return public(self.derived.document_of(whole(document)) if self.derived else document)


def sources(projections: Sequence[Projection]) -> dict[str, Source]:
    """Return the source of every read model by its name without version."""
    found: dict[str, Source] = {}
    for one in projections:
        found |= {name: _of_log(one, name, log) for name, log in one.logs.items()}
        for model in one.models:
            found[model.collection] = source = _of_model(one, model)
            found |= {name: _of_derived(source, derived) for name, derived in model.derived.items()}
            if model.archive is not None:
                found |= _of_archive(one, model.archive, source, model.derived)
    return found


def _of_log(one: Projection, name: str, log: Log) -> Source:
    return Source(
        one.collection(name),
        history=log.history,
        sorts=log.sorts,
        partial_sorts=log.partial_sorts,
        indexes=indexes_of(one, name),
    )


def _of_model(one: Projection, model: Model) -> Source:
    return Source(
        one.collection(model.collection),
        model.visible,
        rendered=model.rendered,
        summed=model.summed,
        sorts=model.sorts,
        partial_sorts=model.partial_sorts,
        indexes=indexes_of(one, model.collection),
        values=model.values,
        tally=None if model.counted is None else one.collection(model.counted.collection),
        archive=None if model.archive is None else one.collection(model.archive.collection),
    )


def _of_archive(
    one: Projection, archive: Archive, source: Source, derived: Mapping[str, Derived]
) -> Mapping[str, Source]:
    """Return the sources of archived documents, which are read like the others, and of the models derived from them."""
    aside = replace(source, collection=one.collection(archive.collection), archive=None, tally=None)
    aside = replace(aside, indexes=indexes_of(one, archive.collection))
    return {
        archive.collection: aside,
        **{archived(name): _of_derived(aside, each) for name, each in derived.items()},
    }


def archived(name: str) -> str:
    """Return the name of the read model of the archived documents of another read model."""
    return f"{name}_archive"


def _of_derived(source: Source, derived: Derived) -> Source:
    return Source(
        source.collection, derived.where, derived=derived, sorts=derived.sorts, indexes=source.indexes,
        values=source.values,
    )  # fmt: skip


SORTS = {name: source.sorts for name, source in sources(PROJECTIONS).items() if source.sorts}
ARCHIVED = frozenset(name for name in SORTS if archived(name) in SORTS)  # read models that have archived documents
