"""Two checkouts measured in turns, A B, B A, …, each on its own stack; the result is their ratio."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from bench.checkout import HERE, Checkout
from bench.figure import Ratio
from bench.machine import load_average
from bench.stacks import Install, Stacks
from bench.suite import Sizes

S = TypeVar("S")
T = TypeVar("T")
BASE, OURS = "base", "ours"


class Both(NamedTuple, Generic[T]):
    """The results of each round for the base and for this checkout."""

    base: list[T]
    ours: list[T]

    def ratio(self, key: str, what: str, unit: str, value: Callable[[T], float]) -> Ratio:
        """Return the ratio of one of the values found."""
        return Ratio(key, what, unit, [value(one) for one in self.base], [value(one) for one in self.ours])

    def middle(self, value: Callable[[T], float]) -> tuple[T, T]:
        """Return the base's median round by a value, and ours."""
        base, ours = (sorted(found, key=value)[len(found) // 2] for found in (self.base, self.ours))
        return base, ours


@dataclass
class Turns:
    """One comparison of this checkout with another one."""

    base: Checkout
    sizes: Sizes
    stacks: Stacks
    ours: Checkout = HERE

    def __post_init__(self) -> None:
        """Report no steps until a reporter is set."""
        self.say: Callable[[str], None] = lambda text: None

    def conditions(self) -> str:
        """Return the conditions a reader must know to judge the figures."""
        found = f"{self.ours.commit[:7]} against {self.base.commit[:7]}, {self.sizes.rounds} rounds in turns"
        found += f", load average at the start {load_average():.1f}"
        return found if self.sizes.meaning else f"{found}; **sizes so small that the figures mean nothing**"

    def installs(self) -> tuple[Install, Install]:
        """Return the stack of the base and ours, both running."""
        return self.stacks.own(BASE, self.base), self.stacks.own(OURS, self.ours)

    def measured(self, what: str, base: S, ours: S, measure: Callable[[S], T]) -> Both[T]:
        """Measure both in every round; a round begins with the checkout that ended the previous one."""
        both, count = Both[T]([], []), self.sizes.rounds
        turns = [(BASE, base, both.base), (OURS, ours, both.ours)]
        for number in range(count):
            for name, side, found in turns:
                self.say(f"{what}, round {number + 1} of {count}, {name}")
                found.append(measure(side))
            turns.reverse()
        return both

    def stacked(self, what: str, measure: Callable[[Install], T]) -> Both[T]:
        """Measure both stacks in every round."""
        return self.measured(what, *self.installs(), measure)
