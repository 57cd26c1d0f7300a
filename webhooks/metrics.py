"""Metrics of webhooks. Labels never contain ids."""

from prometheus_client import Counter, Gauge, Histogram

ATTEMPTS = Counter(
    "fulfillment_webhook_attempts_total",
    "Requests to receivers of webhooks, by outcome: delivered, failed, or parked after the last one.",
    ("outcome",),
)
SECONDS = Histogram(
    "fulfillment_webhook_seconds",
    "Time that receivers of webhooks took to answer.",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0),
)
SUBSCRIPTIONS = Gauge("fulfillment_webhook_subscriptions", "Subscriptions to webhooks, by status.", ("status",))
WAITING = Gauge("fulfillment_webhook_waiting", "Events that wait for a retry, of the webhooks this process delivers.")
OLDEST = Gauge(
    "fulfillment_webhook_oldest_seconds",
    "How long the oldest of those events has been retried; 0 if none waits.",
)
