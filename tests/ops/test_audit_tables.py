"""Compare tables with the events, with the real page of a worker and real entries."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Self

import aiohttp
import pytest
from aiohttp import web
from audit_world import Audit, World, histories, place
from helpers_ops import some_ports
from msgspec.structs import replace

from domain.inventory.commands import ReceiveStock
from domain.orders.commands import Hold
from ops.audit.compare_tables import TableComparison
from ops.audit.report import Kind
from ops.audit.tables import Workers
from ops.stack import state
from ops.stack.state import Process, Stack
from streams.keys import segment
from streams.runtime.settings import Settings
from tables import orders, stock
from tables.orders import OrderEntry
from tables.stock import QueuePlace, StockEntry

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
        self.histories = histories(LOGS[role], world.logs[LOGS[role]], self.report)
        self.comparison = TableComparison(workers, role, self.histories)

    async def compared(self) -> Self:
        await self.comparison.compare(list(self.histories.sound()))
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


async def test_where_no_worker_runs_a_note_says_so(tmp_path: Path, world: World) -> None:
    async with aiohttp.ClientSession() as session:
        audit = await TableAudit(Workers(Settings(data=tmp_path), session), "orders", world).compared()
    await asyncio.wait_for(audit.when_compared_again(), 60)
    audit.when_time_is_up().then_clean()
    assert "was not compared" in audit.report.notes[0]
