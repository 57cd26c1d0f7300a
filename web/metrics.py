"""Metrics of HTTP. Labels never contain ids, so that the number of series is bounded by the number of routes."""

from functools import lru_cache

from aiohttp import web
from prometheus_client import Counter, Gauge, Histogram

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # seconds

REQUESTS = Histogram(
    "fulfillment_http_request_seconds",
    "Time to answer a request, by route and status.",
    ("method", "route", "status"),
    buckets=BUCKETS,
)
COMMANDS = Counter(
    "fulfillment_http_commands_total",
    "Commands sent to Kafka over HTTP, by type and outcome: accepted, pending, or the code of the rejection.",
    ("type", "outcome"),
)
WAITS = Counter("fulfillment_http_wait_timeouts_total", "Commands whose outcome did not arrive in time.")

# Set when Prometheus scrapes:
LISTENERS = Gauge("fulfillment_live_listeners", "Clients that receive server-sent events.")

LATE = Gauge(
    "fulfillment_orders_late", "Orders with units that have not shipped by `shipBy`; NaN while MongoDB does not answer."
)


@lru_cache(maxsize=2_000)
def _series(method: str, route: str, status: int) -> Histogram:
    return REQUESTS.labels(method, route, str(status))


@lru_cache(maxsize=2_000)
def _commands(command_type: str, outcome: str) -> Counter:
    return COMMANDS.labels(command_type, outcome)


def count_command(command_type: str, outcome: str) -> None:
    """Count a command that was sent to Kafka; `outcome` as in the metric's description."""
    _commands(command_type, outcome).inc()


def observe(request: web.Request, status: int, seconds: float) -> None:
    """Record one answer."""
    resource = request.match_info.route.resource
    method = request.method if resource else "other"
    _series(method, resource.canonical if resource else "unknown", status).observe(seconds)
