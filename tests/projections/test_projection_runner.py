"""The runner on a real MongoDB: whatever is repeated, interrupted or missing, the documents match the log."""

import asyncio
import json
from dataclasses import replace
from datetime import datetime
from functools import reduce
from pathlib import Path
from typing import Any

import orjson
import pytest
from msgspec import structs
from projection_histories import (
    ORDERS,
    OUTCOMES,
    STOCK,
    Record,
    allocate,
    order_history,
    outcome,
    place,
    records,
    stock_history,
)
from pymongo.errors import PyMongoError

from domain.inventory.commands import ReceiveStock, ReserveStock, ShipStock
from domain.orders.commands import CreateShipment, Hold, Release
from projections import commands, orders, pipeline
from projections.mongo import client
from projections.mongo.client import Mongo
from projections.mongo.progress import write_progress
from projections.mongo.queries import Queries
from projections.pipeline import Folding
from projections.runner import Runner
from projections.stopped import Stopped
from projections.table import INVENTORY, PROJECTIONS, shape_of
from streams.messages.envelope import EventMessage, Outcome
from streams.runtime import faults
from streams.runtime.settings import Settings

ORDER = order_history("o-1", place(("boot", 3), ("hat", 1)), allocate("boot", 3), allocate("hat", 1), CreateShipment())
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
LAST = {one.collection(model.collection) for one in PROJECTIONS for model in one.models if model.gapless}


async def dump(mongo: Mongo) -> dict[str, list[dict[str, Any]]]:
    return {name: await mongo.collection(name).find().sort("_id").to_list(None) for name in NAMES}


async def test_every_event_gets_its_document(mongo: Mongo, runner: Runner):
    await runner.apply(EVERYTHING)
    counted = {name: len(documents) for name, documents in (await dump(mongo)).items()}
    expected = {
        "orders_v1": 1,
        "order_events_v1": len(ORDER),
        "order_counts_v1": 1,
        "inventory_v1": 1,
        "product_counts_v1": 1,
        "reservations_v1": 1,
        "stock_ledger_v1": len(BOOTS),
        "commands_v1": 2,
        "customer_summary_v1": 1,
    }
    assert {name: counted[name] for name in expected} == expected


async def test_applying_twice_has_no_effect(mongo: Mongo, runner: Runner, settings: Settings):
    await runner.apply(EVERYTHING)
    before = await dump(mongo)
    await runner.apply(EVERYTHING)
    await Runner(mongo, settings).apply(EVERYTHING)
    assert await dump(mongo) == before


async def test_one_by_one_gives_the_same_documents_as_all_at_once(mongo: Mongo, runner: Runner, settings: Settings):
    await runner.apply(EVERYTHING)
    at_once = await dump(mongo)
    for name in NAMES:
        await mongo.collection(name).delete_many({})
    forgetful = Runner(mongo, settings)
    for at_partition, batch in EVERYTHING.items():
        for record in batch:
            await forgetful.apply({at_partition: [record]})
            forgetful.forget_all()
    assert await dump(mongo) == at_once


@pytest.mark.parametrize("lost", NAMES)
async def test_a_batch_interrupted_before_its_progress_is_completed(mongo: Mongo, settings: Settings, lost: str):
    await Runner(mongo, settings).apply(EVERYTHING)
    whole = await dump(mongo)
    owner = next(one for one in PROJECTIONS if lost.removesuffix("_v1") in one.collections)
    for name in {lost, owner.collection(owner.name), "projections"}:  # `orders` and `inventory` are written last
        await mongo.collection(name).delete_many({})
    again = Runner(mongo, settings)
    assert await again.positions(EVERYTHING) == dict.fromkeys(EVERYTHING, 0)
    await again.apply(EVERYTHING)
    assert await dump(mongo) == whole


@pytest.mark.parametrize("history", [(ORDERS, ORDER), (STOCK, BOOTS)], ids=["orders", "inventory"])
async def test_an_interrupted_batch_is_completed_by_a_longer_one(
    mongo: Mongo, settings: Settings, history: tuple[str, list[EventMessage]]
):
    topic, messages = history
    batch, at = records(*messages), (topic, 0)
    await Runner(mongo, settings).apply({at: batch})
    whole = await dump(mongo)
    for begun in range(len(batch)):
        for written in range(begun + 1, len(batch) + 1):
            for name in (*NAMES, "projections"):
                await mongo.collection(name).delete_many({})
            first = Runner(mongo, settings)
            if begun:
                await first.apply({at: batch[:begun]})
            progress = await mongo.collection("projections").find().to_list(None)
            await first.apply({at: batch[begun:written]})
            await mongo.collection("projections").delete_many({})  # as if it had been killed before storing it
            if progress:
                await mongo.collection("projections").insert_many(progress)
            again = Runner(mongo, settings)
            assert await again.positions([at]) == {at: begun}
            await again.apply({at: batch[begun:]})
            assert await dump(mongo) == whole, f"begun at {begun}, written up to {written}"


