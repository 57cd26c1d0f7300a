"""Recent rates in steps of 5 seconds: events by type, and the latency from command to log."""

import math
import time
from collections import Counter, OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from .event import StreamedEvent

STEP_SECONDS, STEPS = 5, 180  # a quarter of an hour
SAMPLES = 1_000  # latencies kept for each step


@dataclass
class Step:
    """The events of one step."""

    types: Counter[str] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)  # seconds


class Rates:
    """The last 15 minutes, as far as this process has read them."""

    def __init__(self, cut: Iterable[int] = ()) -> None:
        self._cut = set(cut)  # slots whose first minutes were not read
        self.known_from = 0.0  # Unix time; counts before it are incomplete
        self._steps: OrderedDict[int, Step] = OrderedDict()

    def add(self, event: StreamedEvent) -> None:
        """Count an event at the time when Kafka received it."""
        if event.slot in self._cut:
            self._cut.discard(event.slot)
            self.known_from = max(self.known_from, event.seconds)
        number = int(event.seconds // STEP_SECONDS)
        step = self._steps.setdefault(number, Step())
        step.types[event.type] += 1
        if event.aggregate == "order" and len(step.latencies) < SAMPLES:
            step.latencies.append(event.latency)
        while len(self._steps) > 2 * STEPS:
            self._steps.popitem(last=False)

    def as_json(self, now: float | None = None) -> dict[str, Any]:
        """Return the steps, oldest first; the last one is incomplete."""
        last = int((time.time() if now is None else now) // STEP_SECONDS)
        steps = [self._steps.get(number) for number in range(last - STEPS + 1, last + 1)]
        return {
            "stepSeconds": STEP_SECONDS,
            "from": (last - STEPS + 1) * STEP_SECONDS,
            "knownFrom": self.known_from,
            "types": sorted({name for step in steps if step for name in step.types}),
            "steps": [_step(step) for step in steps],
        }


def _step(step: Step | None) -> dict[str, Any]:
    latencies = sorted(step.latencies) if step else []
    return {
        "events": dict(step.types) if step else {},
        "p50": _quantile(latencies, 0.5),
        "p99": _quantile(latencies, 0.99),
    }


def _quantile(values: list[float], part: float) -> float | None:
    """Return a quantile in milliseconds; None without values."""
    return round(values[max(math.ceil(part * len(values)) - 1, 0)] * 1000, 1) if values else None
