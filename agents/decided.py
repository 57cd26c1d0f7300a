"""What a fetch leads to: written in one transaction, merged into the table after its commit."""

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from faust.types import TP

from parking.effects import Effects
from streams.kafka.transactions import Write
from streams.kafka.transport import Part
from streams.tracing.spans import Span
from tables.store import Changes

from .metrics import COMMANDS, LETTERS


class Stop(NamedTuple):
    """A record that its partition must not go past, and why."""

    record: Any
    why: Exception


@dataclass(slots=True)
class Decided:
    """What a fetch leads to. `handled`: the records it is about, without those at which a partition stops."""

    handled: dict[TP, Part] = field(default_factory=dict)
    stops: dict[TP, Stop] = field(default_factory=dict)
    writes: list[Write] = field(default_factory=list)
    changes: list[Changes[Any]] = field(default_factory=list)
    letters: Counter[tuple[str, str]] = field(default_factory=Counter)  # (topic, kind) → dead letters written
    commands: Counter[tuple[str, str]] = field(default_factory=Counter)  # (type, outcome) → commands handled
    spans: list[Span] = field(default_factory=list)  # of messages whose traces are recorded
    began: int = field(default_factory=time.time_ns)  # Unix time

    @property
    def offsets(self) -> Mapping[TP, int]:
        """The offsets its partitions are handled up to."""
        return {tp: part.ended for tp, part in self.handled.items()}

    def add(self, kind: str, effects: Effects) -> None:
        """Take in what one message leads to: a command of type `kind`, as it is counted."""
        self.writes += effects.writes
        if effects.outcome:
            self.commands[kind, effects.outcome] += 1
        if effects.spans:
            self.spans += effects.spans
        if effects.letters:
            self.letters.update(effects.letters)

    def merge(self) -> None:
        """Make the changes part of the table, and count what was written."""
        for changes in self.changes:
            changes.merge()
        for (topic, kind), count in self.letters.items():
            LETTERS.labels(topic, kind).inc(count)
        for (kind, outcome), count in self.commands.items():
            COMMANDS.labels(kind, outcome).inc(count)
