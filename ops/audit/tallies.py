"""Compare a partition's tally with its aggregates: how many there are of each kind.

A tally includes the events before an offset. It is loaded before aggregates are folded, together with later events that
it includes, so that each aggregate is counted as it was at that offset.
"""

from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

from ops.audit.differences import differences
from ops.audit.documents import Documents
from ops.audit.history import Aggregate
from ops.audit.report import Kind
from projections.document import Document
from projections.mongo.writes import load
from projections.projection import Counted, Model
from projections.tallies import Tally, document_id, document_of, total
from streams.messages.envelope import EventMessage

Later = Callable[[int], Awaitable[Iterable[EventMessage]]]


@dataclass
class TallyComparison:
    """Compares the tally of one partition; it does nothing if the projection has none."""

    documents: Documents
    partition: int
    _model: Model | None = None
    _found: Document | None = None
    _reached: int = 0  # the offset after the last event that is counted
    _handled: int = 0  # the offset before which all events were projected
    _later: dict[str, list[EventMessage]] = field(default_factory=lambda: defaultdict(list))
    _counts: Counter[str] = field(default_factory=Counter)
    _broken: int = 0  # the number of aggregates that may be of any kind

    def __post_init__(self) -> None:
        models = self.documents.projection.models
        self._model = next((model for model in models if model.counted is not None), None)

    async def begin(self, end: int, handled: int, later: Later) -> None:
        """Load the tally; `end`: the offset after the last event of the aggregates that will be added.

        `handled`: the offset before which all events are projected, asked for before this call. `later` returns the
        events from `end` to another offset.
        """
        if self._model is None or self._model.counted is None:
            return
        name, ids = self._model.counted.collection, [document_id(self.partition)]
        self._found = next(iter(await load(self.documents.of(name), ids)), None)
        self._reached, self._handled = end, handled
        if (version := self._version) > end:
            events = list(await later(version))
            self._reached = version if events else end
            for message in events:
                self._later[message.key].append(message)

    @property
    def _version(self) -> int:
        return self._found["sequence"] if self._found else 0

    def add(self, aggregate: Aggregate) -> None:
        """Count an aggregate, with its later events that the tally includes."""
        if self._model is None:
            return
        later = self._later.pop(aggregate.key, [])
        if aggregate.broken:
            self._broken += 1
        else:
            self._count(aggregate.view(self._model.collection, aggregate.key), later, self._model)

    def _count(self, view: Any, later: Iterable[EventMessage], model: Model) -> None:
        try:
            view = reduce(model.fold, later, view)
        except Exception:  # every exception means that an event does not apply; the next audit reports it
            self._broken += 1
            return
        if view is not None and model.counted is not None:
            for kind in model.counted.kinds_of(view):
                self._counts[kind] += 1

    async def finish(self) -> None:
        """Compare the tally with all aggregates that were added, and with newer ones."""
        if self._model is None or self._model.counted is None:
            return
        for messages in self._later.values():
            self._count(None, messages, self._model)
        if self._version < self._reached and self._handled < self._reached:
            self.documents.report.in_flight["tallies"] += 1
            return
        self.documents.report.checked["tallies"] += 1
        await self._judge(self._model.counted)

    async def _judge(self, counted: Counted) -> None:
        """Report a tally that counts other documents than the events result in, or events that do not exist."""
        there = total([self._found] if self._found else [])
        right = all(0 <= there[kind] - self._counts[kind] <= self._broken for kind in {*there, *self._counts})
        if right and self._version <= self._reached:
            return
        expected = document_of(Tally(self.partition, self._counts, self._reached))
        if not self._broken:
            await self.documents.drifted(counted.collection, expected, self._found)
        else:
            where = self.documents.projection.collection(counted.collection)
            what = differences(self._found, expected) if self._found else "is missing"
            self.documents.report.drift(Kind.DOCUMENT, where, expected["_id"], what)
