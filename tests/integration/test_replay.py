"""A restart of the whole stack loses nothing; the command topics read again from offset zero change nothing."""

import asyncio
from typing import Any

from kafka import messages, reset_to_zero
from system import Api, System

EVENTS = ("order-events", "inventory-events")
COMMANDS = {"orders": ("order-commands",), "inventory": ("inventory-commands",), "fulfilment": EVENTS}


async def contents(system: System, api: Api) -> dict[str, Any]:
    """Return all events and the read models' answers, once the system is quiet."""
    await asyncio.to_thread(system.quiet)
    found: dict[str, Any] = {topic: messages(system.settings, topic) for topic in EVENTS}
    for path in ("/orders?limit=500", "/inventory?limit=500", "/work-queue?limit=500"):
        status, answer, _ = await api("GET", path)
        assert status == 200
        found[path] = sorted(answer["data"], key=lambda document: document["id"])
    return found


async def populate(api: Api) -> None:
    """Place orders in every state, one of them short of stock."""
    await api.stock("replayed", 7)
    for number in range(3):
        placed = await api.place(("replayed", 2), orderId=f"replayed-{number}")
        await api.order(placed["id"], lambda order: order["allocationStatus"] == "ALLOCATED")
    await api.place(("replayed", 2), orderId="replayed-short")
    await api("PUT", "/orders/replayed-0/status", {"status": "SHIPPED"})
    await api("PUT", "/orders/replayed-1/status", {"status": "SHIPPED"})
    await api("PUT", "/orders/replayed-1/status", {"status": "DELIVERED"})
    await api("DELETE", "/orders/replayed-2")
    short = await api.order("replayed-short", lambda order: order["allocationStatus"] == "ALLOCATED")
    assert short["items"][0]["allocated"] == 2  # what the cancelled one gave back


async def test_nothing_is_lost_and_nothing_happens_twice(system: System, api: Api) -> None:
    await populate(api)
    before = await contents(system, api)
    await asyncio.to_thread(system.down)
    without_workers = system.env.get("FULFILLMENT_ROLES")
    system.env["FULFILLMENT_ROLES"] = ""
    await asyncio.to_thread(system.up)
    for group, topics in COMMANDS.items():
        await asyncio.to_thread(reset_to_zero, system.settings, group, *topics)
    await asyncio.to_thread(system.down)
    if without_workers is None:
        del system.env["FULFILLMENT_ROLES"]
    await asyncio.to_thread(system.up)
    after = await contents(system, api)
    for what, found in before.items():
        assert after[what] == found, f"{what} changed"
