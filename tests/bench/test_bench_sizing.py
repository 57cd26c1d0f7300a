"""The model of capacity multiplies what one order costs. Its inputs are round here."""

import json
from dataclasses import replace

import pytest

from bench.sizing import DAY_SECONDS, GIB, MEASURED, Measured, Wanted, main, needs, partitions_for, topic_bytes
from projections.table import PROJECTIONS
from streams.topics import MESSAGE_TOPICS

ONE = Measured(
    how="by hand",
    cpu_ms={"api": 0.6, "orders": 0.3, "inventory": 0.12, "projector": 0.3, "kafka": 0.48, "mongod": 0.24},
    events=5,
    topic_bytes={
        "order-events": 1_000, "inventory-events": 500, "order-commands": 200, "inventory-commands": 200,
        "command-outcomes": 100,
    },
    collection_bytes={"orders": 700, "order_events": 800},
    index_bytes={"orders": 400, "order_events": 100},
    state_bytes={"orders": 300, "inventory": 100},
    worker_bytes=200 * 2**20,
    restored=100_000,
    replayed=20_000,
    audited=25_000,
)  # fmt: skip
WANTED = Wanted(orders=100e6, rate=10_000, busy=0.6, average=0.1)


def test_workers_have_a_core_each_and_room_for_bursts() -> None:
    assert needs(ONE, WANTED).workers == {"api": 10, "orders": 5, "inventory": 2, "projector": 5}
    assert needs(ONE, replace(WANTED, faster=2.0)).workers == {"api": 5, "orders": 3, "inventory": 2, "projector": 3}
    assert set(needs(ONE, replace(WANTED, rate=1)).workers.values()) == {2}, "one takes over from the other"


@pytest.mark.parametrize(("workers", "partitions"), [(1, 8), (4, 8), (5, 12), (12, 24), (24, 48), (300, 512)])
def test_the_number_of_workers_can_be_doubled_once(workers: int, partitions: int) -> None:
    assert partitions_for(workers) == partitions


def test_topics_keep_events_forever_and_commands_for_a_week() -> None:
    every, local, rest = topic_bytes(ONE, WANTED)
    a_day = 10_000 * 0.1 * DAY_SECONDS
    assert every == 3 * 1_500 * 100e6
    assert local == every, "a week of events would be more than all orders"
    assert rest == 3 * (500 * a_day * 7 + 400 * 100e6)
    assert topic_bytes(ONE, replace(WANTED, orders=10e9))[1] == 3 * 1_500 * a_day * 7
    assert topic_bytes(ONE, replace(WANTED, replicas=1))[0] == every / 3


def test_brokers_and_shards_are_for_the_rate_the_disk_and_the_memory() -> None:
    found = needs(ONE, WANTED)
    assert (found.brokers, found.shards) == (3, 2), "indexes of 50 GB, of which half of 64 GiB is for each"
    busier = needs(ONE, replace(WANTED, rate=100_000))
    assert (busier.brokers, busier.shards) == (10, 5)
    full = needs(ONE, replace(WANTED, orders=2e9, memory=1e15, disk=1_000 * GIB))
    assert full.shards == 7  # 2e9 orders of 2,000 bytes, on disks that are 60 % full
    assert full.brokers > 3
    assert found.shard_disk == 100e6 * 2_000 / 2
    assert found.broker_disk == pytest.approx(sum(topic_bytes(ONE, WANTED)[::2]) / 3)


def test_durations_follow_from_rates() -> None:
    found = needs(ONE, WANTED)
    assert found.rebuild_seconds == 500e6 / (20_000 * 5)
    assert found.audit_seconds == 500e6 / (25_000 * 5)
    assert found.partitions == 12
    assert found.takeover_seconds == pytest.approx(100e6 * 3 / 12 / 100_000), "the worker with most has 3 of 12"
    assert found.state_bytes == 300 * 100e6 * 3 / 12


def test_the_recorded_figures_are_complete(capsys: pytest.CaptureFixture[str]) -> None:
    recorded = Measured.load()
    assert {topic.name for topic in MESSAGE_TOPICS} - {"dead-letters"} <= recorded.topic_bytes.keys()
    assert all(recorded.topic_bytes[name] > 0 for name in ("order-events", "inventory-events", "command-outcomes"))
    names = {projection.collection(name) for projection in PROJECTIONS for name in projection.collections}
    archives = {each for each in names if each.startswith("orders_archive")}  # nothing measured is old enough for them
    assert names - archives <= recorded.collection_bytes.keys()
    assert min(*recorded.cpu_ms.values(), *recorded.state_bytes.values(), recorded.events, recorded.audited) > 0
    assert MEASURED.name in recorded.how
    assert main(["--orders", "100e6", "--rate", "10000", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["partitions"] >= 8
