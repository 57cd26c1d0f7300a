"""Where read models are stored: in collections of their own, or derived from documents of another read model."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import orjson

from projections import customer_summary
from projections.document import Document, public
from projections.orders import whole
from projections.projection import Derived, History, Projection

Shown = Document | orjson.Fragment  # a document as the API shows it, or its JSON
VISIBLE: dict[str, Document] = {"inventory": {"exists": True}}
SUMMED = {"customer_summary": customer_summary.summed}
RENDERED = frozenset({"orders"})  # collections whose documents contain their JSON


@dataclass(frozen=True, slots=True)
class Source:
    """The collection from which a read model is read, the filter on its documents, and how they are shown.

    `rendered`: documents contain the answer as JSON. `derived`: the answer is made from that JSON. `history`: documents
    are entries of a log. `summed`: the answer is the sum of several documents.
    """

    collection: str
    where: Mapping[str, object] = field(default_factory=dict)
    rendered: bool = False
    derived: Derived | None = None
    history: History | None = None
    summed: Callable[[Sequence[Document]], Document | None] | None = None

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
    found = {}
    for one in projections:
        for name in one.collections:
            where, history = VISIBLE.get(name, {}), one.logs[name].history if name in one.logs else None
            found[name] = Source(one.collection(name), where, name in RENDERED, None, history, SUMMED.get(name))
        for model in one.models:
            for name, derived in model.derived.items():
                found[name] = Source(one.collection(model.collection), derived.where, derived=derived)
    return found
