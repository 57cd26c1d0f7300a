"""Compare table entries with the events: they match, they drifted, or it is too early to tell."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from ops.audit.history import Aggregate, Histories
from ops.audit.report import Kind
from ops.audit.tables import Snapshot

TABLE_SECONDS = 10.0  # a table has committed changes immediately; after this time, a missing change is drift


class Tables(Protocol):
    """A source of table entries: the web pages of workers, or changelogs."""

    def urls(self, role: str) -> list[str]:
        """Return the locations of a role's tables; an empty list if they are not accessible."""

    async def snapshots(self, role: str, partition: int) -> dict[str, Snapshot] | None:
        """Return the aggregates in a partition of a role's table; None if it is not accessible yet."""


@dataclass
class TableComparison:
    """Compares one partition of a role's table."""

    workers: Tables
    role: str
    histories: Histories
    behind: dict[str, Aggregate] = field(default_factory=dict)
    _until: float = 0.0
    _unseen: bool = False  # no worker has served the partition yet

    async def compare(self, aggregates: Iterable[Aggregate]) -> None:
        """Compare all entries of the partition; add a note if no worker runs here."""
        self._until = time.monotonic() + TABLE_SECONDS
        if not self.workers.urls(self.role):
            note = f"no worker of the {self.role} role runs on this machine: its table was not compared"
            if note not in self.histories.report.notes:
                self.histories.report.notes.append(note)
            return
        snapshots = await self._look({aggregate.key: aggregate for aggregate in aggregates})
        for key, snapshot in snapshots.items():
            if key not in self.histories.aggregates and snapshot.version:
                self.histories.expect(key, EntryAhead(self, key, snapshot))

    @property
    def waits(self) -> bool:
        """Whether another attempt may succeed."""
        return bool(self.behind) and time.monotonic() < self._until

    async def compare_again(self) -> None:
        """Compare the entries that were behind again."""
        if self.waits:
            behind, self.behind = self.behind, {}
            await self._look(behind)

    async def _look(self, wanted: dict[str, Aggregate]) -> dict[str, Snapshot]:
        found = await self.workers.snapshots(self.role, self.histories.partition)
        self._unseen = found is None
        for key, aggregate in wanted.items():
            snapshot = (found or {}).get(key)
            if snapshot is None or snapshot.version < aggregate.version:
                self.behind[key] = aggregate
            elif snapshot.version > aggregate.version:
                self.histories.expect(key, EntryAhead(self, key, snapshot))
            else:
                self.judge(aggregate, snapshot)
        return found or {}

    def judge(self, aggregate: Aggregate, snapshot: Snapshot) -> None:
        """Compare an entry with the aggregate at its version."""
        self.histories.report.checked["table entries"] += 1
        if what := snapshot.differs(aggregate):
            self.drift(aggregate.key, what)

    def drift(self, key: str, what: str) -> None:
        """Report that an entry differs from the events."""
        self.histories.report.drift(Kind.TABLE, f"{self.role}, partition {self.histories.partition}", key, what)

    def give_up(self) -> None:
        """Report the entries that are still behind; add a note if no worker served the partition."""
        if self._unseen and self.behind:
            where = f"partition {self.histories.partition} of the {self.role} role's table"
            self.histories.report.notes.append(f"{where} was not compared: no worker on this machine serves it")
            return
        for aggregate in self.behind.values():
            self.drift(aggregate.key, f"the entry is missing or older than version {aggregate.version} of the events")


@dataclass(slots=True)
class EntryAhead:
    """An entry that includes later events than the ones read so far."""

    comparison: TableComparison
    key: str
    snapshot: Snapshot

    def met(self, aggregate: Aggregate) -> bool:
        """Compare it with the aggregate at its version."""
        if aggregate.version < self.snapshot.version:
            return False
        if not aggregate.broken:
            self.comparison.judge(aggregate, self.snapshot)
        return True

    def never_met(self) -> None:
        """Report that it includes events that do not exist."""
        self.comparison.drift(self.key, f"the entry is at version {self.snapshot.version}, and the events end before")
