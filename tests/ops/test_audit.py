"""`fulfillment audit` on the real system: clean after a mixed load; drifted documents are found and repaired."""

import asyncio
import json
from collections.abc import AsyncIterator
from itertools import count
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
from kafka import produce
from system import Api, System

from ops.audit.buckets import digest
from ops.audit.event_ids import report_same, suspects
from ops.audit.report import Drift, Kind, Report
from ops.audit.run import run
from ops.kafka import records
from projections.event_log import entry_id
from projections.mongo.client import Mongo
from projections.mongo.live import projections_of
from projections.mongo.registry import Registry
from projections.table import INVENTORY, ORDERS
from streams.messages.envelope import event_id
from streams.runtime.tasks import cancel
from streams.topic_setup import ensure_topics
from tables.entries import older_event_id

MINE = f"audit-{uuid4().hex[:6]}"


TALLIES = tuple(name for projection in (INVENTORY, ORDERS) for name in projection.tallies)


@pytest.fixture(scope="module", autouse=True)
def repaired(system: System) -> None:
    """Repair what other tests have damaged, so that counts, which include their orders, must be right from now on."""
    system.run("audit", "--repair", check=False)


async def audit(system: System, repair: bool = False) -> tuple[Report, list[Drift]]:
    """Return the report, and the drifts of the orders and products of this file, and of all counts."""
    report = await run(system.settings, repair)
    mine = [drift for drift in report.drifts if MINE in drift.key or MINE in drift.what]
    return report, mine + [drift for drift in report.drifts if drift.where.startswith(TALLIES)]


@pytest.fixture
async def mongo(system: System) -> AsyncIterator[Mongo]:
    mongo = Mongo(system.settings)
    yield mongo
    await mongo.close()


@pytest.fixture
async def live(mongo: Mongo) -> dict[str, str]:
    """Return the live collections by their names without version, because other tests promote versions."""
    projections = projections_of(await Registry(mongo).read())
    return {name: one.collection(name) for one in projections for name in one.collections}


async def shipped_in_part(api: Api) -> str:
    """Return a partly shipped order whose product also has a manual reservation and a backorder."""
    product, name = f"{MINE}-{uuid4().hex[:6]}", f"{MINE}-{uuid4().hex[:6]}"
    await api.stock(product, 5)
    await api.place((product, 4), orderId=name)
    await api.order(name, lambda order: order["allocationStatus"] == "ALLOCATED")
    await api("POST", f"/orders/{name}/shipments", {"lines": [{"lineId": "1", "quantity": 3}]})
    await api("POST", f"/inventory/{product}/allocate", {"orderId": f"{name}-by-hand", "quantity": 1})
    waiting = await api.place((product, 2), orderId=f"{name}-waiting")
    await api("POST", f"/inventory/{product}/adjust", {"delta": 1, "reason": "found"})
    cancelled = await api.place((product, 2))
    await api("DELETE", f"/orders/{cancelled['id']}")
    await api.order(waiting["id"], lambda order: order["items"][0]["allocated"] == 1)
    return name


async def orders(system: System, api: Api, count: int) -> list[str]:
    """Return this number of orders, with nothing in flight."""
    placed = [await shipped_in_part(api) for _ in range(count)]
    await asyncio.to_thread(system.quiet)
    return placed


async def test_a_mixed_load_is_clean_and_everything_was_looked_at(system: System, api: Api) -> None:
    await orders(system, api, 3)
    report, drifts = await audit(system)
    assert drifts == []
    assert not report.in_flight.total()
    assert report.notes == []
    looked_at = {"orders", "products", "lines", "reservations", "documents", "tallies", "table entries", "log entries"}
    assert {what for what, count in report.checked.items() if count} == looked_at
    assert report.events == report.checked["log entries"]


