"""The changelogs of all tables are deleted and rebuilt from the events, without any visible effect."""

import asyncio
import json
import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

from confluent_kafka.admin import AdminClient
from kafka import await_message, messages, produce
from msgspec.structs import replace
from system import FULFILLMENT, Api, System, wait_until

from ops.kafka.adopt import READERS
from tables.entries import Position
from tables.restore import restore

MINE = f"lost-{uuid4().hex[:6]}"
CHANGELOGS = [reader.changelog.name for reader in READERS]


async def test_lost_changelogs_are_rebuilt(system: System, api: Api) -> None:
    await populate(system, api)
    await asyncio.to_thread(system.quiet)
    before, events = await entries(system), own_events(system)
    running = await asyncio.to_thread(system.run, "replay", "tables", "--rebuild", check=False)
    assert (running.returncode, "are running (the state of their group is" in running.stderr) == (1, True)
    async with without_workers(system):
        await asyncio.to_thread(lose, system)
        lost = await asyncio.to_thread(start_orders, system)
        found = await asyncio.to_thread(system.run, "replay", "tables", "--verify", check=False)
        done = await asyncio.to_thread(system.run, "replay", "tables", "--rebuild", check=False)
        after = await entries(system)
    assert lost.returncode == 78
    assert "it was lost. Stop the workers and rebuild it with `fulfillment replay tables --rebuild`" in lost.stderr
    assert found.returncode == 1
    assert "Not rebuilt: rejections older than" in done.stdout
    assert {key: after.get(key) for key in before} == before
    await asyncio.to_thread(send_again, system)
    await asyncio.to_thread(system.quiet)
    assert own_events(system) == events
    audited = json.loads((await asyncio.to_thread(system.run, "audit", "--json", check=False)).stdout)
    assert [drift for drift in audited["drift"] if MINE in drift["key"] or drift["kind"] == "table"] == []


@asynccontextmanager
async def without_workers(system: System) -> AsyncIterator[None]:
    """Run only the servers; afterwards everything, because other tests share the system."""
    roles = system.env.get("FULFILLMENT_ROLES")
    await asyncio.to_thread(system.down)
    system.env["FULFILLMENT_ROLES"] = ""
    await asyncio.to_thread(system.up)
    try:
        yield
    finally:
        await asyncio.to_thread(system.down)
        if roles is None:
            del system.env["FULFILLMENT_ROLES"]
        else:
            system.env["FULFILLMENT_ROLES"] = roles
        await asyncio.to_thread(system.up)


async def populate(system: System, api: Api) -> None:
    """Make orders with reservations, backorders, shipments and rejections, and commands to be sent twice."""
    await api.stock(f"{MINE}-boots", 5)
    first = await api.place((f"{MINE}-boots", 3), orderId=f"{MINE}-1")
    await api.order(first["id"], lambda order: order["allocationStatus"] == "ALLOCATED")
    await api("POST", f"/orders/{MINE}-1/shipments", {"lines": [{"lineId": "1", "quantity": 3}]})
    refused, _, _ = await api("DELETE", f"/orders/{MINE}-1")
    assert refused == 422
    waiting = await api.place((f"{MINE}-boots", 4), orderId=f"{MINE}-2")
    await api.order(waiting["id"], lambda order: order["allocationStatus"] == "PARTIALLY_ALLOCATED")
    await api("POST", f"/inventory/{MINE}-boots/allocate", {"orderId": f"{MINE}-by-hand", "quantity": 1})
    send_again(system)
    await_message(system.settings, "command-outcomes", lambda outcome: outcome["causationid"] == f"{MINE}-held")


def send_again(system: System) -> None:
    """Send commands with their own ids, like a producer that retries after no answer."""
    received = {"id": f"{MINE}-received", "type": "ReceiveStock", "data": {"quantity": 1}}
    produce(system.settings, "inventory-commands", f"{MINE}-other", received)
    held = {"id": f"{MINE}-held", "type": "Hold", "data": {"reason": "fraud check"}}
    produce(system.settings, "order-commands", f"{MINE}-2", held)


def own_events(system: System) -> list[Any]:
    found = [
        message
        for topic in ("order-events", "inventory-events")
        for message in messages(system.settings, topic, lambda event: MINE in event["subject"])
    ]
    return sorted(found, key=lambda event: (event["source"], event["subject"], event["sequence"]))


async def entries(system: System) -> dict[tuple[str, int, bytes], Any]:
    """Return this test's entries of all tables, and all positions."""
    found: dict[tuple[str, int, bytes], Any] = {}
    for reader in READERS:
        tables = await restore(system.settings, reader.changelog.name, range(system.settings.partitions), reader.codec)
        for number, table in tables.items():
            for key in table.rows.keys(b""):
                if MINE.encode() in key or key.startswith((b"/order", b"/inventory")):
                    found[reader.role, number, key] = _entry(table.get(key))
    assert len(found) > 10
    return found


def _entry(entry: Any) -> Any:
    """Return an entry; without `fulfils` of a position, which a rebuild cannot know."""
    return replace(entry, fulfils=False) if isinstance(entry, Position) else entry


def lose(system: System) -> None:
    """Delete the changelogs, and create them empty, as the next start would."""
    admin = AdminClient({"bootstrap.servers": system.settings.kafka})
    for deleted in admin.delete_topics(CHANGELOGS, operation_timeout=120).values():
        deleted.result(120)
    wait_until(lambda: not set(CHANGELOGS) & admin.list_topics(timeout=120).topics.keys(), "the topics to be gone")
    system.run("topics", "create")


def start_orders(system: System) -> subprocess.CompletedProcess[str]:
    """Run a worker until it refuses to start."""
    port = {"FULFILLMENT_WORKER_PORT": str(system.settings.http_port + 9)}
    return subprocess.run(
        [*FULFILLMENT, "worker", "orders"],
        env=os.environ | system.env | port,
        capture_output=True,
        text=True,
        timeout=120,
    )
