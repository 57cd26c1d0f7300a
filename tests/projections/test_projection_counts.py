"""The counts on the dashboard, from a real MongoDB: kept as they change, exactly once."""

import asyncio
from dataclasses import replace
from itertools import zip_longest
from typing import Any

import pytest
from projection_histories import ORDERS, STOCK, Record, allocate, order_history, place, records, stock_history

from domain.inventory.commands import ReceiveStock, ReserveStock
from domain.orders.commands import CancelOrder, CreateShipment, Hold, Release
from domain.orders.status import OrderStatus
from projections.mongo.client import Mongo
from projections.mongo.counts import OF_ARCHIVED, PRODUCTS, SHOWN, STATUSES, WAITING, counts
from projections.mongo.indexes import indexes_of
from projections.mongo.queries import Queries
from projections.runner import Runner
from projections.table import OLDER_SHAPES
from projections.table import ORDERS as TODAY
from streams.runtime import faults
from streams.runtime.settings import Settings

SHORT = SHOWN + 2  # in products


@pytest.fixture
async def queries(mongo: Mongo, runner: Runner) -> Queries:
    """Twenty orders: half have their stock, two of those are on hold, and three are cancelled. Product n lacks n + 1
    units."""
    histories = [
        order_history(
            f"o-{n:02}",
            place(("boot", 1)),
            *([allocate("boot", 1)] if n % 2 else []),
            *([Hold(reason="" if n == 5 else "?")] if n in (5, 15) else []),
            *([CancelOrder(reason="?")] if n in (2, 4, 7) else []),
        )
        for n in range(20)
    ]
    stocks = [
        stock_history(
            f"p-{n:02}",
            ReceiveStock(quantity=1),
            ReserveStock(order_id="o-00", line_id="1", quantity=n + 2, order_version=1),
        )
        for n in range(SHORT)
    ]
    await runner.apply(
        {
            (ORDERS, 0): records(*(message for history in histories for message in history)),
            (STOCK, 0): records(*(message for history in stocks for message in history)),
        }
    )
    return Queries(mongo)


async def test_counts_by_state_are_correct(queries: Queries):
    found = await counts(queries)
    assert found["orders"]["total"] == 20
    assert found["orders"]["byStatus"] == dict.fromkeys(OrderStatus, 0) | {"REGISTERED": 17, "CANCELLED": 3}
    assert found["orders"]["byAllocation"] == {"PENDING": 8, "BACKORDERED": 0, "PARTIALLY_ALLOCATED": 0}
    assert (found["orders"]["pickable"], found["orders"]["onHold"]) == (7, 2)


async def test_the_products_with_most_waiting_units_are_named_and_all_are_counted(queries: Queries):
    products = (await counts(queries))["products"]
    assert [each["backorderedQuantity"] for each in products["short"]] == list(range(SHORT, SHORT - SHOWN, -1))
    assert products["shortTotal"] == SHORT


async def test_counts_are_read_from_one_document_per_partition(queries: Queries, mongo: Mongo):
    await mongo.database.command("profile", 2)
    await counts(queries)
    await mongo.database.command("profile", 0)
    asked = await mongo.collection("system.profile").find({"op": {"$in": ["query", "command"]}}).to_list(None)
    read = {each["ns"].partition(".")[2]: each for each in asked}
    assert set(read) == {"order_counts_v1", "product_counts_v1", "inventory_v1"}
    assert [read[name]["docsExamined"] for name in ("order_counts_v1", "product_counts_v1")] == [1, 1]
    assert read["inventory_v1"]["docsExamined"] == SHOWN
    assert not read["inventory_v1"].get("hasSortStage")