async def test_a_system_under_load_is_judged_fairly(system: System, api: Api) -> None:
    product, placed = f"{MINE}-busy", count(1)
    await api.stock(product, 1_000)

    async def load() -> None:
        while True:
            order = await api.place((product, 2), orderId=f"{MINE}-busy-{next(placed)}")
            await api("PUT", f"/orders/{order['id']}/status", {"status": "SHIPPED"})

    loads = [asyncio.create_task(load()) for _ in range(4)]
    for _ in range(3):
        _, drifts = await asyncio.to_thread(asyncio.run, audit(system))
        assert drifts == []
    assert next(placed) > len(loads), "the load did not continue"
    await asyncio.gather(*map(cancel, loads))
    assert {type(end) for end in await asyncio.gather(*loads, return_exceptions=True)} == {asyncio.CancelledError}
    await asyncio.to_thread(system.quiet)  # the last orders still change documents


CHANGES: dict[str, dict[str, Any]] = {
    "a changed status": {"$set": {"status": "DELIVERED"}},
    "a changed line": {"$set": {"_stockVersions.0": 77}},
    "a field removed": {"$unset": {"_json": 1}},
    "newer than the log": {"$set": {"sequence": 999}},
    "older than the log": {"$set": {"sequence": 1}},
    "no sequence": {"$unset": {"sequence": 1}},
}


async def test_changed_documents_are_found_and_repaired(
    system: System, api: Api, mongo: Mongo, live: dict[str, str]
) -> None:
    documents = mongo.collection(live["orders"])
    changed = dict(zip(CHANGES, await orders(system, api, len(CHANGES)), strict=True))
    before = {order: await documents.find_one({"_id": order}) for order in changed.values()}
    for change, order in changed.items():
        await documents.update_one({"_id": order}, CHANGES[change])
    await found_and_repaired(system, {(live["orders"], order) for order in changed.values()})
    assert {order: await documents.find_one({"_id": order}) for order in changed.values()} == before


async def test_a_wrong_tally_is_found_and_repaired(
    system: System, api: Api, mongo: Mongo, live: dict[str, str]
) -> None:
    await orders(system, api, 1)
    for name, kind in (("order_counts", "status/REGISTERED"), ("product_counts", "short")):
        tallies = mongo.collection(live[name])
        before = await tallies.find().sort("_id").to_list(None)
        await tallies.update_one({"_id": before[0]["_id"]}, {"$inc": {f"counts.{kind}": 1}})
        await tallies.delete_one({"_id": before[-1]["_id"]})
        report, _ = await audit(system, repair=True)
        drifted = {(drift.key, drift.repaired) for drift in report.drifts if drift.where == live[name]}
        assert drifted == {(before[0]["_id"], True), (before[-1]["_id"], True)}
        assert await tallies.find().sort("_id").to_list(None) == before


async def test_lost_documents_and_log_entries_are_found_and_repaired(
    system: System, api: Api, mongo: Mongo, live: dict[str, str]
) -> None:
    [order] = await orders(system, api, 1)
    found = await mongo.collection(live["orders"]).find_one({"_id": order})
    assert found
    product = json.loads(found["_json"])["items"][0]["productId"]
    event = await mongo.collection(live["order_events"]).find_one({"_id": entry_id(order, 2)})
    movement = await mongo.collection(live["stock_ledger"]).find_one({"_id": entry_id(product, 1)})
    assert event
    assert movement
    lost = {
        (live["orders"], order),
        (live["inventory"], product),
        (live["reservations"], f"{product}/{order}/1"),
        (live["order_events"], event["_id"]),
        (live["stock_ledger"], movement["_id"]),
    }
    for collection, identifier in lost:
        await mongo.collection(collection).delete_one({"_id": identifier})
    await found_and_repaired(system, lost)
    assert await mongo.collection(live["orders"]).find_one({"_id": order}) == found
    assert await mongo.collection(live["stock_ledger"]).find_one({"_id": movement["_id"]}) == movement


async def found_and_repaired(system: System, lost: set[tuple[str, str]]) -> None:
    """Audit, repair and audit again: the drift of `lost` is found, repaired, and no longer found."""
    report, _ = await audit(system)
    assert not report.clean
    assert {(drift.where, drift.key) for drift in report.drifts} >= lost
    report, _ = await audit(system, repair=True)
    assert {(drift.where, drift.key) for drift in report.drifts if drift.repaired} >= lost
    report, drifts = await audit(system)
    assert drifts == []
    assert not {(drift.where, drift.key) for drift in report.drifts} & lost


