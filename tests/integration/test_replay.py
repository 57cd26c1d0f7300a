"""A restart of the whole stack loses nothing, and reading the command topics again from offset zero has no effect.

This includes commands that were sent twice, or to another partition than their aggregate's.
"""

import asyncio
from typing import Any

from kafka import messages, produce, reset_to_zero
from system import ADDRESS, Api, System, wait_until

EVENTS = ("order-events", "inventory-events")
COMMANDS = {"orders": ("order-commands",), "inventory": ("inventory-commands",)}


LINE = {"productId": "replayed", "quantity": 1, "price": {"amount": 1000, "currency": "EUR"}}
ORDER = {"customerId": "c-1", "lines": [LINE], "shippingAddress": ADDRESS, "billingAddress": ADDRESS}
TWICE = {
    "replayed-receive": ("inventory-commands", "replayed-hand", "ReceiveStock", {"quantity": 5}),
    "replayed-refused": ("inventory-commands", "replayed-hand", "AdjustStock", {"delta": -500}),
    "replayed-place": ("order-commands", "replayed-by-hand", "PlaceOrder", ORDER),
    "replayed-hold": ("order-commands", "replayed-by-hand", "Hold", {"reason": "r"}),
}


def send_twice(system: System) -> None:
    """Send each command to two partitions, at least one of which is not its aggregate's, and again to the second
    one."""
    for command_id, (topic, key, name, data) in TWICE.items():
        before = len(answers(system)[command_id])
        for partition in (0, 1, 1):
            produce(system.settings, topic, key, {"id": command_id, "type": name, "data": data}, partition)
        answered = lambda command_id=command_id, before=before: len(answers(system)[command_id]) == before + 3  # noqa: E731
        wait_until(answered, f"the answers to {command_id}")


def answers(system: System) -> dict[str, list[Any]]:
    """Return the answers to the commands that were sent twice, without the current state of product or order."""
    found: dict[str, list[Any]] = {command_id: [] for command_id in TWICE}
    for outcome in messages(system.settings, "command-outcomes", lambda each: each["data"]["commandId"] in TWICE):
        data = outcome["data"]
        found[data["commandId"]].append({name: value for name, value in data.items() if name != "result"})
    return found


async def contents(system: System, api: Api) -> dict[str, Any]:
    """Return all events and the read models' answers, once the system is at rest."""
    await asyncio.to_thread(system.quiet)
    found: dict[str, Any] = {topic: messages(system.settings, topic) for topic in EVENTS}
    for path in ("/orders?limit=500", "/inventory?limit=500", "/work-queue?limit=500"):
        status, answer, _ = await api("GET", path)
        assert status == 200
        found[path] = sorted(answer["data"], key=lambda document: document["id"])
    return found


async def populate(system: System, api: Api) -> None:
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
    assert short["items"][0]["allocated"] == 2  # the units that the cancelled order released
    await asyncio.to_thread(send_twice, system)
    for partition in (2, 3):  # at least one is not the product's, and ids are derived from positions
        produce(
            system.settings,
            "inventory-commands",
            "replayed-hand",
            {"type": "ReceiveStock", "data": {"quantity": 1}},
            partition,
        )


async def test_nothing_is_lost_and_nothing_happens_twice(system: System, api: Api) -> None:
    await populate(system, api)
    before = await contents(system, api)
    first = answers(system)
    assert [len(found) for found in first.values()] == [3] * len(TWICE)
    assert all(found[0] == found[1] == found[2] for found in first.values())
    by_hand = next(each for each in before["/inventory?limit=500"] if each["id"] == "replayed-hand")
    assert by_hand["onHandQuantity"] == 7
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
    assert answers(system) == first  # no command was even answered again
    await asyncio.to_thread(send_twice, system)
    again = await contents(system, api)
    assert {topic: again[topic] for topic in EVENTS} == {topic: before[topic] for topic in EVENTS}
    assert answers(system) == {command_id: found[:1] * 6 for command_id, found in first.items()}
