"""Fold events into orders and products, in the same views as the read models."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

from domain.inventory.events import StockEvent
from ops.audit.laws import moved
from ops.audit.report import Kind, Report
from projections.projection import Projection, View
from streams.kafka.partitions import partition_of
from streams.messages.envelope import EventMessage

Views = dict[str, dict[str, Any]]  # collection → key → view


@dataclass(slots=True)
class Aggregate:
    """One order or product; `offset`: of its last event; `broken`: its events have a gap or do not apply."""

    key: str
    version: int = 0
    offset: int = -1
    broken: bool = False
    views: Views = field(default_factory=dict)
    began: dict[str, int] = field(default_factory=dict)  # key of a view → offset of its first event

    def view(self, collection: str, key: str) -> View | None:
        """Return a view of the aggregate."""
        return self.views.get(collection, {}).get(key)


class Expectation(Protocol):
    """A state that is ahead of the events read so far."""

    def met(self, aggregate: Aggregate) -> bool:
        """Compare it if the aggregate has reached it; return whether it is settled."""

    def never_met(self) -> None:
        """Report that the events end before it."""


@dataclass
class Histories:
    """The aggregates of one partition, folded event by event."""

    projection: Projection
    partition: int
    partitions: int
    report: Report
    aggregates: dict[str, Aggregate] = field(default_factory=dict)
    _expected: dict[str, list[Expectation]] = field(default_factory=dict)

    def apply(self, message: EventMessage, offset: int) -> None:
        """Fold the next event; an event that does not follow is drift and ends the comparison of its aggregate."""
        aggregate = self.aggregates.get(message.key)
        if aggregate is None:
            aggregate = self.aggregates[message.key] = Aggregate(message.key)
            self._check_place(message)
        if not self._follows(aggregate, message):
            return
        aggregate.version, aggregate.offset = message.sequence, offset
        if not aggregate.broken:
            try:
                self._fold(aggregate, message, offset)
            except Exception as error:  # every exception means that the event does not apply
                self._drift(Kind.HISTORY, message, f"{type(error).__name__}: {error}")
                aggregate.broken = True
        if message.key in self._expected:
            self._meet(aggregate)

    def _check_place(self, message: EventMessage) -> None:
        own = partition_of(message.key.encode(), self.partitions)
        if own != self.partition:
            self._drift(
                Kind.PLACE, message, f"is on partition {self.partition}, but its key belongs to partition {own}"
            )

    def _follows(self, aggregate: Aggregate, message: EventMessage) -> bool:
        if message.sequence <= aggregate.version:
            self._drift(Kind.SEQUENCE, message, f"number {message.sequence} follows number {aggregate.version}")
            return False
        if message.sequence > aggregate.version + 1:
            missing = f"{aggregate.version + 1}" if message.sequence == aggregate.version + 2 else "several"
            what = f"number {message.sequence} follows number {aggregate.version}: {missing} missing"
            self._drift(Kind.SEQUENCE, message, what)
            aggregate.broken = True
        return True

    def _fold(self, aggregate: Aggregate, message: EventMessage, offset: int) -> None:
        if isinstance(message.event, StockEvent):
            self._check_balance(aggregate, message)
        for model in self.projection.models:
            if (key := model.key(message)) is not None:
                views = aggregate.views.setdefault(model.collection, {})
                if (view := views.get(key)) is None:
                    aggregate.began.setdefault(key, offset)
                views[key] = model.fold(view, message)

    def _check_balance(self, aggregate: Aggregate, message: EventMessage) -> None:
        event = cast(Any, message.event)
        before = cast(Any, aggregate.view("inventory", aggregate.key))
        balance = moved(before.stock.balance if before else type(event.balance)(), event)
        if balance != event.balance:
            self._drift(Kind.BALANCE, message, f"states the balance {event.balance}, but its units result in {balance}")

    def _drift(self, kind: Kind, message: EventMessage, what: str) -> None:
        what = f"{message.type} {message.id}, sequence {message.sequence}: {what}"
        self.report.drift(kind, self.projection.topic.name, message.key, what)

    # --- states that are ahead of the events

    def expect(self, key: str, expectation: Expectation) -> None:
        """Compare `expectation` when the aggregate `key` has reached it."""
        self._expected.setdefault(key, []).append(expectation)

    @property
    def expects(self) -> bool:
        """Whether more events must be read."""
        return bool(self._expected)

    def give_up(self) -> None:
        """Report every state that the events do not reach."""
        for expectations in self._expected.values():
            for each in expectations:
                each.never_met()
        self._expected.clear()

    def _meet(self, aggregate: Aggregate) -> None:
        left = [each for each in self._expected.pop(aggregate.key) if not each.met(aggregate)]
        if left:
            self._expected[aggregate.key] = left

    def release(self, keys: Iterable[str]) -> None:
        """Forget aggregates whose comparison is finished; an aggregate stays if a later state is expected."""
        for key in keys:
            if key not in self._expected:
                self.aggregates.pop(key, None)

    def sound(self) -> Iterator[Aggregate]:
        """Yield the aggregates that are not broken."""
        return (each for each in self.aggregates.values() if not each.broken)
