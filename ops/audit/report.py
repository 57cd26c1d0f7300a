"""What an audit found."""

from collections import Counter
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

KEPT = 1_000  # drifts that are listed; more are only counted


class Kind(StrEnum):
    """What drifted."""

    SEQUENCE = "sequence"  # of an aggregate's events: a gap, or one twice
    EVENT_ID = "event id"  # not unique
    PLACE = "place"  # an event on a partition that is not its key's
    HISTORY = "history"  # an event that cannot have followed
    BALANCE = "balance"  # stock that moved otherwise than its event says
    ORDER = "order"  # quantities of an order that do not add up
    PRODUCT = "product"  # a product's units that do not add up
    LINE = "line"  # an order line and its reservation differ
    TABLE = "table"  # a worker's table is not what the events make
    DOCUMENT = "document"  # a read model is not


@dataclass(frozen=True, slots=True)
class Drift:
    """Something that is not as the events say; `where`: the topic, the table or the collection."""

    kind: Kind
    where: str
    key: str
    what: str
    repaired: bool = False


@dataclass
class Report:
    """What was looked at, what could not be judged, and what drifted."""

    seconds: float = 0.0
    events: int = 0
    checked: Counter[str] = field(default_factory=Counter)  # orders, products, lines, table entries, documents
    in_flight: Counter[str] = field(default_factory=Counter)  # of those: still moving, so not judged
    notes: list[str] = field(default_factory=list)  # what was not looked at, and why
    ends: dict[str, dict[int, int]] = field(default_factory=dict)  # topic → partition → audited up to this offset
    drifts: list[Drift] = field(default_factory=list)
    counts: Counter[Kind] = field(default_factory=Counter)
    repaired: int = 0

    def drift(self, kind: Kind, where: str, key: str, what: str, repaired: bool = False) -> None:
        """Add a drift."""
        self.counts[kind] += 1
        self.repaired += repaired
        if len(self.drifts) < KEPT:
            self.drifts.append(Drift(kind, where, key, what, repaired))

    @property
    def clean(self) -> bool:
        """Whether no drift is left."""
        return self.counts.total() == self.repaired

    def as_json(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        return {
            "clean": self.clean,
            "seconds": round(self.seconds, 3),
            "events": self.events,
            "eventsPerSecond": round(self.events / self.seconds) if self.seconds else 0,
            "checked": dict(self.checked),
            "inFlight": dict(self.in_flight),
            "notes": self.notes,
            "offsets": {topic: {str(number): end for number, end in ends.items()} for topic, ends in self.ends.items()},
            "driftCounts": {kind.value: count for kind, count in self.counts.items()},
            "repaired": self.repaired,
            "drift": [asdict(drift) for drift in self.drifts],
        }
