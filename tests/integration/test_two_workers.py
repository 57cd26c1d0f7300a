"""A second worker of a role joins and leaves: partitions are shared, and nothing is lost or doubled."""

import asyncio
import json
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest
from kafka import messages
from system import FULFILLMENT, PATIENCE_SECONDS, Api, System, free_ports, wait_until


@contextmanager
def second_worker(system: System, role: str, **more: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    port = free_ports(1)
    environment = system.env | {"FULFILLMENT_WORKER_PORT": str(port)} | more
    process = subprocess.Popen([*FULFILLMENT, "worker", role, "--instance", "second"], env=environment)
    try:
        yield process, port
    finally:
        process.kill()
        process.wait()


def partitions(port: int) -> int:
    """Return how many partitions a worker handles."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return sum(len(found) for found in json.load(answer)["partitions"].values())
    except OSError:  # not listening yet, not ready, or busy
        return 0


def metric(port: int, name: str) -> float:
    """Return the value of a metric of a worker."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE_SECONDS) as answer:
        lines = answer.read().decode().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))


@pytest.mark.parametrize(
    ("role", "inputs", "sign"),
    [
        ("orders", 8, signal.SIGKILL),
        ("orders", 8, signal.SIGTERM),
        ("inventory", 8, signal.SIGKILL),
        ("projector", 24, signal.SIGKILL),
    ],
)
async def test_a_second_worker_shares_the_work(
    system: System, api: Api, role: str, inputs: int, sign: signal.Signals
) -> None:
    product = f"shared-{role}-{sign.name}"
    await api.stock(product, 1000)
    first_port = next(each["port"] for each in system.status()["processes"] if each["name"] == f"{role}-0")
    placed: list[str] = []

    async def place(count: int) -> None:
        placed.extend([(await api.place((product, 1)))["id"] for _ in range(count)])

    with second_worker(system, role) as (second, port):
        joining = asyncio.create_task(place(20))
        await asyncio.to_thread(wait_until, lambda: 0 < partitions(port) < inputs, "the second worker to have a share")
        await asyncio.to_thread(wait_until, lambda: partitions(port) + partitions(first_port) == inputs, "all shared")
        await joining
        await place(20)
        second.send_signal(sign)
        leaving = asyncio.create_task(place(20))
        await asyncio.to_thread(second.wait, PATIENCE_SECONDS)
        await asyncio.to_thread(wait_until, lambda: partitions(first_port) == inputs, "the first to have all")
        await leaving
    for order_id in placed:
        await api.order(order_id, lambda order: order["allocationStatus"] == "ALLOCATED")
    await asyncio.to_thread(system.quiet)
    _, stock, _ = await api("GET", f"/inventory/{product}")
    assert (stock["data"]["availableQuantity"], stock["data"]["allocatedQuantity"]) == (940, 60)
    events = messages(system.settings, "inventory-events", lambda message: message["subject"] == product)
    assert [event["sequence"] for event in events] == list(range(1, 62))


async def test_a_standby_takes_partitions_over_without_reading_their_entries_again(system: System, api: Api) -> None:
    await api.stock("standby", 40)
    with second_worker(system, "orders", FULFILLMENT_STANDBY="1") as (_, port):
        await asyncio.to_thread(wait_until, lambda: 0 < partitions(port) < 8, "the second worker to have a share")
        placed = [(await api.place(("standby", 1)))["id"] for _ in range(40)]
        for order_id in placed:
            await api.order(order_id, lambda order: order["allocationStatus"] == "ALLOCATED")
        placed_at = time.time()
        standby_time = partial(metric, port, "fulfillment_standby_timestamp_seconds")
        await asyncio.to_thread(wait_until, lambda: standby_time() > placed_at, "standby copies of all orders")
        before = metric(port, "fulfillment_recovered_entries_total")
        system.kill("orders-0", signal.SIGSTOP)
        try:
            await asyncio.to_thread(wait_until, lambda: partitions(port) == 8, "the second to take over")
        finally:
            system.kill("orders-0", signal.SIGCONT)
        assert metric(port, "fulfillment_recovered_entries_total") == before
        for order_id in placed:  # it decides on what it did not read
            assert (await api("DELETE", f"/orders/{order_id}"))[0] == 200
    await asyncio.to_thread(system.quiet)