@pytest.mark.parametrize(("point", "last"), [("logs-written", False), ("documents-written", True)])
async def test_the_last_documents_follow_all_others_and_the_progress_follows_them(
    mongo: Mongo, settings: Settings, point: str, last: bool
):
    try:
        faults.arm(f"raise:{point}", "projector-0")
        with pytest.raises(faults.Injected):
            await Runner(mongo, settings).apply(EVERYTHING)
    finally:
        faults.ARMED.clear()
    there = {name for name, documents in (await dump(mongo)).items() if documents}
    assert await mongo.collection("projections").find().to_list(None) == []
    await (again := Runner(mongo, settings)).apply(EVERYTHING)
    cut_off = await dump(mongo)
    assert there == {name for name, documents in cut_off.items() if documents} - (set() if last else LAST)
    assert await again.positions(EVERYTHING) == {at: batch[-1].offset + 1 for at, batch in EVERYTHING.items()}
    for name in NAMES:
        await mongo.collection(name).delete_many({})
    await Runner(mongo, settings).apply(EVERYTHING)
    assert await dump(mongo) == cut_off


async def test_a_large_batch_is_folded_in_shares_while_others_are_written(
    mongo: Mongo, runner: Runner, monkeypatch: pytest.MonkeyPatch
):
    steps: list[str] = []
    fold, write = Folding.run, pipeline.insert

    def noted_fold(folding: Folding) -> None:
        steps.append("fold")
        fold(folding)

    async def noted_write(*arguments: Any, **options: Any) -> None:
        steps.append("write")
        await write(*arguments, **options)

    monkeypatch.setattr(Folding, "run", noted_fold)
    monkeypatch.setattr(pipeline, "insert", noted_write)
    monkeypatch.setattr("projections.runner.SHARE", 2)
    histories = [order_history(f"o-{number}", place(("boot", 1)), allocate("boot", 1)) for number in range(8)]
    await runner.apply(
        {
            (ORDERS, number): [replace(each, partition=number) for each in records(*history)]
            for number, history in enumerate(histories)
        }
    )
    projections = [one for one in PROJECTIONS if one.topic.name == ORDERS]
    assert steps.count("fold") == 8 * len(projections), "each partition once in each projection of its topic"
    assert steps.index("write") < len(steps) - steps[::-1].index("fold") - 4, steps
    assert await mongo.collection("orders_v1").count_documents({"sequence": 2}) == 8
    summaries = await mongo.collection("customer_summary_v1").find().to_list(None)
    assert sum(each["orders"] for each in summaries) == 8


async def test_a_projector_continues_from_its_progress(mongo: Mongo, runner: Runner, settings: Settings):
    await runner.apply({(ORDERS, 0): records(*ORDER, first=7)})
    reached = await Runner(mongo, settings).positions([(ORDERS, 0), (ORDERS, 1), ("dead-letters", 0)])
    assert reached == {(ORDERS, 0): 11, (ORDERS, 1): 0, ("dead-letters", 0): 0}


async def test_progress_never_decreases(mongo: Mongo, runner: Runner):
    await write_progress(mongo, {(INVENTORY, (STOCK, 0)): 9})
    await write_progress(mongo, {(INVENTORY, (STOCK, 0)): 4})
    assert await runner.positions([(STOCK, 0)]) == {(STOCK, 0): 9}


async def test_a_gap_stops_its_partition_and_no_other(mongo: Mongo, runner: Runner):
    holed = records(*ORDER[:1], *order_history("o-2", place(("hat", 1))), *ORDER[2:])
    with pytest.raises(Stopped) as stopped:
        await runner.apply({**EVERYTHING, (ORDERS, 0): holed})
    (stop,) = stopped.value.stops
    assert (stop.topic, stop.partition, stop.offset) == (ORDERS, 0, 2)
    assert "o-1 is at 1, and event 3 follows" in stop.reason
    documents = await dump(mongo)
    assert {one["_id"]: one["sequence"] for one in documents["orders_v1"]} == {"o-1": 1, "o-2": 1}
    assert len(documents["stock_ledger_v1"]) == len(BOOTS)
    assert len(documents["commands_v1"]) == 2
    assert (await runner.positions([(ORDERS, 0), (STOCK, 1)])) == {(ORDERS, 0): 2, (STOCK, 1): 3}


