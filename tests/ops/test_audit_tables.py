"""Compare tables with the events, with the real page of a worker and real entries."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import aiohttp
import msgspec
import pytest
from aiohttp import web
from audit_world import TIME, Audit, World, histories, place
from helpers_ops import some_ports
from msgspec.structs import replace

from domain.inventory.commands import ReceiveStock, ReserveStock
from domain.orders.commands import CancelOrder, Hold
from ops.audit import compare_tables
from ops.audit.buckets import Buckets
from ops.audit.compare_tables import TableComparison
from ops.audit.documents import Documents
from ops.audit.groups import LIMIT, Groups
from ops.audit.partition import PartitionAudit
from ops.audit.patience import Patience
from ops.audit.report import Kind, Report
from ops.audit.tables import Workers
from ops.kafka import records
from ops.kafka.records import BulkRecord
from ops.stack import state
from ops.stack.state import Process, Stack
from projections.table import ORDERS
from streams.keys import segment
from streams.runtime.settings import Settings
from tables import orders, stock
from tables.orders import ArchivedEntry, OrderEntry
from tables.stock import QueuePlace, StockEntry
from tables.timers import TIMER, entry_of, timer_key

Entries = dict[bytes, Any]
ORDER = "o/1 ü"  # ids are encoded in keys
LOGS = {"orders": "order", "inventory": "inventory"}  # by the role whose table is compared with them


@pytest.fixture
def world() -> World:
    world = World()
    world.stock("boots", ReceiveStock(quantity=5))
    world.order(ORDER, place(boots=4))
    world.order("o-2", place(boots=4))
    return world


def table(role: str, world: World) -> Entries:
    """Return the table that a worker of a role keeps."""
    return order_table(world) if role == "orders" else stock_table(world)


def order_table(world: World) -> Entries:
    versions = {key: sum(m.key == key for m in world.logs["order"]) for key in world.orders}
    return {segment(key): OrderEntry(order, versions[key]) for key, order in world.orders.items()}


def stock_table(world: World) -> Entries:
    lines = world.shelves["boots"].reservations.values()
    entries: Entries = {b"boots": StockEntry(world.shelves["boots"].stock, len(world.logs["inventory"]))}
    for line in lines:
        entries[b"boots/%b/%b" % (segment(line.order_id), segment(line.line_id))] = line
        if line.place is not None:
            entries[b"boots//%d" % line.place] = QueuePlace(line.order_id, line.line_id)
    return entries


def without(entries: Entries, lost: bytes) -> Entries:
    return {key: entry for key, entry in entries.items() if key != lost}


Serve = Callable[[str, Entries], Workers]


@pytest.fixture
async def serve(tmp_path: Path) -> AsyncIterator[Serve]:
    """Serve entries as a worker of a role does, and return a client for them."""
    (port,), served = some_ports(1), bytearray(b"")

    async def page(request: web.Request) -> web.Response:
        return web.Response(body=bytes(served))

    runner = web.AppRunner(app := web.Application())
    app.router.add_get("/entries", page)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    async with aiohttp.ClientSession() as session:

        def start(role: str, entries: Entries) -> Workers:
            codec = orders.CODEC if role == "orders" else stock.CODEC
            served[:] = b'{"key":"/input","value":{"offset":7,"topic_id":"t"}}\n'
            for key, value in entries.items():
                served.extend(b'{"key":"%b","value":%b}\n' % (key, codec.encode(value)))
            process = Process(name=f"{role}-0", role=role, port=port)
            state.write(Stack(pid=1, host="127.0.0.1", processes=[process]), tmp_path)
            return Workers(Settings(data=tmp_path), session)

        yield start
    await runner.cleanup()


class TableAudit(Audit):
    """The audit of a role's table, compared with the events so far."""

    def __init__(self, workers: Workers, role: str, world: World) -> None:
        super().__init__()
        self.log = list(world.logs[LOGS[role]])
        self.histories = histories(LOGS[role], self.log, self.report)
        self.comparison = TableComparison(workers, role, self.histories)

    async def compared(self) -> Self:
        with Groups(0, Path("unused")) as groups:
            for message in self.log:
                groups.add_event(message.key.encode(), BulkRecord(None, message.encode(), 0, 0, 0))
            await self.comparison.collect(groups)
            for group in groups:
                assert {json.loads(event.value or b"")["subject"] for event in group.events} <= {group.id.decode()}
                self.comparison.look(group.id.decode(), group.entries)
        return self

    async def when_compared_again(self) -> Self:
        await self.comparison.compare_again()
        return self

    def when_time_is_up(self) -> Self:
        self.comparison.give_up()
        return self

    def when_the_events_end(self) -> Self:
        self.histories.give_up()
        return self


AuditTable = Callable[[str, Entries], Awaitable[TableAudit]]


