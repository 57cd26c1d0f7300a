"""The result of an audit."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

KEPT = 1_000  # drifts that are listed; more are only counted


class Kind(StrEnum):
    """Kinds of drift."""

    SEQUENCE = "sequence"  # the events of an aggregate have a gap, or one occurs twice
    EVENT_ID = "event id"  # an event id is not unique
    PLACE = "place"  # an event is on the wrong partition for its key
    HISTORY = "history"  # an event does not apply to the state before it
    BALANCE = "balance"  # an event states another balance than its units result in
    ORDER = "order"  # the quantities of an order do not add up
    PRODUCT = "product"  # the units of a product do not add up
    LINE = "line"  # an order line and its reservation differ
    TABLE = "table"  # a worker's table differs from the events
    DOCUMENT = "document"  # a read model differs from the events


@dataclass(frozen=True, slots=True)
class Drift:
    """A difference from the events; `where`: the topic, table or collection."""

    kind: Kind
    where: str
    key: str
    what: str
    repaired: bool = False


@dataclass
class Report:
    """Counts of comparisons, and a list of differences."""

    seconds: float = 0.0
    events: int = 0
    checked: Counter[str] = field(default_factory=Counter)  # orders, products, lines, table entries, documents
    in_flight: Counter[str] = field(default_factory=Counter)  # how many of them were still changing, and not compared
    notes: list[str] = field(default_factory=list)  # parts that were left out, with the reason
    ends: dict[str, dict[int, int]] = field(default_factory=dict)  # topic → partition → end of the audit
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
        """Whether there is no drift, or all of it was repaired."""
        return self.counts.total() == self.repaired

    def kept(self) -> dict[str, Any]:
        """Return a part's results for `add`, as JSON can contain them."""
        return {
            "events": self.events,
            "checked": self.checked,
            "in_flight": self.in_flight,
            "notes": self.notes,
            "counts": self.counts,
            "repaired": self.repaired,
            "drifts": [asdict(drift) for drift in self.drifts],
        }

    def add(self, kept: Mapping[str, Any]) -> None:
        """Add the results of a part."""
        self.events += kept["events"]
        self.checked.update(kept["checked"])
        self.in_flight.update(kept["in_flight"])
        self.notes += [note for note in kept["notes"] if note not in self.notes]
        self.counts.update({Kind(kind): count for kind, count in kept["counts"].items()})
        self.repaired += kept["repaired"]
        drifts = (Drift(**each | {"kind": Kind(each["kind"])}) for each in kept["drifts"])
        self.drifts += list(drifts)[: KEPT - len(self.drifts)]

    def as_json(self) -> dict[str, Any]:
        """Return the output of `--json`."""
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
