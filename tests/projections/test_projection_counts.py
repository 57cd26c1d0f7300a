"""The counts on the dashboard, from a real MongoDB: correct numbers, from indexes alone."""

import pytest
from projection_histories import ORDERS, STOCK, allocate, order_history, place, records, stock_history

from domain.inventory.commands import ReceiveStock, ReserveStock
from domain.orders.commands import CancelOrder, Hold
from domain.orders.status import OrderStatus
from projections.mongo.client import Mongo
from projections.mongo.counts import PRODUCTS, SHOWN, STATUSES, WAITING, counts
from projections.mongo.queries import Queries
from projections.runner import Runner

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


async def test_counting_reads_no_documents(queries: Queries, mongo: Mongo):
    await mongo.database.command("profile", 2)
    await counts(queries)
    await mongo.database.command("profile", 0)
    asked = await mongo.collection("system.profile").find({"command.aggregate": {"$exists": True}}).to_list(None)
    assert len(asked) == len((*STATUSES, *WAITING, "pickable", "onHold", *PRODUCTS, "shortTotal"))
    for question in asked:
        assert question["planSummary"].startswith("COUNT_SCAN"), question["command"]["pipeline"]
        assert question["docsExamined"] == 0
    short = await mongo.collection("system.profile").find_one({"command.find": {"$exists": True}})
    assert short is not None
    assert short["docsExamined"] == SHOWN
    assert not short.get("hasSortStage")
