"""The Prometheus metrics of workers: observed once per fetch or per partition of it, counted after the commit.

Labels are types, codes, topics and partitions, never ids. docs/reference/metrics.md lists them.
"""

import time
from collections.abc import Mapping

from faust.types import TP
from prometheus_client import Counter, Gauge, Histogram

from parking.queue import parked
from streams.kafka.transport import Part
from streams.runtime.app import RoleApp
from streams.runtime.metrics import READY

RECORDS = (1, 3, 10, 30, 100, 300, 1_000, 3_000, 10_000)
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
LONG_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)

FETCH_RECORDS = Histogram("fulfillment_fetch_records", "Number of records in a fetch.", buckets=RECORDS)
DECIDE_SECONDS = Histogram("fulfillment_decide_seconds", "Time to decide one fetch, without writing.", buckets=SECONDS)
HANDLED_SECONDS = Histogram(
    "fulfillment_handled_seconds",
    "From the append of a record to Kafka to the commit of what it led to: the oldest of a partition in each fetch.",
    ("topic",),
    buckets=LONG_SECONDS,
)
COMMANDS = Counter(
    "fulfillment_commands_total",
    "Commands handled, by type and by outcome: accepted, repeated, parked, forwarded, or the rejection's code.",
    ("type", "outcome"),
)
TRANSACTION_SECONDS = Histogram(
    "fulfillment_transaction_seconds",
    "Time of a Kafka transaction, by result: committed or aborted. An unknown outcome ends the worker.",
    ("result",),
    buckets=SECONDS,
)
LETTERS = Counter(
    "fulfillment_letters_total",
    "Dead letters written, by the topic of the message and by kind: invalid, parked, retried, discarded.",
    ("topic", "kind"),
)
TIMERS_FIRED = Counter("fulfillment_timers_fired_total", "Deadlines of orders and reservations that were acted on.")
TIMERS_FAILED = Counter(
    "fulfillment_timers_failed_total", "Deadlines that could not be acted on because of a bug; each is retried."
)
RECOVERY_SECONDS = Histogram(
    "fulfillment_recovery_seconds",
    "Time to prepare partitions that were assigned: offsets read, tables restored.",
    buckets=LONG_SECONDS,
)
RECOVERED_ENTRIES = Counter("fulfillment_recovered_entries_total", "Entries restored from changelogs.")
STANDBY_TIME = Gauge(
    "fulfillment_standby_timestamp_seconds",
    "When this worker's standby copies were last up to date, in seconds since 1970; 0 without such copies.",
)

# These are set when Prometheus reads the metrics:
POSITION = Gauge(
    "fulfillment_partition_position", "Offset up to which this worker has handled a partition.", ("topic", "partition")
)
LAG = Gauge(
    "fulfillment_partition_lag",
    "Records of a partition that are not handled yet; absent while Kafka does not answer.",
    ("topic", "partition"),
)
STOPPED = Gauge("fulfillment_partitions_stopped", "Partitions of a topic that are blocked at a record.", ("topic",))
PARKED = Gauge("fulfillment_letters_parked", "Commands parked in this worker's partitions now.", ("topic",))
OVERDUE = Gauge(
    "fulfillment_timers_overdue_seconds",
    "How late the most overdue deadline in this worker's partitions is; 0 when none is overdue.",
)
ENTRIES = Gauge("fulfillment_table_entries", "Entries in this worker's partitions of a table.", ("table",))


def observe_handled(parts: Mapping[TP, Part]) -> None:
    """Observe the handled records of a fetch whose transaction was committed."""
    now = time.time()
    FETCH_RECORDS.observe(sum(len(part.records) for part in parts.values()))
    for tp, part in parts.items():
        if part.records:  # a producer may give its records any time, also a future one
            HANDLED_SECONDS.labels(tp.topic).observe(max(now - part.records[0].timestamp / 1000, 0.0))


def letters(app: RoleApp) -> dict[str, int]:
    """Return how many commands are parked, by topic. The worker is ready all the same: it handles the others."""
    tables = list(app.tables.values()) if app.consumer.prepared else []
    count = sum(parked(entries) for table in tables for entries in table.data.partitions.values())
    return {app.settings.named(app.reads[0].name): count} if count else {}


def update(app: RoleApp, ready: bool, lag: Mapping[TP, int]) -> None:
    """Set the gauges, for the partitions that this worker owns now."""
    progress = app.consumer.progress
    handled = progress.handled if app.consumer.prepared else {}
    READY.set(ready)
    for gauge in (POSITION, LAG, STOPPED, PARKED, ENTRIES):
        gauge.clear()
    for tp, offset in handled.items():
        POSITION.labels(tp.topic, tp.partition).set(offset)
        STOPPED.labels(tp.topic).inc(tp in progress.stopped)
    for tp, count in lag.items():
        LAG.labels(tp.topic, tp.partition).set(count)
    for topic, count in letters(app).items():
        PARKED.labels(topic).set(count)
    now, late = time.time(), 0.0
    for table in app.tables.values():
        late = max([late, *(entries.timers.late(now) for entries in table.data.partitions.values())])
        ENTRIES.labels(table.name).set(len(table.data))
    OVERDUE.set(late)
