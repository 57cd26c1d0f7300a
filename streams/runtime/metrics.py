"""The Prometheus metrics of every process."""

from collections.abc import Iterable

from prometheus_client import Counter, Gauge, disable_created_metrics

from streams.kafka.open_transactions import OpenTransaction

disable_created_metrics()  # type: ignore[no-untyped-call]  # a third of all lines, and unused

OPEN_TRANSACTION = Gauge(
    "fulfillment_open_transaction_seconds",
    "How long an open transaction of any producer has blocked a partition; absent if none does.",
    ("topic", "partition"),
)
MALFORMED = Counter("fulfillment_http_malformed_total", "Requests that are not valid HTTP, by status.", ["status"])
DENIED = Counter(
    "fulfillment_http_denied_total",
    "Requests that were denied because of who sent them, by code: an invalid token, a missing scope, a quota.",
    ["code"],
)
READY = Gauge("fulfillment_ready", "1 when the process can do its work, else 0; /readyz says why.")


def tell_open(transactions: Iterable[OpenTransaction]) -> None:
    """Set the age of the oldest transaction that holds back each partition."""
    OPEN_TRANSACTION.clear()
    oldest: dict[tuple[str, int], float] = {}
    for one in transactions:
        at = one.topic, one.partition
        oldest[at] = max(oldest.get(at, 0.0), one.seconds or 0.0)
    for at, seconds in oldest.items():
        OPEN_TRANSACTION.labels(*at).set(seconds)
