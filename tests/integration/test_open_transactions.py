"""Transactions that other producers leave open: every health check names them, and one command ends them."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import aiohttp
import pytest
from confluent_kafka import KafkaException, Producer
from system import Api, System, eventually

from streams.kafka.partitions import partition_of

PRODUCT = "held-back"


def opened(system: System, name: str, topic: str, partition: int) -> Producer:
    """Leave a transaction open, like a producer that hangs."""
    settings = {"bootstrap.servers": system.settings.kafka, "transactional.id": name, "transaction.timeout.ms": 600_000}
    settings |= {"log_level": 0}
    producer = Producer(settings)
    producer.init_transactions(120)
    producer.begin_transaction()
    producer.produce(topic, b"never committed", partition=partition)
    assert producer.flush(120) == 0
    return producer


async def readyz(system: System, name: str) -> tuple[int, Any]:
    port = next(each["port"] for each in system.status()["processes"] if each["name"] == name)
    async with aiohttp.request("GET", f"http://127.0.0.1:{port}/readyz") as answer:
        return answer.status, await answer.json()


@pytest.fixture
def places(system: System) -> Iterator[dict[str, str]]:
    """Return open transactions by transactional id: the topic of which each one blocks the product's partition."""
    system.quiet()
    partition = partition_of(PRODUCT.encode(), system.settings.partitions)
    names = {
        "their-importer": "inventory-commands",
        "their-events": "order-events",
        "their-outcomes": "command-outcomes",
    }
    producers = [opened(system, name, topic, partition) for name, topic in names.items()]
    try:
        yield names
    finally:
        for producer in producers:
            with suppress(KafkaException):  # its transaction was aborted, as expected
                producer.abort_transaction(120)


async def test_open_transactions_are_named_counted_and_aborted(
    system: System, api: Api, places: dict[str, str]
) -> None:
    partition = partition_of(PRODUCT.encode(), system.settings.partitions)
    places = {
        "their-importer": "inventory-commands",
        "their-events": "order-events",
        "their-outcomes": "command-outcomes",
    }
    pids = {name: system.pid(name) for name in ("inventory-0", "projector-0", "api-0")}
    headers = {"Prefer": "respond-async"}
    status, _, _ = await api("PUT", f"/inventory/{PRODUCT}", {"quantity": 5}, headers=headers)
    assert status == 202

    async def ask() -> Any:
        return await asyncio.to_thread(system.status)

    found = await eventually(ask, lambda now: len(now.get("openTransactions", ())) == 3 and not now["ready"])
    assert {one["transactionalId"]: one["topic"] for one in found["openTransactions"]} == places
    assert found["lag"]["inventory"]["inventory-commands"] == 2  # the uncommitted record, and the command
    assert (found["lag"]["projector"]["order-events"], found["lag"]["projector"]["command-outcomes"]) == (1, 1)
    assert all(one["partition"] == partition and one["seconds"] >= 5 for one in found["openTransactions"])

    unready, said = await eventually(lambda: readyz(system, "inventory-0"), lambda now: now[0] == 503)
    at = f"inventory-commands/{partition}"
    assert (unready, len(said["reasons"])) == (503, 1)
    assert all(part in said["reasons"][0] for part in (at, "their-importer", f"fulfillment transactions abort {at}"))
    ready, said = await eventually(lambda: readyz(system, "api-0"), lambda now: len(now[1].get("warnings", ())) == 3)
    assert ready == 200, "it answers for all other partitions"
    _, answer, _ = await api("GET", "/pipeline")
    lags = {role["role"]: role["lag"] for role in answer["data"]["roles"]}
    assert (lags["inventory"], lags["projector"]) == (2, 2)

    doctor = await asyncio.to_thread(system.run, "doctor", "--json", check=False)
    findings = [each for each in json.loads(doctor.stdout) if each["what"] == "transactions"]
    assert (doctor.returncode, len(findings)) == (1, 3)
    for name, topic in places.items():
        (one,) = [each for each in findings if name in each["found"]]
        assert (f"{topic}/{partition}" in one["found"], " open for " in one["found"]) == (True, True)
        assert one["remedy"] == f"abort it with `fulfillment transactions abort {topic}/{partition}`"
    shown = await asyncio.to_thread(system.run, "status", check=False)
    assert (shown.returncode, "their-importer" in shown.stdout.replace("\n", "")) == (1, True)

    listed = await asyncio.to_thread(system.run, "transactions", "list", "--json", check=False)
    assert (listed.returncode, len(json.loads(listed.stdout))) == (1, 3)
    for topic in places.values():
        ended = await asyncio.to_thread(system.run, "transactions", "abort", f"{topic}/{partition}")
        assert f"at {topic}/{partition}" in ended.stdout

    async def stock() -> Any:
        status, answer, _ = await api("GET", f"/inventory/{PRODUCT}")
        return answer["data"]["availableQuantity"] if status == 200 else None

    await eventually(stock, lambda units: units == 5)
    await asyncio.to_thread(system.quiet)
    assert {name: system.pid(name) for name in pids} == pids, "nothing was restarted for it"
    await eventually(ask, lambda now: "openTransactions" not in now)
    nothing = await asyncio.to_thread(system.run, "transactions", "abort", at, check=False)
    assert (nothing.returncode, "No transaction has blocked" in nothing.stderr) == (1, True)


async def test_only_existing_partitions_can_be_named(system: System) -> None:
    for place, says in {
        "order-commands": "'order-commands' is not TOPIC/PARTITION: write it as in",
        "orders/1": "There is no topic 'orders': choose from",
        "order-commands/8": "has partitions 0 to 7",
    }.items():
        done = await asyncio.to_thread(system.run, "transactions", "abort", place, check=False)
        assert (done.returncode, says in done.stderr, "Traceback" in done.stderr) == (78, True, False)
