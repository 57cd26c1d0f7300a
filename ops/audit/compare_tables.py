"""Compare table entries with the events: they match, they drifted, or it is too early to tell."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ops.audit.groups import Change, Entry, Groups
from ops.audit.history import Aggregate, Histories
from ops.audit.report import Kind
from ops.audit.tables import SNAPSHOTS, NotServed, Snapshot, is_encoded_as, owner_of

PAUSE_SECONDS = 0.2
TABLE_SECONDS = 10.0  # a table has committed changes immediately; after this time, a missing change is drift
MOST_BEHIND = 10_000  # aggregates whose entries are compared again; more are only counted


class Tables(Protocol):
    """A source of table entries: the web pages of workers, or changelogs."""

    def urls(self, role: str) -> list[str]:
        """Return the locations of a role's tables; an empty list if they are not accessible."""

    def entries(self, role: str, partition: int) -> AsyncIterator[Sequence[Change]]:
        """Yield the entries in a partition of a role's table, some at a time; `NotServed` if it is not accessible.

        An entry may change several times.
        """


@dataclass
class TableComparison:
    """Compares one partition of a role's table; with `waits_for_changes`, entries that are behind are read again."""

    workers: Tables
    role: str
    histories: Histories
    waits_for_changes: bool = True
    behind: dict[str, Aggregate] = field(default_factory=dict)
    _until: float = 0.0
    _looked: float = 0.0  # when the table was last read
    _served: bool = False  # whether a worker has served the partition
    _unseen: bool = False  # whether none served it when it was last asked for

    async def collect(self, groups: Groups) -> None:
        """Add the entries of the partition to the aggregates' groups; add a note if no worker runs here."""
        self._until = time.monotonic() + TABLE_SECONDS
        if not self.workers.urls(self.role):
            note = f"no worker of the {self.role} role runs on this machine: its table was not compared"
            if note not in self.histories.report.notes:
                self.histories.report.notes.append(note)
            return
        while not self._served:
            self._looked = time.monotonic()
            try:
                async for some in self.workers.entries(self.role, self.histories.partition):
                    for entry in some:
                        if (owner := owner_of(self.role, entry[0])) is not None:
                            groups.add_entry(owner, entry)
                self._served = True
            except NotServed:
                groups.forget_entries()
                if time.monotonic() > self._until:
                    self._unseen = True
                    where = f"partition {self.histories.partition} of the {self.role} role's table"
                    self.histories.report.notes.append(f"{where} was not compared: no worker on this machine serves it")
                    return
                await asyncio.sleep(PAUSE_SECONDS)

    def look(self, key: str, entries: Iterable[Entry]) -> None:
        """Compare the entries of one aggregate, if the table is compared."""
        if not self._served:
            return
        aggregate, found = self.histories.aggregates.get(key), dict(entries)
        if aggregate is not None and not aggregate.broken and is_encoded_as(found, aggregate):
            self.histories.report.checked["table entries"] += 1
            return
        snapshot = SNAPSHOTS[self.role](found.items()).get(key)
        if aggregate is None:
            if snapshot is not None and snapshot.version:
                self.histories.expect(key, EntryAhead(self, key, snapshot))
            elif snapshot is not None and snapshot.timers:
                self.drift(key, "a timer exists, and nothing that it belongs to")
        elif not aggregate.broken:
            self._look(aggregate, snapshot)

    @property
    def waits(self) -> bool:
        """Whether entries are behind that were last read when a worker may not have had time to change them."""
        return bool(self.behind) and self._looked < self._until

    async def compare_again(self) -> None:
        """Compare the entries that were behind again."""
        if not self.behind:
            return
        self._looked, behind, self.behind = time.monotonic(), self.behind, {}
        found: dict[str, dict[bytes, bytes | None]] = {key: {} for key in behind}
        try:
            async for some in self.workers.entries(self.role, self.histories.partition):
                for key, value in some:
                    owner = owner_of(self.role, key)
                    if owner is not None and (mine := found.get(owner.decode())) is not None:
                        mine[key] = value
        except NotServed:
            self._unseen, self.behind = True, behind
            return
        self._unseen = False
        for name, aggregate in behind.items():
            entries = ((key, value) for key, value in found[name].items() if value is not None)
            self._look(aggregate, SNAPSHOTS[self.role](entries).get(name))

    def _look(self, aggregate: Aggregate, snapshot: Snapshot | None) -> None:
        if snapshot is None or snapshot.version < aggregate.version:
            if not self.waits_for_changes:
                self._late(aggregate)
            elif len(self.behind) < MOST_BEHIND:
                self.behind[aggregate.key] = aggregate
            else:
                self.histories.report.in_flight["table entries"] += 1
        elif snapshot.version > aggregate.version:
            self.histories.expect(aggregate.key, EntryAhead(self, aggregate.key, snapshot))
        else:
            self.judge(aggregate, snapshot)

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
            self._late(aggregate)

    def _late(self, aggregate: Aggregate) -> None:
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
