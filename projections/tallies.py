"""Tallies: how many documents of a model are of each kind, kept as they change. Pure.

A tally counts the aggregates of one partition, which one projector folds, so no two projectors write the same document,
and none grows. It does not belong to an aggregate: it includes the events before an offset, and `sequence` is that
offset. A query adds up the tallies of all partitions.

A count changes by the difference between the view before an event and the view after it. A tally must therefore never
lag behind the views from which a fold continues: views are loaded before the tally, and the tally is written before the
views (`projections/pipeline.py`). So an event that a stored view includes is included in the tally, too.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from projections.document import Document
from projections.projection import Counted, View


class Tally(NamedTuple):
    """The number of a partition's documents of each kind, before the offset `version`."""

    partition: int
    counts: Mapping[str, int]
    version: int


def document_id(partition: int) -> str:
    """Return the `_id` of a partition's tally."""
    return str(partition)


def document_of(tally: Tally) -> Document:
    """Return the document of `tally`."""
    counts = {kind: count for kind, count in sorted(tally.counts.items()) if count}
    identifier = document_id(tally.partition)
    return {"_id": identifier, "sequence": tally.version, "partition": tally.partition, "counts": counts}


def tally_of(document: Document) -> Tally:
    """Return the tally from which a document was made."""
    return Tally(document["partition"], document["counts"], document["sequence"])


def total(documents: Iterable[Document]) -> Counter[str]:
    """Return the sum of all partitions."""
    counts: Counter[str] = Counter()
    for document in documents:
        counts.update(document["counts"])
    return counts


@dataclass(slots=True)
class Counting:
    """The changes of a tally by consecutive events of its partition; `tally`: before them, if there was one."""

    counted: Counted
    partition: int
    tally: Tally | None
    _before: dict[str, View | None] = field(default_factory=dict)  # key → the view before its first counted event
    _version: int = 0

    def __post_init__(self) -> None:
        self._version = self.tally.version if self.tally else 0

    def see(self, key: str, before: View | None, offset: int) -> None:
        """Note the view before the event at `offset`, unless the tally includes that event."""
        if offset >= self._version:
            self._before.setdefault(key, before)
            self._version = offset + 1

    def counted_with(self, after: Mapping[str, View]) -> Tally | None:
        """Return the tally after the events, with the views `after` them; None if it includes no more than before."""
        if not self._before:
            return None
        counts = Counter(self.tally.counts if self.tally else {})
        for key, view in self._before.items():
            if view is not None:
                counts.subtract(self.counted.kinds_of(view))
            counts.update(self.counted.kinds_of(after[key]))
        return Tally(self.partition, counts, self._version)
