"""Why a projector is blocked.

Stopped                     the partitions that cannot be read on, each with its offset and the reason
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Stop:
    """The record at which a partition is blocked; neither it nor later records were projected."""

    topic: str
    partition: int
    offset: int
    reason: str

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition} at offset {self.offset}: {self.reason}"


class Stopped(Exception):
    """Partitions are blocked until code or data is fixed; everything before was projected."""

    def __init__(self, stops: Sequence[Stop]) -> None:
        super().__init__("; ".join(map(str, stops)))
        self.stops = tuple(stops)


class Gap(Exception):
    """An event does not follow the last known event of its aggregate."""

    def __init__(self, key: str, at: int, found: int) -> None:
        super().__init__(f"{key} is at {at}, and event {found} follows: {found - at - 1} missing")
