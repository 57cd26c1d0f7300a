"""What every part of the suite is given: how much to do, the stacks to do it to, and what others found before."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from bench.machine import load_average
from bench.results import Results
from bench.stacks import Install, Stacks


@dataclass(frozen=True)
class Sizes:
    """How much of everything. Durations are in seconds."""

    commands: int = 60_000  # a backlog of order commands
    orders: int = 4_000  # placed at a time over HTTP
    flow: int = 6_000  # orders placed at a time over Kafka
    already: int = 100_000  # orders that are there before, where growth and recovery are measured
    reservations: int = 100_000  # open ones of one product
    replayed: int = 300_000  # events of each topic
    queries: int = 6_000
    singles: int = 300
    rounds: int = 3
    idle: float = 15.0
    half_load: float = 10.0
    million: bool = False  # measure with so many orders too
    meaning: bool = True  # whether the figures have any

    @classmethod
    def tiny(cls) -> "Sizes":
        """Return sizes to see that everything works: the figures mean nothing."""
        return cls(
            commands=600, orders=60, flow=60, already=200, reservations=300, replayed=300, queries=100, singles=10,
            rounds=1, idle=0.5, half_load=1.0, meaning=False,
        )  # fmt: skip


@dataclass
class Bench:
    """One run of the suite."""

    sizes: Sizes
    stacks: Stacks
    results: Results
    say: Callable[[str], None] = field(default=lambda text: None)  # what is being done now

    def conditions(self) -> str:
        """Return what a reader must know to judge the figures."""
        busy = "when it began the load average was"
        rounds = f"at most {self.sizes.rounds} rounds, {busy} {load_average():.1f}"
        return rounds if self.sizes.meaning else f"{rounds}; **sizes so small that the figures mean nothing**"

    @property
    def main(self) -> Install:
        """The installation with one worker a role that most is measured on."""
        return self.stacks.install("main")

    def rounds(self, what: str, seconds: float) -> Iterator[int]:
        """Yield the numbers of the rounds, fewer where all would take more than `seconds`, and say which it is."""
        count, began = self.sizes.rounds, time.monotonic()
        for number in range(count):
            expected = (time.monotonic() - began) * (number + 1) / max(number, 1)
            if number and expected > seconds and not self.sizes.million:
                return  # on a slow machine one round of everything is better than none of the last parts
            self.say(f"{what}, round {number + 1} of {count}")
            yield number
