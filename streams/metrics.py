"""What every process tells Prometheus."""

from prometheus_client import Gauge

READY = Gauge("fulfillment_ready", "1 when the process can do its work, else 0; /readyz says why.")
