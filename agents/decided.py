"""What a fetch leads to: written in one transaction, merged after its commit."""

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from faust.types import TP

from streams.kafka.transactions import Write
from streams.kafka.unreadable import Unreadable
from streams.tracing.spans import Span
from tables.store import Changes

from .metrics import COMMANDS, LETTERS


@dataclass(slots=True)
class Decided:
    """What a fetch leads to; written in one transaction, merged after its commit."""

    writes: list[Write] = field(default_factory=list)
    offsets: dict[TP, int] = field(default_factory=dict)
    changes: list[Changes[Any]] = field(default_factory=list)
    stops: dict[TP, str] = field(default_factory=dict)  # partitions that must not go on after it, and why
    unreadable: list[Unreadable] = field(default_factory=list)  # batches that partitions must not go past
    letters: Counter[tuple[str, str]] = field(default_factory=Counter)  # (topic, kind) → dead letters written
    commands: Counter[tuple[str, str]] = field(default_factory=Counter)  # (type, outcome) → commands handled
    spans: list[Span] = field(default_factory=list)  # of messages whose traces are recorded
    began: int = field(default_factory=time.time_ns)  # Unix time

    def mark(self) -> tuple[int, int]:
        """Return how much is decided so far, for `rollback`."""
        return len(self.writes), len(self.spans)

    def rollback(self, mark: tuple[int, int]) -> None:
        """Drop what was decided since `mark`."""
        writes, spans = mark
        del self.writes[writes:], self.spans[spans:]

    def merge(self) -> None:
        """Make the changes part of the table, and count what was written."""
        for changes in self.changes:
            changes.merge()
        for (topic, kind), count in self.letters.items():
            LETTERS.labels(topic, kind).inc(count)
        for (kind, outcome), count in self.commands.items():
            COMMANDS.labels(kind, outcome).inc(count)
