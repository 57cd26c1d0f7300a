"""Where a record is, and when Kafka got it, by a clock that no producer sets."""

import time
from typing import Any, Protocol

LOG_APPEND_TIME = 1  # the broker's clock; our topics have it, and what was written before they had it does not


class Timestamped(Protocol):
    """What we need of a Kafka record."""

    @property
    def timestamp(self) -> int:
        """Unix milliseconds, by the clock that the type says; negative or None in old formats without one."""

    @property
    def timestamp_type(self) -> int:
        """0: the producer's clock, which may be any; 1: the broker's."""


def received_at(record: Timestamped) -> float:
    """Return when Kafka got a record (Unix seconds); a producer's own time counts up to now.

    Read again after an aborted transaction, such a record may get another time: the first one was never visible.
    """
    if record.timestamp_type == LOG_APPEND_TIME:
        return record.timestamp / 1000
    now = time.time()
    given = record.timestamp
    return min(given / 1000, now) if given is not None and given >= 0 else now


Coordinates = tuple[str, int, int]  # topic, partition, offset


def coordinates(record: Any) -> Coordinates:
    """Return where a record is."""
    return record.topic, record.partition, record.offset
