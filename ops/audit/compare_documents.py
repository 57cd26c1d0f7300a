"""Compare documents with the events: they match, they drifted, or it is too early to tell."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice

from ops.audit.documents import CHUNK, Documents, Encoded, Rendered, Stored, rendered, rendered_one
from ops.audit.history import Aggregate, Histories

MOST_BEHIND = 10_000  # documents that are compared again; more are only counted
Wanted = tuple[Aggregate, Rendered]


@dataclass
class DocumentComparison:
    """Compares the documents of a partition's aggregates."""

    documents: Documents
    histories: Histories
    behind: dict[tuple[str, str], Aggregate] = field(default_factory=dict)  # documents with events not projected yet
    _drifted: list[tuple[Aggregate, Rendered, Stored]] = field(
        default_factory=list
    )  # drifts that waiting cannot resolve

    async def compare(self, aggregates: Iterable[Aggregate], handled: int) -> None:
        """Compare all documents of `aggregates`; events before the offset `handled` are projected."""
        projection = self.documents.projection
        wanted = ((each, one) for each in aggregates for one in rendered(projection, each))
        while some := list(islice(wanted, CHUNK)):
            await self._compare(some, handled)

    async def compare_again(self, handled: int) -> None:
        """Compare the documents again that were behind."""
        behind, self.behind = self.behind, {}
        await self._compare([(each, self._now(each, *at)) for at, each in behind.items()], handled)

    async def _compare(self, wanted: Sequence[Wanted], handled: int) -> None:
        stored = await self.documents.load([one for _, one in wanted])
        for (aggregate, one), found in zip(wanted, stored, strict=True):
            if one.is_encoded_as(found) or await self._differs(aggregate, one, found, handled):
                self.documents.report.checked["documents"] += 1

    async def _differs(self, aggregate: Aggregate, one: Rendered, found: Encoded | None, handled: int) -> bool:
        """Judge a document that has other bytes, or is elsewhere; return whether that is possible now."""
        stored = None if found is None else self.documents.decoded(found)
        if stored is not None and stored.is_as(one):
            return True
        return await self._judge(aggregate, one, stored, handled)

    async def _judge(self, aggregate: Aggregate, one: Rendered, found: Stored | None, handled: int) -> bool:
        """Judge a document that differs; return whether that is possible now."""
        sequence = found.document.get("sequence") if found is not None else 0
        if found is not None and isinstance(sequence, int) and sequence > one.sequence:
            self.histories.expect(aggregate.key, DocumentAhead(self, aggregate, one, found, sequence))
        elif (found is not None and sequence == one.sequence) or aggregate.offset < handled:
            await self._drift(one, found)
        elif len(self.behind) < MOST_BEHIND:
            self.behind[one.model, one.id] = aggregate
            return False
        else:
            self.documents.report.in_flight["documents"] += 1
            return False
        return True

    async def _drift(self, one: Rendered, found: Stored | None) -> None:
        if found is not None and found.collection != one.collection:
            await self.documents.misplaced(one, found)
        else:
            await self.documents.drifted(one.collection, one.document, found and found.document)

    def _now(self, aggregate: Aggregate, collection: str, key: str) -> Rendered:
        return rendered_one(self.documents.projection, aggregate, collection, key)

    def found_other(self, aggregate: Aggregate, one: Rendered, found: Stored) -> None:
        """Keep a drift until it can be reported."""
        self._drifted.append((aggregate, one, found))

    async def write_down(self) -> None:
        """Report the drifts that were kept.

        A document that was repaired although it claimed to be newer is compared again: the projector may have handled
        events meanwhile, and left the document unchanged because of its claim.
        """
        drifted, self._drifted = self._drifted, []
        for aggregate, one, found in drifted:
            await self._drift(one, found)
            if self.documents.repair:
                self.documents.report.checked["documents"] -= 1
                self.behind[one.model, one.id] = aggregate


@dataclass(slots=True)
class DocumentAhead:
    """A document that includes later events than the ones read so far."""

    comparison: DocumentComparison
    aggregate: Aggregate
    one: Rendered
    found: Stored
    sequence: int

    def met(self, aggregate: Aggregate) -> bool:
        """Compare it with the aggregate at its sequence."""
        view = aggregate.view(self.one.model, self.one.id)
        if view is None or view.version < self.sequence:
            return False
        now = self._now()
        if view.version > self.sequence or not self.found.is_as(now):
            self.comparison.found_other(aggregate, now, self.found)
        return True

    def never_met(self) -> None:
        """Report that it includes events that do not exist."""
        self.comparison.found_other(self.aggregate, self._now(), self.found)

    def _now(self) -> Rendered:
        return rendered_one(self.comparison.documents.projection, self.aggregate, self.one.model, self.one.id)
