"""Closed orders are archived after seconds, found wherever they are, and restored, through crashes of their workers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from kafka import messages
from system import PATIENT, Api, System, api_at, eventually, wait_until

SECONDS = 4
SETTINGS = {
    **PATIENT,
    "FULFILLMENT_CLOSED_AFTER": str(SECONDS / 86_400),
    "FULFILLMENT_PARTITIONS": "2",
    "FULFILLMENT_RESTART_PAUSE": "0.2",
}
RETURN = {"lines": [{"lineId": "1", "quantity": 1}], "reason": "too small", "returnId": "r-1"}
POINTS = (("orders", "to-archive"), ("orders", "produced"), ("orders", "committed"), ("projector", "moved"))


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[tuple[System, Api]]:
    """Run a system of its own, whose processes look in `folder/asked` for the point at which they are killed."""
    (folder / "asked").mkdir()
    system = System(folder / "data", FULFILLMENT_FAULTS=f"ask:{folder / 'asked'}", **SETTINGS)
    system.up()
    try:
        async with api_at(system.base) as api:
            yield system, api
    finally:
        system.down()


async def delivered(api: Api, order_id: str) -> None:
    """Place an order, and deliver it."""
    await api.place(("boots", 2), orderId=order_id, customerId="ada")
    await api.order(order_id, lambda order: order["allocationStatus"] == "ALLOCATED")
    for status in ("SHIPPED", "DELIVERED"):
        code, answer, _ = await api("PUT", f"/orders/{quote(order_id, safe='')}/status", {"status": status})
        assert code == 200, answer


async def archived(api: Api, *ids: str) -> None:
    """Wait until orders are archived; orders that stay open tell the worker the time."""

    async def left() -> list[str]:
        await api.place(("socks", 1))
        found = [await api("GET", f"/orders/{each}") for each in ids]
        return [each for each, (_, answer, _) in zip(ids, found, strict=True) if "archivedAt" not in answer["data"]]

    await eventually(left, lambda ids: not ids, pause=0.5)


async def listed(api: Api, **filters: str) -> set[str]:
    code, answer, _ = await api("GET", "/orders", params=filters)
    assert code == 200, answer
    return {order["id"] for order in answer["data"]}


def killed_at(system: System, folder: Path, role: str, point: str) -> None:
    """Ask a process to kill itself at its next passage of a point."""
    draft = folder / "draft"
    draft.write_text(f"kill:{point}")
    draft.rename(folder / "asked" / f"{role}-0")


def clean(system: System) -> None:
    """Wait until nothing is left to handle, and audit."""
    system.quiet()
    assert '"drift":[]' in system.run("audit", "--json").stdout.replace(" ", "").replace("\n", "")


@pytest.mark.usefixtures("processes")
async def test_closed_orders_are_archived_and_restored(tmp_path: Path) -> None:
    async with running(tmp_path) as (system, api):
        await api.stock("boots", 100)
        await api.stock("socks", 1_000)
        ids = [f"closed-{n}" for n in range(len(POINTS))]
        for order_id, (role, point) in zip(ids, POINTS, strict=True):
            await delivered(api, order_id)
            killed_at(system, tmp_path, role, point)
            await archived(api, order_id)
            asked = tmp_path / "asked" / f"{role}-0"
            await asyncio.to_thread(wait_until, lambda asked=asked: not asked.exists(), f"{role} to get to {point}")
        await found_everywhere(api, ids)
        await asyncio.to_thread(clean, system)
        await restored(system, api, tmp_path, ids[0])
        await found_by_a_rebuilt_table(system, api, ids[1])


async def found_everywhere(api: Api, ids: list[str]) -> None:
    """Archived orders are found by id, in the past, in histories and lists of their own, and are counted."""
    order = await api.order(ids[0])
    assert (order["status"], order["version"]) == ("DELIVERED", 5)
    assert order["archivedAt"] > order["updatedAt"]
    assert await listed(api, archived="true") == set(ids)
    assert await listed(api, archived="true", customerId="ada", status="DELIVERED", sort="updatedAt") == set(ids)
    assert not await listed(api) & set(ids)
    _, of_customer, _ = await api("GET", "/customers/ada/orders", params={"archived": "true"})
    assert {each["id"] for each in of_customer["data"]} == set(ids)
    _, events, _ = await api("GET", f"/orders/{ids[0]}/events")
    assert [event["type"] for event in events["data"]][-2:] == ["ShipmentDelivered", "OrderArchived"]
    _, before, headers = await api("GET", f"/orders/{ids[0]}", params={"version": "4"})
    assert ("archivedAt" in before["data"], headers["ETag"]) == (False, '"4"')
    code, explained, _ = await api("GET", f"/orders/{ids[0]}/explain")
    assert (code, explained["data"]["status"]) == (200, "DELIVERED")
    summary = await eventually(lambda: summary_of(api), lambda found: found["archived"] == len(ids))
    assert summary["byStatus"]["DELIVERED"] == len(ids)


async def summary_of(api: Api) -> Any:
    return (await api("GET", "/summary"))[1]["data"]["orders"]


async def restored(system: System, api: Api, folder: Path, order_id: str) -> None:
    """A late return restores the order exactly once, although its worker dies before the command is decided."""
    _, again, _ = await api("PUT", f"/orders/{order_id}/status", {"status": "DELIVERED"})
    assert again["data"]["version"] == 5, "nothing changes, so it stays archived"
    killed_at(system, folder, "orders", "restored-orders")
    code, answer, headers = await api("POST", f"/orders/{order_id}/returns", RETURN)
    assert (code, answer["data"]["version"]) == (201, 6)
    fresh = {"Consistency-Token": headers["Consistency-Token"]}
    _, shown, _ = await api("GET", f"/orders/{order_id}", headers=fresh)
    assert (shown["data"]["returnStatus"], shown["data"]["items"][0]["delivered"]) == ("REQUESTED", 2)
    events = await asyncio.to_thread(messages, system.settings, "order-events", lambda it: it["subject"] == order_id)
    assert [event["type"] for event in events].count("ReturnRequested") == 1
    await asyncio.to_thread(clean, system)


async def found_by_a_rebuilt_table(system: System, api: Api, order_id: str) -> None:
    """Tables that are rebuilt from the events have the archived orders; commands restore them from there."""
    verified = await asyncio.to_thread(system.run, "replay", "tables", "--verify", check=False)
    assert verified.returncode == 0, verified.stdout
    system.env["FULFILLMENT_ROLES"] = ""
    await asyncio.to_thread(system.down)
    await asyncio.to_thread(system.up)
    await asyncio.to_thread(system.run, "replay", "tables", "--rebuild")
    del system.env["FULFILLMENT_ROLES"]
    await asyncio.to_thread(system.down)
    await asyncio.to_thread(system.up)
    await archived(api, order_id)
    code, answer, _ = await api("POST", f"/orders/{order_id}/returns", RETURN)
    assert (code, answer["data"]["version"]) == (201, 6)
    await asyncio.to_thread(clean, system)
