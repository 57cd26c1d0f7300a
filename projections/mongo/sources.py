"""Where read models are: collections of their own, or another one's documents seen otherwise."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import orjson

from projections import customer_summary, order_events, stock_ledger
from projections.document import Document, public
from projections.projection import Derived, Projection

Shown = Document | orjson.Fragment  # a document as the API shows it, or its JSON
VISIBLE: dict[str, Document] = {"inventory": {"exists": True}}
SHOWN: dict[str, Callable[[Document], Document]] = {
    "order_events": order_events.shown,
    "stock_ledger": stock_ledger.shown,
}
SUMMED = {"customer_summary": customer_summary.summed}
RENDERED = frozenset({"orders"})  # collections whose documents carry their JSON


@dataclass(frozen=True, slots=True)
class Source:
    """The collection a read model is read from, which of its documents, and how they are shown."""

    collection: str
    where: Mapping[str, object] = field(default_factory=dict)
    rendered: bool = False
    derived: Derived | None = None
    seen: Callable[[Document], Document] | None = None  # as the API has it, where that is not as it is stored
    summed: Callable[[Sequence[Document]], Document | None] | None = None  # a document is on every partition

    def key(self, name: str) -> str:
        """Return the collection's name of a field that can be sorted by."""
        return self.derived.made_of.get(name, name) if self.derived else name

    def fields(self, *others: str) -> Document:
        """Return the fields to ask for."""
        return {"_json": 1, "sequence": 1, **dict.fromkeys(others, 1)} if self.rendered else {"_json": 0}

    def shown(self, document: Document) -> Shown:
        """Return a document of the collection as the API shows it."""
        if self.rendered:
            return orjson.Fragment(document["_json"])
        seen = self.derived.document_of if self.derived else self.seen
        return public(seen(document) if seen else document)


def sources(projections: Sequence[Projection]) -> dict[str, Source]:
    """Return the source of every read model by its name, without version."""
    found = {}
    for one in projections:
        for name in one.collections:
            where, seen = VISIBLE.get(name, {}), SHOWN.get(name)
            found[name] = Source(one.collection(name), where, name in RENDERED, seen=seen, summed=SUMMED.get(name))
        for model in one.models:
            for name, derived in model.derived.items():
                found[name] = Source(one.collection(model.collection), derived.where, derived=derived)
    return found