@pytest.fixture
def audit_table(serve: Serve, world: World) -> AuditTable:
    """Compare entries of a role's table with the events of `world`."""
    return lambda role, entries: TableAudit(serve(role, entries), role, world).compared()


@pytest.mark.parametrize("role", ["orders", "inventory"])
async def test_a_table_as_its_role_keeps_it_is_clean(audit_table: AuditTable, world: World, role: str) -> None:
    audit = await audit_table(role, table(role, world))
    audit.then_clean().then_checked("table entries", len(world.orders if role == "orders" else world.shelves))
    assert audit.comparison.behind == {}


async def test_an_order_that_differs_is_found(audit_table: AuditTable, world: World) -> None:
    entries = order_table(world)
    held = replace(entries[b"o-2"], state=replace(entries[b"o-2"].state, hold="why"))
    (await audit_table("orders", {**entries, b"o-2": held})).then_drift(Kind.TABLE, "o-2")


async def test_an_order_that_is_missing_or_behind_is_found_in_the_end(audit_table: AuditTable, world: World) -> None:
    entries = order_table(world)
    behind = replace(entries[b"o-2"], version=1)
    audit = await audit_table("orders", {**without(entries, segment(ORDER)), b"o-2": behind})
    assert audit.comparison.waits
    audit.then_clean().when_time_is_up().then_drift(Kind.TABLE, ORDER, "o-2")


async def test_an_order_that_was_behind_and_got_there_is_clean(
    audit_table: AuditTable, serve: Serve, world: World
) -> None:
    audit = await audit_table("orders", {})
    serve("orders", order_table(world))
    (await audit.when_compared_again()).when_time_is_up().then_clean()


