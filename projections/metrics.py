"""The projectors' metrics for Prometheus, observed once per batch; docs/reference/metrics.md lists them."""

import time
from collections.abc import Container, Iterable, Mapping
from typing import TYPE_CHECKING

from prometheus_client import Gauge, Histogram

if TYPE_CHECKING:
    from projections.batch import Part
    from projections.projection import Projection

TopicPartition = tuple[str, int]
# (projection, topic, partition) → the next offset, and the Unix time when Kafka received the record before it
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

# Values that are computed when Prometheus asks:
POSITION = Gauge("fulfillment_projection_position", "Next offset that a projection reads.", _LABELS)
AGE = Gauge(
    "fulfillment_projection_age_seconds",
    "Age of a read model: 0 when nothing waits, else the time since the append of the last record it includes.",
    _LABELS,
)
LIVE = Gauge("fulfillment_projection_live_version", "The live version, which the API reads.", ("projection",))
BEHIND = Gauge(
    "fulfillment_projection_behind_offsets",
    "How many offsets a version is behind the most advanced version of its projection.",
    ("projection", "version"),
)
STATE = Gauge(
    "fulfillment_projection_version_info",
    "1 for each existing version, by state: building, following or stopped.",
    ("projection", "version", "state"),
)


def observe(parts: Iterable["Part"], spare: Container[str], standing: Standing) -> None:
    """Observe a written batch, and keep in `standing` how far each projection has come.

    The progress of a `spare` version (its id) is not visible to clients: it may be reading records that are a year old.
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
    """Set the values that are computed on demand; the age of a read model that has not been read yet is unknown."""
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
