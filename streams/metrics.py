"""What every process tells Prometheus."""

from prometheus_client import Gauge, disable_created_metrics

disable_created_metrics()  # type: ignore[no-untyped-call]  # a third of all lines, and nobody asks

READY = Gauge("fulfillment_ready", "1 when the process can do its work, else 0; /readyz says why.")