async def test_an_order_that_was_behind_is_read_again_however_long_folding_took(
    audit_table: AuditTable, serve: Serve, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr(compare_tables, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    audit = await audit_table("orders", {})
    clock[0] = 1_000.0
    assert audit.comparison.waits
    serve("orders", without(order_table(world), b"o-2"))
    await audit.when_compared_again()
    assert not audit.comparison.waits
    audit.then_clean().when_time_is_up().then_drift(Kind.TABLE, "o-2")


class NoDocuments(Documents):
    """A projection without documents that has handled everything."""

    async def handled(self, topic: str, partition: int) -> int:
        return 1_000


async def test_an_order_that_was_behind_is_read_again_although_projections_used_up_the_patience(
    serve: Serve, world: World, tmp_path: Path
) -> None:
    documents = NoDocuments(None, ORDERS, report := Report())  # type: ignore[arg-type]
    audit = PartitionAudit(
        Settings(data=tmp_path, partitions=1), documents, serve("orders", {}), report, 0, 0, 0, lambda steps: None,
        Patience(SimpleNamespace(value=0.0)), Buckets(tmp_path, 1), tmp_path / "spill", LIMIT,
    )  # fmt: skip
    for offset, message in enumerate(world.logs["order"]):
        audit.histories.apply(message, offset)
    with Groups(0, tmp_path / "spill") as groups, records.Log(audit.settings, audit.topic, {}) as log:
        await audit._table.collect(groups)
        for key in world.orders:
            audit._table.look(key, [])
        serve("orders", order_table(world))
        await audit._settle(log)
    assert report.drifts == []
    assert report.checked["table entries"] == len(world.orders)


async def test_more_orders_behind_than_are_read_again_are_in_flight(
    audit_table: AuditTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compare_tables, "MOST_BEHIND", 1)
    audit = (await audit_table("orders", {})).then_clean().when_time_is_up()
    audit.then_drift(Kind.TABLE, ORDER)
    assert audit.report.in_flight["table entries"] == 1


async def test_an_order_ahead_of_the_log_is_judged_where_the_log_gets_there(serve: Serve, world: World) -> None:
    read, audit = len(world.logs["order"]), TableAudit(serve("orders", {}), "orders", world)
    world.order("o-2", Hold(reason="fraud check"))
    world.order("o-3", place(boots=1))
    serve("orders", order_table(world))
    await audit.compared()
    assert audit.histories.expects
    for offset, message in enumerate(world.logs["order"][read:], start=read):
        audit.histories.apply(message, offset)
    assert not audit.histories.expects
    audit.then_clean().then_checked("table entries", len(world.orders))


async def test_an_order_whose_events_are_not_in_the_log_is_found(audit_table: AuditTable, world: World) -> None:
    entries = order_table(world)
    audit = await audit_table("orders", {**entries, b"invented": entries[b"o-2"]})
    audit.when_the_events_end().then_drift(Kind.TABLE, "invented")


@pytest.mark.parametrize("lost", [b"boots/o-2/1", b"boots//0"], ids=["reservation", "place"])
async def test_a_lost_reservation_or_place_is_found(audit_table: AuditTable, world: World, lost: bytes) -> None:
    entries = stock_table(world)
    assert lost in entries
    (await audit_table("inventory", without(entries, lost))).then_drift(Kind.TABLE, "boots")


WRONG: dict[bytes, Callable[[Any], Any]] = {
    b"boots": lambda entry: replace(entry, state=replace(entry.state, balance=replace(entry.state.balance, on_hand=6))),
    b"boots/o-2/1": lambda line: replace(line, waiting=line.waiting + 1),
    b"boots//0": lambda place: replace(place, line_id="2"),
}


@pytest.mark.parametrize("key", WRONG, ids=bytes.decode)
async def test_stock_that_differs_is_found(audit_table: AuditTable, world: World, key: bytes) -> None:
    entries = stock_table(world)
    (await audit_table("inventory", {**entries, key: WRONG[key](entries[key])})).then_drift(Kind.TABLE, "boots")


@pytest.mark.parametrize("key", [b"boots/o-9/1", b"boots//7"], ids=["reservation", "place"])
async def test_an_entry_without_events_is_found(audit_table: AuditTable, world: World, key: bytes) -> None:
    entries = stock_table(world)
    like = entries[b"boots//0" if b"//" in key else b"boots/o-2/1"]
    other = like if b"//" in key else replace(like, order_id="o-9")
    (await audit_table("inventory", {**entries, key: other})).then_drift(Kind.TABLE, "boots")


async def test_an_order_with_its_fields_in_another_order_is_clean(audit_table: AuditTable, world: World) -> None:
    entry = order_table(world)[b"o-2"]
    written = orders.CODEC.encode(entry)
    turned = msgspec.json.encode(dict(reversed(json.loads(written).items())))
    assert turned != written
    (await audit_table("orders", {**order_table(world), b"o-2": msgspec.Raw(turned)})).then_clean()


SOON, LATER = "2026-11-27T12:00:00.000Z", "2026-11-28T12:00:00.000Z"


def timed(role: str, world: World) -> tuple[str, Entries, bytes]:
    """Return the key of an aggregate with a deadline, the table that contains it, and the key of its timer."""
    if role == "orders":
        world.order("o/3", replace(place(boots=1), ship_by=SOON), Hold(hold_id="h", until=LATER))
        entry = segment("o/3")
    else:
        world.stock("boots", ReserveStock(order_id="a", line_id="x y", quantity=1, expires_at=SOON), settle=False)
        entry = b"boots/a/x%20y"
    return ("o/3" if role == "orders" else "boots"), table(role, world), timer_key(SOON, entry)


@pytest.mark.parametrize("role", ["orders", "inventory"])
async def test_an_entry_with_a_deadline_has_a_timer(serve: Serve, world: World, role: str) -> None:
    key, entries, timer = timed(role, world)
    audit = await TableAudit(serve(role, {**entries, timer: TIMER}), role, world).compared()
    audit.then_clean()
    other = timer_key(LATER, entry_of(timer))
    for wrong in ({}, {other: TIMER}, {timer: TIMER, other: TIMER}):
        audit = await TableAudit(serve(role, {**entries, **wrong}), role, world).compared()
        audit.then_drift(Kind.TABLE, key)


@pytest.mark.parametrize(("role", "left"), [("orders", b"gone"), ("orders", b"o-2"), ("inventory", b"gone/a/1")])
async def test_a_timer_without_a_reason_is_found(audit_table: AuditTable, world: World, role: str, left: bytes) -> None:
    audit = await audit_table(role, {**table(role, world), timer_key(SOON, left): TIMER})
    audit.then_drift(Kind.TABLE, left.decode().partition("/")[0])


async def test_an_archived_order_has_a_small_entry_and_no_other_has(audit_table: AuditTable, world: World) -> None:
    world.order(ORDER, CancelOrder())
    before = order_table(world)
    world.archive(ORDER)
    version = sum(message.key == ORDER for message in world.logs["order"])
    small = {segment(ORDER): ArchivedEntry.of((3, 9), version, TIME)}
    (await audit_table("orders", before | small)).then_clean()
    whole = {segment(ORDER): OrderEntry(world.orders[ORDER], version)}
    (await audit_table("orders", before | whole)).then_drift(Kind.TABLE, ORDER)
    other = {segment("o-2"): ArchivedEntry.of((), before[segment("o-2")].version, TIME)}
    (await audit_table("orders", before | small | other)).then_drift(Kind.TABLE, "o-2")


async def test_where_no_worker_runs_a_note_says_so(tmp_path: Path, world: World) -> None:
    async with aiohttp.ClientSession() as session:
        audit = await TableAudit(Workers(Settings(data=tmp_path), session), "orders", world).compared()
    await asyncio.wait_for(audit.when_compared_again(), 60)
    audit.when_time_is_up().then_clean()
    assert "was not compared" in audit.report.notes[0]
