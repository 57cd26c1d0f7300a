"""Versions: when they may go live, who changes them, and a spare version that cannot affect the live one."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from projection_histories import ORDERS, order_history, place, records

from domain.orders.commands import Hold
from projections.mongo.client import Mongo
from projections.mongo.indexes import create_indexes
from projections.mongo.leases import Leased, lease
from projections.mongo.live import LiveVersions
from projections.mongo.progress import AnotherTopic, write_progress
from projections.mongo.queries import NotDeployed, Queries
from projections.mongo.registry import Registry
from projections.projection import Log
from projections.runner import Runner
from projections.stopped import Stopped
from projections.table import CUSTOMER_SUMMARY, PROJECTIONS
from projections.table import ORDERS as ORDERS_V1
from projections.versions import (
    Denied,
    Verified,
    Versions,
    begun,
    in_state,
    promotable,
    promoted,
    retired,
    rolled_back,
    verified,
)
from streams.runtime.settings import Settings

T = "2026-11-23T10:00:00.000Z"
CLEAN = Verified(T, documents=9, differences=0)
ORDERS_V2 = replace(ORDERS_V1, version=2)


def deployed() -> Versions:
    """Version 1 live, version 2 built and kept up to date."""
    first, _ = begun(Versions("orders"), 1, T)
    live = promoted(in_state(first, 1, "following"), 1, T)
    second, version = begun(live, 1, T)
    assert version.number == 2
    return in_state(second, 2, "following")


def test_an_interrupted_build_continues_under_its_number():
    versions, first = begun(Versions("orders"), 1, T)
    again, second = begun(versions, 1, T)
    assert (first.number, second.number, again.newest) == (1, 1, 1)
    other, third = begun(again, 2, T)
    assert (third.number, third.shape, other.newest) == (2, 2, 2)


def test_only_a_built_and_verified_version_is_promoted():
    with pytest.raises(Denied, match="no version of orders to promote"):
        promotable(Versions("orders"))
    with pytest.raises(Denied, match="is not complete"):
        promotable(begun(Versions("orders"), 1, T)[0])
    with pytest.raises(Denied, match="was not verified"):
        promotable(deployed())
    with pytest.raises(Denied, match="differs from v1 in 3 documents"):
        promotable(verified(deployed(), 2, replace(CLEAN, differences=3)))
    with pytest.raises(Denied, match="has stopped: a gap"):
        promotable(in_state(deployed(), 2, "stopped", "a gap"), force=True)
    assert promotable(deployed(), force=True).number == 2
    assert promotable(verified(deployed(), 2, CLEAN)).number == 2


def test_the_first_version_needs_no_comparison():
    assert promotable(in_state(begun(Versions("new"), 1, T)[0], 1, "following")).number == 1


def test_rolling_back_returns_to_the_previous_version_while_it_is_kept_up_to_date():
    with pytest.raises(Denied, match="no version of orders to roll back to"):
        rolled_back(deployed(), T)
    switched = promoted(deployed(), 2, T)
    assert (switched.live, switched.previous) == (2, 1)
    assert (rolled_back(switched, T).live, rolled_back(switched, T).previous) == (1, 2)
    with pytest.raises(Denied, match="not kept up to date"):
        rolled_back(in_state(switched, 1, "stopped", "why"), T)


def test_the_live_version_is_neither_stopped_nor_retired():
    with pytest.raises(Denied, match="is live"):
        retired(deployed(), 1)
    with pytest.raises(Denied, match="is live"):
        in_state(deployed(), 1, "stopped")
    left = retired(promoted(deployed(), 2, T), 1)
    assert (left.live, left.previous, [version.number for version in left.versions]) == (2, None, [2])
    assert begun(left, 1, T)[1].number == 3


async def test_a_new_database_has_everything_live_and_an_old_one_what_had_progress(mongo: Mongo):
    registry = Registry(mongo)
    await write_progress(mongo, {(ORDERS_V1, (ORDERS, 0)): 4})
    await registry.bootstrap()
    assert {name: versions.live for name, versions in (await registry.read()).items()} == {"orders": 1}
    await mongo.collection("projections").delete_many({})
    await asyncio.gather(*(registry.bootstrap() for _ in range(4)))
    assert {name: versions.live for name, versions in (await registry.read()).items()} == dict.fromkeys(
        (one.name for one in PROJECTIONS), 1
    )


async def test_concurrent_changes_of_versions_are_all_kept(mongo: Mongo):
    registry = Registry(mongo)

    def count(versions: Versions) -> Versions:
        return replace(versions, newest=versions.newest + 1)

    await asyncio.gather(*(registry.change("orders", count) for _ in range(8)))
    after = await registry.get("orders")
    assert (after.newest, after.revision) == (8, 8)
    with pytest.raises(Denied, match="another process"):
        await registry.change("orders", count, revision=7)


async def test_queries_follow_the_live_version(mongo: Mongo, settings: Settings):
    registry, queries = Registry(mongo), Queries(mongo)
    live = LiveVersions(registry, queries)
    await live.refresh()
    batch = {(ORDERS, 0): records(*order_history("o-1", place(("boot", 1))))}
    await Runner(mongo, settings, [ORDERS_V2]).apply(batch)
    assert await queries.show("orders", "o-1") is None
    await registry.change("orders", lambda versions: promoted(in_state(begun(versions, 1, T)[0], 2, "following"), 2, T))
    await live.refresh()
    assert await queries.show("orders", "o-1") is not None
    assert await queries.version("orders", "o-1") == 1
    await registry.change("orders", lambda versions: rolled_back(versions, T))
    await live.refresh()
    assert await queries.show("orders", "o-1") is None


async def test_a_read_model_without_a_live_version_is_reported(mongo: Mongo):
    await write_progress(mongo, {(ORDERS_V1, (ORDERS, 0)): 4})
    queries = Queries(mongo)
    await LiveVersions(Registry(mongo), queries).refresh()
    with pytest.raises(NotDeployed, match="customer_summary is not live"):
        await queries.show("customer_summary", "c-1")


# --- a version beside the live one


async def orders_of(mongo: Mongo, version: int) -> dict[str, int]:
    return {each["_id"]: each["sequence"] async for each in mongo.collection(f"orders_v{version}").find()}


async def test_a_version_that_is_behind_gets_only_missing_events(mongo: Mongo, settings: Settings):
    batch = {(ORDERS, 0): records(*order_history("o-1", place(("boot", 1)), Hold(reason="?")))}
    await Runner(mongo, settings, [ORDERS_V1]).apply(batch)
    both = Runner(mongo, settings, [ORDERS_V1, ORDERS_V2])
    assert await both.positions(batch) == {(ORDERS, 0): 0}
    await mongo.collection("orders_v1").delete_many({})  # this would be a gap if any event were applied to it again
    await both.apply(batch)
    assert (await orders_of(mongo, 1), await orders_of(mongo, 2)) == ({}, {"o-1": 2})
    assert await both.positions(batch) == {(ORDERS, 0): 2}


def broken(_: Any) -> Any:
    raise RuntimeError("a bug in the new version")


BUGS = {
    "an event it cannot fold": replace(ORDERS_V2, models=(replace(ORDERS_V2.models[0], fold=lambda *_: broken(_)),)),
    "an entry it cannot make": replace(ORDERS_V2, logs={"order_events": Log(lambda *_: broken(_))}),
    "a document it cannot render": replace(ORDERS_V2, models=(replace(ORDERS_V2.models[0], document_of=broken),)),
}


@pytest.mark.parametrize("bug", BUGS)
async def test_a_bug_in_another_version_stops_that_version_alone(mongo: Mongo, settings: Settings, bug: str):
    first, second = order_history("o-1", place(("boot", 1)), Hold(reason="?"))
    runner = Runner(mongo, settings)
    runner.follow([ORDERS_V1, BUGS[bug]], {BUGS[bug].id})
    await runner.apply({(ORDERS, 0): records(first)})
    assert "a bug in the new version" in runner.failed[BUGS[bug]]
    await runner.apply({(ORDERS, 0): records(second, first=1)})
    assert await orders_of(mongo, 1) == {"o-1": 2}
    assert runner.followed == [ORDERS_V1]


async def test_the_same_bug_in_the_live_version_stops_the_partition(mongo: Mongo, settings: Settings):
    runner = Runner(mongo, settings, [BUGS["an event it cannot fold"]])
    with pytest.raises(Stopped, match="a bug in the new version"):
        await runner.apply({(ORDERS, 0): records(*order_history("o-1", place(("boot", 1))))})


async def test_a_document_that_is_too_large_stops_its_partition_at_its_event(mongo: Mongo, settings: Settings):
    large = replace(
        ORDERS_V1,
        logs={
            "order_events": Log(
                lambda message, _: {"_id": message.id, "x": "x" * (17 << 20 if message.sequence == 3 else 1)}
            )
        },
    )
    history = order_history("o-1", place(("boot", 1)), *(Hold(reason=str(n)) for n in range(5)))
    others = {(ORDERS, 1): records(*order_history("o-2", place(("boot", 1))))}
    runner = Runner(mongo, settings, [large])
    with pytest.raises(Stopped, match="too large for MongoDB") as stopped:
        await runner.apply({(ORDERS, 0): records(*history), **others})
    assert [(stop.partition, stop.offset) for stop in stopped.value.stops] == [(0, 2)]
    assert await orders_of(mongo, 1) == {"o-1": 2, "o-2": 1}
    assert await runner.positions([(ORDERS, 0)]) == {(ORDERS, 0): 2}
    await runner.apply(
        {(ORDERS, 0): records(*history[2:], first=2)}, {(ORDERS, 0): {2}}
    )  # skipped because an operator asked for it
    assert await orders_of(mongo, 1) == {"o-1": 6, "o-2": 1}


async def test_a_recreated_topic_is_refused(mongo: Mongo, settings: Settings):
    batch = {(ORDERS, 0): records(*order_history("o-1", place(("boot", 1))))}
    await Runner(mongo, settings, topic_ids={ORDERS: "the first"}).apply(batch)
    assert await Runner(mongo, settings, topic_ids={ORDERS: "the first"}).positions(batch) == {(ORDERS, 0): 1}
    with pytest.raises(AnotherTopic, match=r"order-events .* deleted and created again.*topics adopt"):
        await Runner(mongo, settings, topic_ids={ORDERS: "another"}).positions(batch)


# --- sums


async def test_the_orders_of_a_customer_on_all_partitions_are_summed(mongo: Mongo, settings: Settings):
    await create_indexes(mongo, [CUSTOMER_SUMMARY])
    runner, queries = Runner(mongo, settings), Queries(mongo)
    first = records(*order_history("o-1", place(("boot", 2), ("hat", 1))), *order_history("o-2", place(("hat", 4))))
    second = [
        replace(each, partition=1)
        for each in records(*order_history("o-3", place(("hat", 1)), Hold(reason="?"), minute=9))
    ]
    for _ in range(2):  # the second time as a worker with an empty cache
        await Runner(mongo, settings).apply({(ORDERS, 0): first, (ORDERS, 1): second})
        await runner.apply({(ORDERS, 0): first, (ORDERS, 1): second})
    shown = await queries.show("customer_summary", "alice")
    assert shown is not None
    assert shown[0] == {
        "id": "alice",
        "customerId": "alice",
        "orders": 3,
        "units": 8,
        "spend": [{"currency": "EUR", "value": "100.00"}],
        "lastOrder": {"id": "o-3", "time": "2026-11-23T10:09:00.000Z"},
    }
    assert await queries.show("customer_summary", "nobody") is None
    assert len(await mongo.collection("customer_summary_v1").find().to_list(None)) == 2


async def test_a_sum_beyond_64_bits_stops_nothing_and_is_exact(mongo: Mongo, settings: Settings):
    """Ten thousand orders with the largest total are enough."""
    await create_indexes(mongo, [CUSTOMER_SUMMARY])
    history = [records(*order_history(f"o-{n}", place(("boot", 2))), first=n)[0] for n in range(3)]
    await Runner(mongo, settings).apply({(ORDERS, 0): history[:1]})
    summaries = mongo.collection("customer_summary_v1")
    await summaries.update_one({}, {"$set": {"spend.EUR": 2**63 - 1, "units": 2**63 - 1}})
    for one in history[1:]:  # read again in between, as stored
        await Runner(mongo, settings).apply({(ORDERS, 0): [one]})
    shown = await Queries(mongo).show("customer_summary", "alice")
    assert shown is not None
    total = 2**63 - 1 + 2 * 2_500
    assert shown[0]["spend"] == [{"currency": "EUR", "value": f"{total // 100}.{total % 100:02}"}]
    assert (shown[0]["orders"], shown[0]["units"]) == (3, str(2**63 + 3))  # text: exact for every reader
    await Runner(mongo, settings).apply({(ORDERS, 0): history})


async def test_sums_are_the_same_one_by_one_and_all_at_once(mongo: Mongo, settings: Settings):
    histories = [order_history(f"o-{n}", place(("boot", n + 1)), minute=n) for n in range(5)]
    batch = records(*(message for history in histories for message in history))
    for record in batch:
        await Runner(mongo, settings, [CUSTOMER_SUMMARY]).apply({(ORDERS, 0): [record]})
    one_by_one = await mongo.collection("customer_summary_v1").find().to_list(None)
    await mongo.collection("customer_summary_v1").delete_many({})
    await Runner(mongo, settings, [CUSTOMER_SUMMARY]).apply({(ORDERS, 0): batch})
    assert await mongo.collection("customer_summary_v1").find().to_list(None) == one_by_one
    assert [(each["orders"], each["units"]) for each in one_by_one] == [(5, 15)]


# --- leases


async def test_two_processes_cannot_hold_the_same_lease(mongo: Mongo):
    async with lease(mongo, "replay"):
        with pytest.raises(Leased, match=r"process \d+ on .* has been doing this since"):
            async with lease(mongo, "replay"):
                pass
        async with lease(mongo, "another"):
            pass
    async with lease(mongo, "replay"):
        pass


async def test_the_lease_of_a_dead_process_expires(mongo: Mongo):
    async with lease(mongo, "replay"):
        await mongo.collection("leases").update_one({"_id": "replay"}, {"$set": {"pid": 2**22 + 1, "owner": "dead"}})
        async with lease(mongo, "replay"):
            assert (await mongo.collection("leases").find_one({"_id": "replay"}))["owner"] != "dead"
