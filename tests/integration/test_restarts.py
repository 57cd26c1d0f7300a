"""Every role and the whole system is restarted, gracefully or not: nothing is lost."""

import asyncio
import signal

import pytest
from system import Api, System, wait_until

ROLES = ["orders", "inventory", "projector"]


@pytest.mark.parametrize(("role", "sign"), [*((role, signal.SIGKILL) for role in ROLES), ("orders", signal.SIGTERM)])
async def test_a_role_continues_where_it_was(system: System, api: Api, role: str, sign: signal.Signals) -> None:
    product = f"restart-{role}-{sign.name}"
    await api.stock(product, 10)
    before = await api.place((product, 4))
    pid = await asyncio.to_thread(system.kill, f"{role}-0", sign)
    after = await api.place((product, 4), orderId=f"order-{product}") if role != "orders" else None
    await asyncio.to_thread(
        wait_until,
        lambda: system.status()["ready"] and system.pid(f"{role}-0") not in (None, pid),
        f"{role} to be back",
    )
    later = [*filter(None, [after]), await api.place((product, 4))]
    first = await api.order(before["id"], lambda order: order["allocationStatus"] == "ALLOCATED")
    assert first["items"][0]["allocated"] == 4
    others = [await api.order(each["id"], lambda order: order["allocationStatus"] != "PENDING") for each in later]
    # the two orders are on different partitions, so their order is not defined
    assert sorted(order["items"][0]["allocated"] for order in others) == ([2, 4] if after else [4])
    await asyncio.to_thread(system.quiet)
    _, stock, _ = await api("GET", f"/inventory/{product}")
    assert stock["data"]["allocatedQuantity"] == (10 if after else 8)
    assert stock["data"]["backorderedQuantity"] == (2 if after else 0)