async def test_a_stopped_partition_continues_once_the_event_exists(mongo: Mongo, runner: Runner):
    with pytest.raises(Stopped):
        await runner.apply({(ORDERS, 0): records(ORDER[0], ORDER[2])})
    await runner.apply({(ORDERS, 0): records(*ORDER[1:], first=1)})
    assert (await dump(mongo))["orders_v1"][0]["sequence"] == 4


@pytest.mark.parametrize("poison", [b"no JSON", b'{"type":"OrderTeleported","data":{}}', b"{}"])
async def test_an_unreadable_event_stops_its_partition(mongo: Mongo, runner: Runner, poison: bytes):
    good, bad = records(*ORDER[:2])
    with pytest.raises(Stopped) as stopped:
        await runner.apply({(ORDERS, 0): [good, replace(bad, value=poison)], (STOCK, 1): records(*BOOTS)})
    assert [stop.offset for stop in stopped.value.stops] == [1]
    documents = await dump(mongo)
    assert [one["sequence"] for one in documents["orders_v1"]] == [1]
    assert [one["sequence"] for one in documents["inventory_v1"]] == [3]


async def test_an_event_that_cannot_have_happened_stops_its_partition(runner: Runner):
    twice = structs.replace(ORDER[0], sequence=2)
    with pytest.raises(Stopped, match="CorruptHistory"):
        await runner.apply({(ORDERS, 0): records(ORDER[0], twice)})


async def test_writes_of_another_worker_are_neither_undone_nor_missed(mongo: Mongo, runner: Runner, settings: Settings):
    batch = records(*ORDER)
    await runner.apply({(ORDERS, 0): batch[:1]})
    await Runner(mongo, settings).apply({(ORDERS, 0): batch[1:3]})  # the partition was assigned elsewhere for a while
    await runner.apply({(ORDERS, 0): batch[1:2]})  # a write of a zombie, older than the current document
    assert (await dump(mongo))["orders_v1"][0]["sequence"] == 3
    await runner.apply({(ORDERS, 0): batch[3:]})  # continues from the stored document, not from the cached one
    await Runner(mongo, settings).apply({(ORDERS, 0): batch})
    assert (await dump(mongo))["orders_v1"][0]["sequence"] == 4


async def test_two_concurrent_workers_end_with_the_same_documents(mongo: Mongo, settings: Settings):
    await asyncio.gather(*(Runner(mongo, settings).apply(EVERYTHING) for _ in range(4)))
    together = await dump(mongo)
    for name in NAMES:
        await mongo.collection(name).delete_many({})
    await Runner(mongo, settings).apply(EVERYTHING)
    assert await dump(mongo) == together


