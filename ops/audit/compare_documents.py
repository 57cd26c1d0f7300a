"""Compare documents with the events: they match, they drifted, or it is too early to tell."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain

from ops.audit.documents import AT_ONCE, CHUNK, Documents, Rendered, rendered
from ops.audit.history import Aggregate, Histories
from projections.document import Document


@dataclass
class DocumentComparison:
    """Compares the documents of a partition's aggregates."""

    documents: Documents
    histories: Histories
    behind: dict[str, Aggregate] = field(default_factory=dict)  # key → aggregate whose events are not projected yet
    _judged: set[tuple[str, str]] = field(default_factory=set)
    _drifted: list[tuple[Aggregate, Rendered, Document]] = field(
        default_factory=list
    )  # drifts that waiting cannot resolve

    async def compare(self, aggregates: Sequence[Aggregate], handled: int) -> None:
        """Compare all documents of `aggregates`; events before the offset `handled` are projected."""
        for first in range(0, len(aggregates), CHUNK * AT_ONCE):
            starts = range(first, first + CHUNK * AT_ONCE, CHUNK)
            loaded = await asyncio.gather(*(self.documents.load(aggregates[n : n + CHUNK]) for n in starts))
            for aggregate, one, found in chain.from_iterable(loaded):
                if (one.collection, one.id) not in self._judged:
                    await self._judge(aggregate, one, found, handled)

    async def _judge(self, aggregate: Aggregate, one: Rendered, found: Document | None, handled: int) -> None:
        sequence = found.get("sequence") if found is not None else 0
        if found is not None and isinstance(sequence, int) and sequence > one.sequence:
            self.histories.expect(aggregate.key, DocumentAhead(self, aggregate, one, found, sequence))
        elif found is not None and sequence == one.sequence:
            if found != one.document:
                await self.documents.drifted(one.collection, one.document, found)
        elif aggregate.offset < handled:
            await self.documents.drifted(one.collection, one.document, found)
        else:
            self.behind[aggregate.key] = aggregate
            return
        self._judged.add((one.collection, one.id))
        self.documents.report.checked["documents"] += 1

    def take_behind(self) -> list[Aggregate]:
        """Return the aggregates with documents that are not compared yet."""
        taken, self.behind = list(self.behind.values()), {}
        return taken

    def found_other(self, aggregate: Aggregate, one: Rendered, found: Document) -> None:
        """Keep a drift until it can be reported."""
        self._drifted.append((aggregate, one, found))

    async def write_down(self) -> None:
        """Report the drifts that were kept.

        A document that was repaired although it claimed to be newer is compared again: the projector may have handled
        events meanwhile, and left the document unchanged because of its claim.
        """
        drifted, self._drifted = self._drifted, []
        for aggregate, one, found in drifted:
            await self.documents.drifted(one.collection, one.document, found)
            if self.documents.repair:
                self._judged.discard((one.collection, one.id))
                self.behind[aggregate.key] = aggregate


@dataclass(slots=True)
class DocumentAhead:
    """A document that includes later events than the ones read so far."""

    comparison: DocumentComparison
    aggregate: Aggregate
    one: Rendered
    found: Document
    sequence: int

    def met(self, aggregate: Aggregate) -> bool:
        """Compare it with the aggregate at its sequence."""
        view = aggregate.view(self.one.collection, self.one.id)
        if view is None or view.version < self.sequence:
            return False
        now = self._now()
        if view.version > self.sequence or now.document != self.found:
            self.comparison.found_other(aggregate, now, self.found)
        return True

    def never_met(self) -> None:
        """Report that it includes events that do not exist."""
        self.comparison.found_other(self.aggregate, self._now(), self.found)

    def _now(self) -> Rendered:
        all_of_it = rendered(self.comparison.documents.projection, self.aggregate)
        at = self.one.collection, self.one.id
        return next(each for each in all_of_it if (each.collection, each.id) == at)