async def test_a_shape_without_tallies_is_counted_from_indexes_alone(queries: Queries, mongo: Mongo):
    expected = await counts(queries)
    for older in OLDER_SHAPES[-2:]:
        for name in older.collections:
            await mongo.collection(f"{name}_v1").create_indexes(indexes) if (indexes := indexes_of(older, name)) else 0
    await mongo.database.command("profile", 2)
    assert await counts(Queries(mongo, OLDER_SHAPES[-2:])) == expected
    await mongo.database.command("profile", 0)
    asked = await mongo.collection("system.profile").find({"command.aggregate": {"$exists": True}}).to_list(None)
    kinds = (*STATUSES, *WAITING, "pickable", "onHold", "late", *PRODUCTS, "shortTotal")
    assert len(asked) == len((*kinds, *OF_ARCHIVED))
    for question in asked:
        assert question["planSummary"].startswith("COUNT_SCAN"), question["command"]["pipeline"]
        assert question["docsExamined"] == 0


async def tallies(mongo: Mongo) -> dict[str, Any]:
    return {each["_id"]: each["counts"] for each in await mongo.collection("order_counts_v1").find().to_list(None)}


def changing() -> list[Record]:
    """Return the events of orders that change kinds, of two orders in turns."""
    one = order_history("o-1", place(("boot", 2)), Hold(reason="?"), Release(), allocate("boot", 2), CreateShipment())
    two = order_history("o-2", place(("boot", 1)), allocate("boot", 1), CancelOrder(reason="?"))
    return records(*(message for pair in zip_longest(one, two) for message in pair if message is not None))


AFTER = {"0": {"status/SHIPPED": 1, "allocationStatus/ALLOCATED": 1, "status/CANCELLED": 1}}


@pytest.mark.parametrize("point", ["loaded", "folded", "logs-written", "documents-written", "progress-stored"])
async def test_counts_stay_correct_wherever_a_projector_is_interrupted(mongo: Mongo, settings: Settings, point: str):
    batch, at = changing(), (ORDERS, 0)
    for written in range(1, len(batch) + 1):
        for name in ("orders_v1", "order_events_v1", "order_counts_v1", "projections"):
            await mongo.collection(name).delete_many({})
        await Runner(mongo, settings, [TODAY]).apply({at: batch[: written // 2]})
        try:
            faults.arm(f"raise:{point}", "projector-0")
            with pytest.raises(faults.Injected):
                await Runner(mongo, settings, [TODAY]).apply({at: batch[written // 2 : written]})
        finally:
            faults.ARMED.clear()
        again = Runner(mongo, settings, [TODAY])
        begin = (await again.positions([at]))[at]
        for end in (begin + 1, len(batch)):  # in other batches than before
            await again.apply({at: batch[begin:end]})
            begin = end
        assert await tallies(mongo) == AFTER, f"interrupted at {written}"


async def test_counts_stay_correct_while_two_projectors_have_the_partition(mongo: Mongo, settings: Settings):
    batch, at = changing(), (ORDERS, 0)
    old, new = Runner(mongo, settings, [TODAY]), Runner(mongo, settings, [TODAY])
    await old.apply({at: batch[:2]})
    await new.apply({at: batch[2:5]})  # it took over the partition, and the old one does not know yet
    await old.apply({at: batch[2:7]})
    await new.apply({at: batch[5:]})
    await old.apply({at: batch[7:]})
    assert await tallies(mongo) == AFTER
    await asyncio.gather(*(Runner(mongo, settings, [TODAY]).apply({at: batch}) for _ in range(3)))
    assert await tallies(mongo) == AFTER


async def test_each_partition_has_its_own_tally(mongo: Mongo, settings: Settings):
    batch = changing()
    await Runner(mongo, settings).apply(
        {(ORDERS, number): [replace(each, partition=number) for each in batch if number or each.key == b"o-1"]
         for number in (0, 3)}
    )  # fmt: skip
    assert await tallies(mongo) == {"0": {"status/SHIPPED": 1, "allocationStatus/ALLOCATED": 1}, "3": AFTER["0"]}
    found = await counts(Queries(mongo))
    assert found["orders"]["byStatus"] == dict.fromkeys(OrderStatus, 0) | {"SHIPPED": 2, "CANCELLED": 1}
    assert found["orders"]["total"] == 3