async def test_an_unreachable_database_loses_no_events(
    settings: Settings, mongo: Mongo, runner: Runner, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(client, "SERVER_SELECTION_MS", 50)
    nowhere = Mongo(Settings(mongo="mongodb://127.0.0.1:9"))
    away = Runner(nowhere, settings)
    with pytest.raises(PyMongoError):
        await away.apply(EVERYTHING)
    await nowhere.close()
    away._mongo = mongo
    await away.apply(EVERYTHING)
    counted = await dump(mongo)
    assert len(counted["orders_v1"]) == 1
    assert len(counted["order_events_v1"]) == 4


async def test_another_version_is_built_beside_the_live_one(mongo: Mongo, settings: Settings, runner: Runner):
    await runner.apply(EVERYTHING)
    newer = Runner(mongo, settings, [replace(one, version=2) for one in PROJECTIONS])
    assert await newer.positions([(ORDERS, 0)]) == {(ORDERS, 0): 0}
    await newer.apply(EVERYTHING)
    for name in NAMES:
        beside = name.replace("_v1", "_v2")
        assert await mongo.collection(beside).count_documents({}) == await mongo.collection(name).count_documents({})


async def test_topics_have_the_prefix_of_the_installation(mongo: Mongo, mongo_uri: str):
    runner = Runner(mongo, Settings(mongo=mongo_uri, prefix="shop."))
    await runner.apply({("shop." + ORDERS, 0): records(*ORDER), (ORDERS, 0): records(*ORDER)})
    assert await runner.positions([("shop." + ORDERS, 0), (ORDERS, 0)]) == {("shop." + ORDERS, 0): 4, (ORDERS, 0): 0}


async def test_the_first_outcome_of_a_command_stays(mongo: Mongo, runner: Runner):
    await runner.apply({(OUTCOMES, 0): records(outcome("c-1"))})
    await runner.apply({(OUTCOMES, 0): records(outcome("c-1", status="rejected", code="NOT_ALLOCATED"), first=1)})
    assert (await dump(mongo))["commands_v1"][0]["status"] == "accepted"


@pytest.mark.parametrize("batches", [1, 2, 4])
async def test_a_retryable_rejection_is_replaced_by_the_final_outcome(mongo: Mongo, runner: Runner, batches: int):
    again = {"status": "rejected", "code": "ALLOCATION_PENDING", "retryable": True}
    said = [outcome("c-1", **again), outcome("c-1", **again), outcome("c-1"), outcome("c-1", **again)]
    size = len(said) // batches
    for _ in range(2):  # and read again from the beginning
        for first in range(0, len(said), size):
            await runner.apply({(OUTCOMES, 0): records(*said[first : first + size], first=first)})
    (document,) = await mongo.collection("commands_v1").find().to_list(None)
    assert (document["status"], document["retryable"]) == ("accepted", False)


async def test_a_rejection_that_no_aggregate_remembers_is_replaced_by_a_later_decision(mongo: Mongo, runner: Runner):
    refused = {"status": "rejected", "code": "ORDER_NOT_FOUND", "version": 0, "command_source": "shop"}
    said = [outcome("c-1", **refused), outcome("c-1", command_source="shop"), outcome("c-1", **refused)]
    await runner.apply({(OUTCOMES, 0): records(*said)})
    (document,) = await mongo.collection("commands_v1").find().to_list(None)
    assert (document["status"], document["code"]) == ("accepted", None)


async def test_every_outcome_of_an_id_is_kept_and_found(mongo: Mongo, runner: Runner, settings: Settings):
    reused = {"status": "rejected", "code": "COMMAND_ID_REUSED", "details": {}}
    said = [
        outcome("c-1"),  # written by older code
        outcome("c-1", command_source="shop"),
        outcome("c-1", command_source="shop", aggregate_id="o-2"),
        outcome("c-1", command_source="web"),
        outcome("c-1", command_source="web", aggregate="inventory"),
        outcome("c-1", command_source="web", **reused),
    ]
    neighbours = [outcome(each, command_source="web") for each in ("c-", "c-1a", "c-1/web", "c-10", "c", "c-1 ")]
    for _ in range(2):  # and read again from the beginning
        await runner.apply({(OUTCOMES, 0): records(*said, *neighbours)})
        found = await Queries(mongo).outcomes(["c-1"])
        assert sorted((each.get("source", ""), each["aggregate"], each["aggregateId"], each["code"]) for each in found
                      if each["code"] is None) == [
            ("", "order", "o-1", None), ("shop", "order", "o-1", None), ("shop", "order", "o-2", None),
            ("web", "inventory", "o-1", None), ("web", "order", "o-1", None),
        ]  # fmt: skip
        assert [each["code"] for each in found if each["code"]] == ["COMMAND_ID_REUSED"]


def test_outcomes_of_older_code_keep_their_documents():
    written = json.loads((Path(__file__).parents[1] / "agents/written/0.1-one-product-one-order.json").read_text())
    for aggregate in written.values():
        for value, document in zip(aggregate["outcomes"], aggregate["commands"], strict=True):
            kept = Record(b"", value.encode(), 0, timestamp=1_763_000_000_123)
            made = commands.entry(Outcome.decode(value.encode()), kept)
            assert made == {**document, "_expiresAt": datetime.fromisoformat(document["_expiresAt"])}
            assert commands.outcome_of(made) == Outcome.decode(value.encode())


@pytest.mark.parametrize("shape", [1, 2])
async def test_events_of_older_code_that_share_an_id_are_both_in_the_history(
    mongo: Mongo, settings: Settings, shape: int
):
    projection = shape_of("orders", shape)
    assert projection is not None
    runner, queries = Runner(mongo, settings, [projection]), Queries(mongo, [projection])
    history = order_history("o-1", place(("boot", 1)), Hold(reason="a"), Release(), Hold(reason="b"))
    history[3] = structs.replace(history[3], id=history[1].id)
    for _ in range(2):  # and read again from the beginning
        await runner.apply({(ORDERS, 0): records(*history[:3])})
        await runner.apply({(ORDERS, 0): records(*history)})
        runner.forget_all()
    entries = orjson.loads(orjson.dumps((await queries.page("order_events", {"orderId": "o-1"})).documents))
    assert [(each["sequence"], each["type"], each["id"][:36]) for each in entries] == [
        (message.sequence, message.type, message.id) for message in history
    ]
    for version in (2, 3, 4):
        view = reduce(orders.fold, await queries.history("o-1", version), None)
        assert view is not None
        assert view.version == version
