"""Adopting a topic that has events says how the counts are corrected."""

from collections.abc import Mapping

import pytest

from ops.kafka import records
from ops.kafka.adopt import recounted
from streams.runtime.settings import Settings


@pytest.mark.parametrize(
    ("topic", "ends", "says"),
    [
        ("order-events", {0: 0, 1: 3}, ["order-events has events"]),
        ("order-events", {0: 0, 1: 0}, []),
        ("command-outcomes", {0: 0, 1: 3}, []),
    ],
    ids=["has events", "empty", "not counted"],
)
def test_only_events_that_may_be_counted_twice_are_named(
    monkeypatch: pytest.MonkeyPatch, topic: str, ends: Mapping[int, int], says: list[str]
) -> None:
    monkeypatch.setattr(records, "begins", lambda *_: dict.fromkeys(ends, 0))
    monkeypatch.setattr(records, "ends", lambda *_: ends)
    settings = Settings(prefix="shop-")
    found = recounted(settings, {settings.named(topic)})
    assert [each.partition(",")[0] for each in found] == says
    assert all("`fulfillment audit --repair`" in each for each in found)
