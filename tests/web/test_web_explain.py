"""Explanations of orders, over HTTP and on the command line."""

import signal
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest
from system import Api, System, eventually

Unique = Callable[[str], str]


async def reasons(api: Api, order: str) -> list[Any]:
    """Return why an order is where it is; nothing while it is not in the read models."""
    status, answer, _ = await api("GET", f"/orders/{order}/explain")
    if status == 404:
        return []
    assert (status, answer["data"]["id"]) == (200, order), answer
    return list(answer["data"]["reasons"])


async def coded(api: Api, order: str, *wanted: str) -> list[Any]:
    """Return the reasons once they have the expected codes, without the roles that lag for a moment."""

    async def ask() -> list[Any]:
        return [each for each in await reasons(api, order) if each["code"] != "CONSUMER_LAGGING"]

    return await eventually(ask, lambda found: [each["code"] for each in found] == list(wanted), pause=0.2)


async def test_an_order_is_explained_from_shortage_to_shipment(api: Api, unique: Unique) -> None:
    product = unique("boots")
    await api.stock(product, 1)
    first = (await api.place((product, 3)))["id"]
    await coded(api, first, "BACKORDERED", "READY_TO_PICK")
    second = (await api.place((product, 2)))["id"]
    (queued,) = await coded(api, second, "BACKORDERED")
    assert queued["waitsFor"] == "STOCK"
    assert queued["details"] == {"quantity": 2, "linesAhead": 1, "exact": True, "unitsAhead": 2, "unitsNeeded": 4}
    assert "1 line of an order is ahead in the queue, waiting for 2 units. It needs 4 units more" in queued["message"]
    await api("POST", f"/inventory/{product}/receive", {"quantity": 4})
    await coded(api, second, "READY_TO_PICK")
    await api("POST", f"/orders/{second}/hold", {"reason": "fraud check"})
    (held,) = await coded(api, second, "ON_HOLD")
    assert (held["waitsFor"], held["details"]["reason"]) == ("RELEASE", "fraud check")
    await api("DELETE", f"/orders/{second}/hold")
    await api("POST", f"/orders/{second}/shipments", {"shipmentId": "s-1", "carrier": "DHL"})
    await coded(api, second, "IN_TRANSIT")
    await api("POST", f"/orders/{second}/shipments/s-1/deliver", {})
    (end,) = await coded(api, second, "ORDER_DELIVERED")
    assert end["waitsFor"] == "NOTHING"


@pytest.fixture
def paused(system: System) -> Iterator[psutil.Process]:
    """The inventory worker, standing still; the supervisor looks for ended ones only."""
    process = system.process("inventory-0")
    process.send_signal(signal.SIGSTOP)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGCONT)
        system.quiet()


async def test_a_stopped_worker_is_named(api: Api, system: System, unique: Unique, paused: psutil.Process) -> None:
    order = (await api.place((unique("boots"), 1)))["id"]
    await api.order(order)

    async def ask() -> list[Any]:
        return await reasons(api, order)

    def is_named(found: list[Any]) -> bool:
        waiting = [each["details"] for each in found if each["code"] in ("CONSUMER_LAGGING", "CONSUMER_AWAY")]
        return (
            bool(found)
            and found[0]["code"] == "RESERVATION_OUTSTANDING"
            and any(each["role"] == "inventory" for each in waiting)
        )

    await eventually(ask, is_named, pause=0.2)
    told = system.run("explain", order).stdout
    assert "waiting for the stock decision on 1 unit" in told
    assert "commands for stock" in told


async def test_an_unknown_order_is_not_explained(api: Api, system: System, unique: Unique) -> None:
    order = unique("nobody")
    status, answer, _ = await api("GET", f"/orders/{order}/explain")
    assert (status, answer["error"]) == (404, "ORDER_NOT_FOUND")
    done = system.run("explain", order, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "ORDER_NOT_FOUND: there is no order" in done.stderr
