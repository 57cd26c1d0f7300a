"""The runner on a real MongoDB: whatever is repeated, cut off or missing, the documents are those of the log."""

from typing import Any

from projection_histories import (
    ORDERS,
    OUTCOMES,
    STOCK,
    allocate,
    order_history,
    outcome,
    place,
    records,
    stock_history,
)

from domain.inventory.commands import ReceiveStock, ReserveStock, ShipStock
from domain.orders.commands import CreateShipment
from projections.mongo.client import Mongo
from projections.runner import Runner
from projections.table import PROJECTIONS
from streams.settings import Settings

ORDER = order_history("o-1", place(("boot", 3), ("hat", 1)), allocate("1", 3), allocate("2", 1), CreateShipment())
BOOTS = stock_history(
    "boot",
    ReceiveStock(quantity=10),
    ReserveStock(order_id="o-1", line_id="1", quantity=3, order_version=1),
    ShipStock(order_id="o-1", line_id="1", shipped=3, order_version=4),
)
EVERYTHING = {
    (ORDERS, 0): records(*ORDER),
    (STOCK, 1): records(*BOOTS),
    (OUTCOMES, 2): records(outcome("c-1"), outcome("c-2", status="rejected", code="NOT_ALLOCATED", details={"a.b": 1})),
}
NAMES = [one.collection(name) for one in PROJECTIONS for name in one.collections]


async def dump(mongo: Mongo) -> dict[str, list[dict[str, Any]]]:
    return {name: await mongo.collection(name).find().sort("_id").to_list(None) for name in NAMES}


async def test_everything_gets_its_document(mongo: Mongo, runner: Runner):
    await runner.apply(EVERYTHING)
    counted = {name: len(documents) for name, documents in (await dump(mongo)).items()}
    assert counted == {
        "orders_v1": 1,
        "customer_orders_v1": 1,
        "work_queue_v1": 1,
        "order_events_v1": 4,
        "inventory_v1": 1,
        "reservations_v1": 1,
        "stock_ledger_v1": 3,
        "commands_v1": 2,
    }


async def test_applied_twice_nothing_changes(mongo: Mongo, runner: Runner, settings: Settings):
    await runner.apply(EVERYTHING)
    before = await dump(mongo)
    await runner.apply(EVERYTHING)
    await Runner(mongo, settings).apply(EVERYTHING)
    assert await dump(mongo) == before