async def test_a_changed_log_entry_and_an_invented_document_on_the_command_line(
    system: System, api: Api, mongo: Mongo, live: dict[str, str]
) -> None:
    [order] = await orders(system, api, 1)
    events = mongo.collection(live["order_events"])
    before = await events.find_one({"_id": entry_id(order, 2)})
    assert before
    await events.update_one({"_id": before["_id"]}, {"$set": {"message": before["message"].replace("1", "2")}})
    await mongo.collection(live["orders"]).insert_one({"_id": f"{MINE}-invented", "sequence": 1})
    try:
        done = await asyncio.to_thread(system.run, "audit", "--repair", "--json", check=False)
    finally:
        await mongo.collection(live["orders"]).delete_one({"_id": f"{MINE}-invented"})
    found = {drift["key"]: drift for drift in json.loads(done.stdout)["drift"]}
    assert done.returncode == 1, "the invented document is left to people"
    assert (found[f"{MINE}-invented"]["what"], found[f"{MINE}-invented"]["repaired"]) == ("no event explains it", False)
    assert found[before["_id"]]["repaired"]
    assert await events.find_one({"_id": before["_id"]}) == before
    shown = await asyncio.to_thread(system.run, "audit", check=False)
    assert "compared" in shown.stdout


async def test_a_worker_shows_its_entries_a_partition_at_a_time(system: System, api: Api) -> None:
    order = await shipped_in_part(api)
    port = next(process["port"] for process in system.status()["processes"] if process["name"] == "orders-0")
    keys: list[str] = []
    async with aiohttp.ClientSession() as session:
        for partition in range(system.settings.partitions):
            async with session.get(f"http://127.0.0.1:{port}/entries?partition={partition}") as answer:
                keys += [json.loads(line)["key"] async for line in answer.content]
        async with session.get(f"http://127.0.0.1:{port}/entries?partition=99") as answer:
            all_partitions = list(range(system.settings.partitions))
            assert (answer.status, await answer.json()) == (404, {"partitions": all_partitions})
    assert order in keys
    assert len([key for key in keys if not key.startswith("/")]) == len(
        {key for key in keys if not key.startswith("/")}
    )


async def test_events_that_share_an_id_are_named_wherever_they_are(system: System) -> None:
    """Event ids of older releases were joined with a slash, and could occur twice."""
    settings = system.settings.model_copy(update={"prefix": f"{MINE}-ids-"})
    await ensure_topics(settings)
    ids, report = list[bytes](), Report()
    written = [
        ("order-events", "a", older_event_id("a", "b/c", 0), 1),
        ("order-events", "a/b", older_event_id("a/b", "c", 0), 1),
        ("inventory-events", "boots", older_event_id("boots", "again", 0), 1),
        ("inventory-events", "boots", event_id("inventory", "boots", 2), 2),
        ("inventory-events", "boots", older_event_id("boots", "again", 0), 3),
    ]
    for topic, key, identifier, sequence in written:
        value = {"id": identifier, "type": "Something", "sequence": sequence}
        await asyncio.to_thread(produce, settings, settings.named(topic), key, value)
        ids.append(digest(identifier))
    ends = {
        topic: await asyncio.to_thread(records.ends, settings, topic) for topic in ("inventory-events", "order-events")
    }
    await asyncio.to_thread(report_same, settings, ends, suspects(ids), report)
    boots, slash = sorted(report.drifts, key=lambda drift: drift.where)
    assert (boots.kind, boots.where, boots.key) == (Kind.EVENT_ID, "inventory-events", "boots")
    assert boots.what == (
        f"Something, sequence 3, of boots in inventory-events: its id {written[2][2]} is also the id of "
        "Something, sequence 1, of boots in inventory-events"
    )
    assert (slash.where, {slash.key} < {"a", "a/b"}) == ("order-events", True)
    assert slash.what.count(written[0][2]) == 1
    assert all(f"of {key} in" in slash.what for key in ("a", "a/b"))
