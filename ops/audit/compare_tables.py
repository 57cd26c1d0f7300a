"""Table entries that are as the events make them, those that are not, and those that cannot be judged yet."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from ops.audit.history import Aggregate, Histories
from ops.audit.report import Kind
from ops.audit.tables import Snapshot

TABLE_SECONDS = 10.0  # a table has at once what was committed; later than this it never will


class Tables(Protocol):
    """Where tables are seen: their workers' web pages, or their changelogs."""

    def urls(self, role: str) -> list[str]:
        """Return where the tables of a role are; none: they cannot be seen."""

    async def snapshots(self, role: str, partition: int) -> dict[str, Snapshot] | None:
        """Return what a partition of a role's table holds; None while nobody knows."""


@dataclass
class TableComparison:
    """A partition of a role's table."""

    workers: Tables
    role: str
    histories: Histories
    behind: dict[str, Aggregate] = field(default_factory=dict)
    _until: float = 0.0
    _unseen: bool = False  # no worker has shown the partition yet

    async def compare(self, aggregates: Iterable[Aggregate]) -> None:
        """Judge all entries of the partition; a note says so where no worker runs here."""
        self._until = time.monotonic() + TABLE_SECONDS
        if not self.workers.urls(self.role):
            note = f"no worker of the {self.role} role runs here: its table was not compared"
            if note not in self.histories.report.notes:
                self.histories.report.notes.append(note)
            return
        snapshots = await self._look({aggregate.key: aggregate for aggregate in aggregates})
        for key, snapshot in snapshots.items():
            if key not in self.histories.aggregates and snapshot.version:
                self.histories.expect(key, EntryAhead(self, key, snapshot))

    @property
    def waits(self) -> bool:
        """Whether another look may help."""
        return bool(self.behind) and time.monotonic() < self._until

    async def compare_again(self) -> None:
        """Judge those that were behind once more."""
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
        """Say that an entry is not what the events make."""
        self.histories.report.drift(Kind.TABLE, f"{self.role}, partition {self.histories.partition}", key, what)

    def give_up(self) -> None:
        """Say what is still behind: the whole partition, or entries that should have been there long ago."""
        if self._unseen and self.behind:
            where = f"partition {self.histories.partition} of the {self.role} role's table"
            self.histories.report.notes.append(f"{where} was not compared: no worker here shows it")
            return
        for aggregate in self.behind.values():
            self.drift(aggregate.key, f"it is older than the events, which are at {aggregate.version}, or missing")


@dataclass(slots=True)
class EntryAhead:
    """An entry that includes events behind those that were read."""

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
        """Say that it includes events that are not in the log."""
        self.comparison.drift(self.key, f"it is at version {self.snapshot.version}, and the log ends before")
