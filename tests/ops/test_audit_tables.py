"""Compare tables with the events, with the real page of a worker and real entries."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from audit_world import World, histories, place
from helpers_ops import some_ports
from msgspec.structs import replace

from domain.inventory.commands import ReceiveStock
from domain.orders.commands import Hold
from ops.audit.compare_tables import TableComparison
from ops.audit.report import Kind, Report
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


@pytest.fixture
def world() -> World:
    world = World()
    world.tell("inventory", "boots", ReceiveStock(quantity=5))
    world.tell("order", ORDER, place(("boots", 4)))
    world.tell("order", "o-2", place(("boots", 4)))
    return world


def order_entries(world: World) -> Entries:
    versions = {key: sum(m.key == key for m in world.logs["order"]) for key in world.orders}
    return {segment(key): OrderEntry(order, versions[key]) for key, order in world.orders.items()}


def stock_entries(world: World) -> Entries:
    lines = world.shelves["boots"].reservations.values()
    entries: Entries = {b"boots": StockEntry(world.shelves["boots"].stock, len(world.logs["inventory"]))}
    for line in lines:
        entries[b"boots/%b/%b" % (segment(line.order_id), segment(line.line_id))] = line
        if line.place is not None:
            entries[b"boots//%d" % line.place] = QueuePlace(line.order_id, line.line_id)
    return entries


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


async def compare(workers: Workers, role: str, world: World, report: Report) -> TableComparison:
    found = histories("order" if role == "orders" else "inventory", world.logs[KEY[role]], report)
    comparison = TableComparison(workers, role, found)
    await comparison.compare(list(found.sound()))
    return comparison


KEY = {"orders": "order", "inventory": "inventory"}


@pytest.mark.parametrize("role", ["orders", "inventory"])
async def test_a_table_as_its_role_keeps_it_is_clean(serve: Serve, world: World, role: str) -> None:
    report = Report()
    entries = order_entries(world) if role == "orders" else stock_entries(world)
    comparison = await compare(serve(role, entries), role, world, report)
    assert (report.drifts, comparison.behind) == ([], {})
    assert report.checked["table entries"] == (2 if role == "orders" else 1)


async def test_an_order_that_differs_is_found(serve: Serve, world: World) -> None:
    report, entries = Report(), order_entries(world)
    entries[b"o-2"] = replace(entries[b"o-2"], state=replace(entries[b"o-2"].state, hold="why"))
    await compare(serve("orders", entries), "orders", world, report)
    assert [(drift.kind, drift.key) for drift in report.drifts] == [(Kind.TABLE, "o-2")]


async def test_an_order_that_is_missing_or_behind_is_found_in_the_end(serve: Serve, world: World) -> None:
    report, entries = Report(), order_entries(world)
    entries[b"o-2"] = replace(entries[b"o-2"], version=1)
    del entries[segment(ORDER)]
    comparison = await compare(serve("orders", entries), "orders", world, report)
    assert comparison.waits
    assert report.drifts == []
    comparison.give_up()
    assert {drift.key for drift in report.drifts} == {ORDER, "o-2"}


async def test_an_order_that_was_behind_and_got_there_is_clean(serve: Serve, world: World) -> None:
    report, entries = Report(), order_entries(world)
    comparison = await compare(serve("orders", {}), "orders", world, report)
    serve("orders", entries)
    await comparison.compare_again()
    comparison.give_up()
    assert report.drifts == []


async def test_an_order_ahead_of_the_log_is_judged_where_the_log_gets_there(serve: Serve, world: World) -> None:
    report, read = Report(), len(world.logs["order"])
    found = histories("order", list(world.logs["order"]), report)
    world.tell("order", "o-2", Hold(reason="fraud check"))
    world.tell("order", "o-3", place(("boots", 1)))
    comparison = TableComparison(serve("orders", order_entries(world)), "orders", found)
    await comparison.compare(list(found.sound()))
    assert found.expects
    for offset, message in enumerate(world.logs["order"][read:], start=read):
        found.apply(message, offset)
    assert not found.expects
    assert report.drifts == []
    assert report.checked["table entries"] == 3


async def test_an_order_whose_events_are_not_in_the_log_is_found(serve: Serve, world: World) -> None:
    report, entries = Report(), order_entries(world)
    entries[b"invented"] = entries[b"o-2"]
    comparison = await compare(serve("orders", entries), "orders", world, report)
    comparison.histories.give_up()
    assert [drift.key for drift in report.drifts] == ["invented"]


@pytest.mark.parametrize("lost", [b"boots/o-2/1", b"boots//0"])
async def test_a_lost_reservation_or_place_is_found(serve: Serve, world: World, lost: bytes) -> None:
    report, entries = Report(), stock_entries(world)
    del entries[lost]
    await compare(serve("inventory", entries), "inventory", world, report)
    assert [(drift.kind, drift.key) for drift in report.drifts] == [(Kind.TABLE, "boots")]


async def test_where_no_worker_runs_a_note_says_so(tmp_path: Path, world: World) -> None:
    report = Report()
    async with aiohttp.ClientSession() as session:
        comparison = await compare(Workers(Settings(data=tmp_path), session), "orders", world, report)
    await asyncio.wait_for(comparison.compare_again(), 1)
    comparison.give_up()
    assert report.drifts == []
    assert "was not compared" in report.notes[0]
