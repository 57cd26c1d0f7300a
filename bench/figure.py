"""The results of a benchmark: figures measured several times, and profiles of CPU time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured quantity, its value in each round, and the key of its goal."""

    key: str
    what: str
    values: Sequence[float]
    unit: str
    how: str = ""

    @property
    def median(self) -> float:
        """The median of the rounds, which is reported and compared with goals."""
        return float(median(self.values))

    @property
    def spread(self) -> str:
        """The lowest and highest round and their number; empty if there was only one."""
        count, lowest, highest = len(self.values), number(min(self.values)), number(max(self.values))
        return f"{lowest}–{highest} of {count}" if count > 1 else ""

    def __str__(self) -> str:
        spread = f" ({self.spread})" if self.spread else ""
        how = f", {self.how}" if self.how else ""
        return f"{self.what}{how}: {number(self.median)} {self.unit}{spread}"


@dataclass(frozen=True, slots=True)
class Profile:
    """CPU milliseconds per order, or per `each`, by process."""

    load: str
    each: str
    milliseconds: Mapping[str, float]

    def __str__(self) -> str:
        shares = ", ".join(f"{name} {spent:.2f}" for name, spent in self.milliseconds.items())
        return f"CPU, {self.load}: {sum(self.milliseconds.values()):.2f} ms per {self.each} ({shares})"


@dataclass(frozen=True, slots=True)
class Ratio:
    """One quantity measured of both checkouts in every round, and the key of its mark."""

    key: str
    what: str
    unit: str
    base: list[float]
    ours: list[float]

    @property
    def ratios(self) -> list[float]:
        """Our value divided by the base's, for each round."""
        return [ours / base for base, ours in zip(self.base, self.ours, strict=True)]

    @property
    def median(self) -> float:
        """The median of the rounds' ratios, which is reported and compared with marks."""
        return float(median(self.ratios))

    @property
    def spread(self) -> str:
        """The lowest and highest ratio and the number of rounds; empty if there was only one."""
        ratios = self.ratios
        return f"{number(min(ratios))}–{number(max(ratios))} of {len(ratios)}" if len(ratios) > 1 else ""

    def __str__(self) -> str:
        spread = f" ({self.spread})" if self.spread else ""
        base, ours = number(median(self.base)), number(median(self.ours))
        return f"{self.what}: {base} → {ours} {self.unit}, {number(self.median)} ×{spread}"


Found = Figure | Profile | Ratio


def number(value: float) -> str:
    """Return `value` with three significant digits."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def percentile(values: Sequence[float], share: float) -> float:
    """Return a percentile of `values`; `share` is 0.99 for the 99th. Raise `ValueError` if `values` is empty."""
    if not values:
        raise ValueError("nothing was measured")
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]
