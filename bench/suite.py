"""The context of every part of the suite: sizes, stacks, and the results of earlier parts."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bench.machine import load_average
from bench.results import Results
from bench.stacks import Install, Stacks


@dataclass(frozen=True)
class Sizes:
    """The sizes of everything. Durations are in seconds."""

    commands: int = 60_000  # backlog of order commands
    orders: int = 4_000  # orders placed concurrently over HTTP
    flow: int = 6_000  # orders placed concurrently over Kafka
    already: int = 100_000  # existing orders for the measurement of growth and recovery
    reservations: int = 100_000  # open reservations of one product
    timers: int = 100_000  # orders with the same deadline
    replayed: int = 300_000  # events per topic
    queries: int = 6_000
    singles: int = 300
    rounds: int = 3
    idle: float = 15.0
    half_load: float = 10.0
    million: bool = False  # measure with this many existing orders too
    meaning: bool = True  # whether the figures mean anything

    @classmethod
    def tiny(cls) -> "Sizes":
        """Return tiny sizes, which only show that everything works: the figures mean nothing."""
        return cls(
            commands=600, orders=60, flow=60, already=200, reservations=300, timers=100, replayed=300, queries=100,
            singles=10, rounds=1, idle=0.5, half_load=1.0, meaning=False,
        )  # fmt: skip


@dataclass
class Bench:
    """One run of the suite."""

    sizes: Sizes
    stacks: Stacks
    results: Results

    def __post_init__(self) -> None:
        """Report no steps until a reporter is set."""
        self.say: Callable[[str], None] = lambda text: None

    def conditions(self) -> str:
        """Return the conditions a reader must know to judge the figures."""
        busy = "load average at the start"
        rounds = f"at most {self.sizes.rounds} rounds, {busy} {load_average():.1f}"
        return rounds if self.sizes.meaning else f"{rounds}; **sizes so small that the figures mean nothing**"

    @property
    def main(self) -> Install:
        """The installation with one worker per role, on which most parts run."""
        return self.stacks.install("main")

    def rounds(self, what: str, seconds: float) -> Iterator[int]:
        """Yield and show the numbers of the rounds; fewer if all of them would take more than `seconds`."""
        count, began = self.sizes.rounds, time.monotonic()
        for number in range(count):
            expected = (time.monotonic() - began) * (number + 1) / max(number, 1)
            if number and expected > seconds and not self.sizes.million:
                return  # on a slow machine, one round of each part is better than no rounds of the last parts
            self.say(f"{what}, round {number + 1} of {count}")
            yield number
