"""What Prometheus is told of projections."""

from prometheus_client import Gauge

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
