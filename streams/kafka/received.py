"""The coordinates of a record, and when Kafka received it, by a clock that no producer sets."""

import time
from typing import Any, Protocol

LOG_APPEND_TIME = 1  # the broker's clock; records from before our topics used it have the producer's


class Timestamped(Protocol):
    """A Kafka record with its time."""

    @property
    def timestamp(self) -> int:
        """Unix milliseconds, by the clock that the type says; negative or None in old formats without one."""

    @property
    def timestamp_type(self) -> int:
        """0: the producer's clock, which may be any; 1: the broker's."""


def received_at(record: Timestamped) -> float:
    """Return when Kafka received a record (Unix seconds); a producer's own time counts if it is not in the future.

    Such a record may get another time if it is read again after an aborted transaction; the first was never visible.
    """
    if record.timestamp_type == LOG_APPEND_TIME:
        return record.timestamp / 1000
    now = time.time()
    given = record.timestamp
    return min(given / 1000, now) if given is not None and given >= 0 else now


Coordinates = tuple[str, int, int]  # topic, partition, offset


def coordinates(record: Any) -> Coordinates:
    """Return the coordinates of a record."""
    return record.topic, record.partition, record.offset
