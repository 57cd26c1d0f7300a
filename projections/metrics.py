"""What projectors tell Prometheus: observed once a batch. docs/operations.md lists them, made from here."""

import time
from collections.abc import Container, Iterable, Mapping
from typing import TYPE_CHECKING

from prometheus_client import Gauge, Histogram

if TYPE_CHECKING:
    from projections.batch import Part
    from projections.projection import Projection

TopicPartition = tuple[str, int]
# (projection, where) → the offset it goes on from, and when Kafka got the record before that, in Unix seconds
Standing = dict[tuple["Projection", TopicPartition], tuple[int, float | None]]

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
PROJECT_SECONDS = Histogram(
    "fulfillment_project_seconds", "Time to project one batch, MongoDB's writes included.", buckets=SECONDS
)
VISIBLE_SECONDS = Histogram(
    "fulfillment_visible_seconds",
    "From the append of an event to Kafka to its effect in MongoDB: the oldest of a partition in each batch.",
    ("topic",),
    buckets=SECONDS,
)
_LABELS = ("projection", "version", "topic", "partition")

# What is asked for when Prometheus asks:
POSITION = Gauge("fulfillment_projection_position", "Offset a projection goes on from.", _LABELS)
AGE = Gauge(
    "fulfillment_projection_age_seconds",
    "How old a read model is: 0 when nothing waits, else since the append of the last record that it has.",
    _LABELS,
)
LIVE = Gauge("fulfillment_projection_live_version", "The version the API reads.", ("projection",))
BEHIND = Gauge(
    "fulfillment_projection_behind_offsets",
    "Offsets fewer than the version of the projection that is furthest.",
    ("projection", "version"),
)
STATE = Gauge(
    "fulfillment_projection_version_info",
    "1 for each version there is, by state: building, following or stopped.",
    ("projection", "version", "state"),
)


def observe(parts: Iterable["Part"], spare: Container[str], standing: Standing) -> None:
    """Observe what was written, and keep in `standing` how far each projection has come.

    What a `spare` version (its id) has is not what anybody sees: it may be reading what is a year old.
    """
    now = time.time()
    oldest: dict[TopicPartition, float] = {}
    for part in parts:
        at = (part.topic, part.partition)
        done = [record for record in (part.records[0], part.records[-1]) if record.offset < part.next_offset]
        if done:
            if part.projection.id not in spare:
                oldest[at] = done[0].timestamp / 1000
            standing[part.projection, at] = (part.next_offset, done[-1].timestamp / 1000)
    for (topic, _), appended in oldest.items():
        VISIBLE_SECONDS.labels(topic).observe(max(now - appended, 0.0))


def update(standing: Standing, lag: Mapping[TopicPartition, int]) -> None:
    """Set what is known only when it is asked for; the age of what nobody has looked at yet is not known."""
    now = time.time()
    POSITION.clear()
    AGE.clear()
    for (projection, at), (offset, appended) in standing.items():
        labels = (projection.name, str(projection.version), *map(str, at))
        POSITION.labels(*labels).set(offset)
        if lag.get(at) == 0:
            AGE.labels(*labels).set(0)
        elif at in lag and appended is not None:
            AGE.labels(*labels).set(max(now - appended, 0.0))
