"""`fulfillment replay tables --verify` compares the last value of each entry, in one process and in several."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest
from audit_world import World, place
from confluent_kafka import Producer
from msgspec.structs import replace
from system import System

from domain.inventory.commands import ReceiveStock
from domain.orders.commands import CreateShipment
from ops.audit.groups import LIMIT
from ops.audit.report import Kind, Report
from ops.kafka.adopt import READERS
from ops.progress import Advance
from ops.replay.tables import verify
from ops.workspace import LOCK
from projections.table import INVENTORY, ORDERS
from streams.kafka.partitions import partition_of
from streams.keys import segment
from streams.runtime.settings import Settings
from streams.topic_setup import ensure_topics
from tables import orders, stock
from tables.orders import OrderEntry
from tables.stock import QueuePlace, StockEntry

Rows = list[tuple[str, bytes, bytes | None]]  # id of the aggregate, key, value
CHANGELOGS = {reader.role: reader.changelog.name for reader in READERS}
HOW = [(1, LIMIT), (2, 0)]  # processes, and bytes that each keeps in memory
_numbers = count(1)


class Steps:
    """A progress display that only counts."""

    total = done = 0

    @contextmanager
    def __call__(self, what: str, total: int) -> Iterator[Advance]:
        self.total = total

        def advance(steps: int = 1) -> None:
            self.done += steps

        yield advance


@pytest.fixture(scope="module")
def world() -> World:
    world = World()
    world.stock("boots", ReceiveStock(quantity=7))
    for number in range(12):
        world.order(f"o-{number}", place(boots=1))
    world.order("o-1", CreateShipment(shipment_id="parcel"))
    return world


def order_rows(world: World) -> Rows:
    """Return what a worker of the orders role writes: each order once per event."""
    rows: Rows = []
    for key, order in world.orders.items():
        events = sum(message.key == key for message in world.logs["order"])
        for version in range(1, events + 1):
            state = order if version == events else replace(order, customer_id="before")
            rows.append((key, segment(key), orders.CODEC.encode(OrderEntry(state, version))))
    return rows


def stock_rows(world: World) -> Rows:
    """Return what a worker of the inventory role writes, with a place in the queue that was deleted."""
    shelf, events = world.shelves["boots"], len(world.logs["inventory"])
    rows: Rows = [("boots", b"boots//77", stock.CODEC.encode(QueuePlace("o-1", "1"))), ("boots", b"boots//77", None)]
    rows.append(("boots", b"boots", stock.CODEC.encode(StockEntry(shelf.stock, events))))
    for line in shelf.reservations.values():
        key = b"boots/%b/%b" % (segment(line.order_id), segment(line.line_id))
        rows.append(("boots", key, stock.CODEC.encode(line)))
        if line.place is not None:
            queued = QueuePlace(line.order_id, line.line_id)
            rows.append(("boots", b"boots//%d" % line.place, stock.CODEC.encode(queued)))
    return rows


@pytest.fixture
async def settings(system: System, tmp_path: Path) -> Settings:
    """Return an installation of its own, with empty topics."""
    mine = {"prefix": f"verify-{next(_numbers)}-", "data": tmp_path}
    settings = system.settings.model_copy(update=mine)
    await ensure_topics(settings)
    return settings


async def write(settings: Settings, world: World, rows: dict[str, Rows]) -> None:
    """Write the events of `world`, and rows of the changelogs, by role."""
    producer = Producer({"bootstrap.servers": settings.kafka})
    written = [(CHANGELOGS[role], row) for role, some in rows.items() for row in some]
    for projection, log in ((ORDERS, "order"), (INVENTORY, "inventory")):
        of = projection.topic.name
        written += [(of, (each.key, each.key.encode(), each.encode())) for each in world.logs[log]]
    for topic, (owner, key, value) in written:
        number = partition_of(owner.encode(), settings.partitions)
        producer.produce(settings.named(topic), value, key, number)
    assert await asyncio.to_thread(producer.flush, 120) == 0


async def verified(settings: Settings, processes: int, limit: int) -> Report:
    """Compare the tables; check that the progress ends, and that nothing is left on the disk."""
    steps = Steps()
    report = await asyncio.to_thread(verify, settings, steps, limit=limit, processes=processes)
    assert steps.done == steps.total > 0
    assert [each.name for each in (settings.data / "verify").iterdir()] == [LOCK]
    return report


async def test_the_last_value_of_each_entry_is_compared(settings: Settings, world: World) -> None:
    await write(settings, world, {"orders": order_rows(world), "inventory": stock_rows(world)})
    for processes, limit in HOW:
        report = await verified(settings, processes, limit)
        assert report.drifts == []
        assert report.events == sum(map(len, world.logs.values()))
        assert report.checked["table entries"] == len(world.orders) + 1
        assert report.checked["positions"] == len(READERS) * settings.partitions


async def test_entries_that_differ_are_found(settings: Settings, world: World) -> None:
    rows = {"orders": order_rows(world), "inventory": stock_rows(world)}
    changed = OrderEntry(replace(world.orders["o-2"], customer_id="eve"), 2)
    rows["orders"] += [
        ("o-2", b"o-2", orders.CODEC.encode(changed)),
        ("o-3", b"o-3", None),
        ("invented", b"invented", orders.CODEC.encode(changed)),
    ]
    rows["inventory"] = [row for row in rows["inventory"] if row[1] != b"boots/o-4/1"]
    await write(settings, world, rows)
    for processes, limit in HOW:
        report = await verified(settings, processes, limit)
        found = {(drift.kind, drift.key) for drift in report.drifts}
        assert found == {(Kind.TABLE, key) for key in ("o-2", "o-3", "invented", "boots")}
        assert not report.in_flight.total()
