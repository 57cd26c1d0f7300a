"""The goals for a machine with two cores that also runs broker, database and load client."""

from typing import NamedTuple

from bench.figure import Figure, Ratio, number


class Goal(NamedTuple):
    """A lower or upper bound."""

    sign: str  # ≥, >, ≤ or <
    mark: float

    def reached(self, value: float) -> bool:
        """Return whether `value` reaches the goal."""
        return {
            "≥": value >= self.mark,
            ">": value > self.mark,
            "≤": value <= self.mark,
            "<": value < self.mark,
        }[self.sign]

    def __str__(self) -> str:
        return f"{self.sign} {number(self.mark).removesuffix('.00').removesuffix('.0')}"


GOALS = {
    "idle.roles": Goal("<", 5),
    "decide.rate": Goal("≥", 20_000),
    "decide.cpu": Goal(">", 25_000),  # Quix Streams exactly-once; Kafka Streams exactly-once: 49,000
    "decide.ratio": Goal("≥", 0.7),
    "flow.rate": Goal("≥", 2_000),
    "http.32.rate": Goal("≥", 1_000),
    "http.32.p99": Goal("≤", 100),
    "http.128.rate": Goal("≥", 2_000),
    "http.128.p99": Goal("≤", 100),
    "latency.idle.outcome.p50": Goal("≤", 8),
    "latency.idle.visible.p50": Goal("≤", 12),
    "latency.idle.visible.p99": Goal("≤", 30),
    "latency.half.visible.p50": Goal("≤", 60),
    "queries.one.rate": Goal("≥", 3_500),
    "queries.page.rate": Goal("≥", 1_500),
    "audit.rate": Goal("≥", 40_000),
    "replay.rate": Goal("≥", 50_000),
    "recovery.orders.restore": Goal("≤", 2),
    "recovery.inventory.restore": Goal("≤", 2),
    "recovery.orders.restart": Goal("<", 10),
    "recovery.inventory.restart": Goal("<", 10),
    "recovery.orders.takeover": Goal("<", 20),
    "recovery.inventory.takeover": Goal("<", 20),
    "growth.decide": Goal("≥", 0.9),
    "growth.decide.million": Goal("≥", 0.9),
    "growth.hot": Goal("≥", 0.9),
    "growth.flow": Goal("≥", 0.9),
    "growth.flow.million": Goal("≥", 0.9),
    "growth.flow.hot": Goal("≥", 0.9),
}


# The ratio of this checkout to commit dc4a191, the last one before messages became structs.
MARKS = {
    "code": Goal("≤", 0.5),
    "decide.cpu": Goal("≥", 2.2),
    "decide.bare": Goal("≥", 0.85),
    "flow.rate": Goal("≥", 1.7),
    "http.32.rate": Goal("≥", 2),
    "http.128.rate": Goal("≥", 1.8),
    "http.128.p99": Goal("≤", 0.6),
    "latency.outcome": Goal("≤", 0.75),
    "latency.visible": Goal("≤", 0.75),
    "replay": Goal("≥", 1.5),
    "restore": Goal("≥", 1.5),
    "idle": Goal("≤", 1),
    "memory": Goal("<", 1),
}


def verdict(figure: Figure | Ratio) -> tuple[str, str]:
    """Return the figure's goal, and whether it was reached; two empty texts if it has none."""
    goal, unit = (MARKS.get(figure.key), "×") if isinstance(figure, Ratio) else (GOALS.get(figure.key), figure.unit)
    if goal is None:
        return "", ""
    return f"{goal} {unit}".strip(), "reached" if goal.reached(figure.median) else "not reached"
