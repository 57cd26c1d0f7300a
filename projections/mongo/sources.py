"""Where read models are stored: in collections of their own, or derived from documents of another read model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import orjson

from projections.document import Document, public
from projections.orders import whole
from projections.projection import Derived, History, Log, Model, Projection, Summed
from projections.table import PROJECTIONS

Shown = Document | orjson.Fragment  # a document as the API shows it, or its JSON


@dataclass(frozen=True, slots=True)
class Source:
    """The collection from which a read model is read, the filter on its documents, and how they are shown.

    `rendered`: documents contain the answer as JSON. `derived`: the answer is made from that JSON. `history`: documents
    are entries of a log. The rest is described at `Model`.
    """

    collection: str
    where: Mapping[str, object] = field(default_factory=dict)
    rendered: bool = False
    derived: Derived | None = None
    history: History | None = None
    summed: Summed | None = None
    sorts: tuple[str, ...] = ()
    partial_sorts: tuple[str, ...] = ()

    def key(self, name: str) -> str:
        """Return the collection's name of a sortable field."""
        return self.derived.made_of.get(name, name) if self.derived else name

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
        found |= {name: _of_log(one.collection(name), log) for name, log in one.logs.items()}
        for model in one.models:
            collection = one.collection(model.collection)
            found[model.collection] = _of_model(collection, model)
            found |= {name: _of_derived(collection, derived) for name, derived in model.derived.items()}
    return found


def _of_log(collection: str, log: Log) -> Source:
    return Source(collection, history=log.history, sorts=log.sorts, partial_sorts=log.partial_sorts)


def _of_model(collection: str, model: Model) -> Source:
    return Source(
        collection,
        model.visible,
        rendered=model.rendered,
        summed=model.summed,
        sorts=model.sorts,
        partial_sorts=model.partial_sorts,
    )


def _of_derived(collection: str, derived: Derived) -> Source:
    return Source(collection, derived.where, derived=derived, sorts=derived.sorts)


SORTS = {name: source.sorts for name, source in sources(PROJECTIONS).items() if source.sorts}
