"""What Prometheus is told of letters: how many were written, of every kind, and how many are parked now."""

from collections.abc import Callable, Iterable, Mapping

from prometheus_client import REGISTRY, Counter
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

LETTERS = Counter(
    "fulfillment_letters_total",
    "Dead letters written, by the topic of the message and by kind: invalid, parked, retried, discarded.",
    ("topic", "kind"),
)


class ParkedLetters(Collector):
    """Asks the tables when it is asked: what moved with a partition is counted by its new owner alone."""

    def __init__(self, parked: Callable[[], Mapping[str, int]]) -> None:
        self._parked = parked
        REGISTRY.register(self)

    def describe(self) -> Iterable[Metric]:
        """Name nothing in advance: that would ask before there are tables."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Yield the gauge."""
        gauge = GaugeMetricFamily(
            "fulfillment_letters_parked", "Commands parked in this worker's partitions now.", labels=("topic",)
        )
        for topic, letters in self._parked().items():
            gauge.add_metric((topic,), letters)
        yield gauge
