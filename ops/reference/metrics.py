"""The metrics of the service, as a table."""

from collections.abc import Iterator
from types import ModuleType

from prometheus_client.metrics import MetricWrapperBase

import agents.metrics as agents
import projections.metrics as projections
import streams.runtime.metrics as streams
import web.metrics as web
import webhooks.metrics as webhooks
from ops.reference.markdown import code, listed, table

EXPORTED = (("all", streams), ("workers", agents), ("projector, api", projections), ("api", web), ("api", webhooks))


def metrics_of(module: ModuleType) -> Iterator[MetricWrapperBase]:
    """Yield the metrics that a module declares."""
    return (each for each in vars(module).values() if isinstance(each, MetricWrapperBase))


def metrics() -> str:
    """Return a row for each metric: its name, type, labels, the processes that export it, and its meaning."""
    rows = []
    for processes, module in EXPORTED:
        for metric in metrics_of(module):
            if processes != "all" and metric in metrics_of(streams):
                continue
            (described,) = metric.describe()
            name = described.name + ("_total" if described.type == "counter" else "")
            labels = listed(metric._labelnames)
            rows.append((code(name), described.type, labels, processes, described.documentation))
    return table(("Metric", "Type", "Labels", "Exported by", "Meaning"), rows)
