"""Versions of read models on the running system: built, compared, switched and interrupted under load."""

import asyncio
import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any
from uuid import uuid4

import pytest
from system import Api, System, eventually

from projections.mongo.client import Mongo
from projections.mongo.leases import lease

MINE = f"version-{uuid4().hex[:6]}"
READERS = 4


@pytest.fixture
async def mongo(system: System) -> AsyncIterator[Mongo]:
    mongo = Mongo(system.settings)
    yield mongo
    await mongo.close()


async def cli(system: System, *arguments: str, check: bool = True, **env: str) -> Any:
    before = {name: system.env.get(name) for name in env}
    system.env.update(env)
    try:
        return await asyncio.to_thread(system.run, *arguments, check=check)
    finally:
        system.env.update({name: value for name, value in before.items() if value is not None})
        for name, value in before.items():
            if value is None:
                del system.env[name]


async def versions(api: Api, name: str) -> dict[str, Any]:
    status, answer, _ = await api("GET", "/projections")
    assert status == 200
    return dict(next(each for each in answer["data"] if each["name"] == name))


@asynccontextmanager
async def load(api: Api, product: str) -> AsyncIterator[Counter[tuple[str, int]]]:
    """Place orders and read each one as soon as it is decided, and lists; count (request, status)."""
    answers, numbers, ended = Counter[tuple[str, int]](), count(), asyncio.Event()

    async def place_and_read() -> None:
        while not ended.is_set():
            placed = await api.place((product, 1), orderId=f"{product}-{next(numbers)}", customerId=product)
            body = {"reason": "to be read at once"}
            status, _, headers = await api("POST", f"/orders/{placed['id']}/hold", body)
            answers["hold", status] += 1
            token = {"Consistency-Token": headers["Consistency-Token"]} if status == 200 else {}
            status, answer, _ = await api("GET", f"/orders/{placed['id']}", headers=token)
            answers["order", status] += 1
            assert not token or answer["data"]["hold"] == body, "it did not see what it had written"
            for path in (f"/customers/{product}/orders", "/orders?limit=5", f"/customers/{product}/summary"):
                status, answer, _ = await api("GET", path)
                answers["list", status] += 1
                assert answer["data"], "the read model has lost its documents"

    tasks = [asyncio.create_task(place_and_read()) for _ in range(READERS)]
    try:
        yield answers
    finally:
        ended.set()
        await asyncio.gather(*tasks)


async def test_no_request_fails_while_versions_are_switched(system: System, api: Api) -> None:
    await api.stock(f"{MINE}-busy", 100_000)
    before = (await versions(api, "orders"))["live"]
    async with load(api, f"{MINE}-busy") as answers:
        await cli(system, "projections", "deploy", "orders")
        await cli(system, "projections", "verify", "orders")
        await cli(system, "projections", "promote", "orders")
        switched = await versions(api, "orders")
        assert (switched["live"], switched["previous"]) == (before + 1, before)
        await at_least(answers, answers.total() + 20)
        await cli(system, "projections", "rollback", "orders")
        assert (await versions(api, "orders"))["live"] == before
        await at_least(answers, answers.total() + 20)
        await cli(system, "projections", "retire", "orders")
        await at_least(answers, answers.total() + 20)
    failed = {what: times for what, times in answers.items() if what[1] not in (200, 201, 202)}
    assert not failed
    left = await versions(api, "orders")
    assert [each["version"] for each in left["versions"]] == [before]


async def at_least(answers: Counter[tuple[str, int]], total: int) -> None:
    async def ask() -> int:
        return answers.total()

    await eventually(ask, lambda so_far: so_far >= total)


async def test_one_different_document_is_found_and_prevents_promotion(system: System, api: Api, mongo: Mongo) -> None:
    order = (await api.place((f"{MINE}-boots", 1), orderId=f"{MINE}-differs"))["id"]
    await api.place(*((f"{MINE}-boots-{size}", 1) for size in range(80)))  # a document of many kilobytes
    await asyncio.to_thread(system.quiet)
    await cli(system, "projections", "deploy", "orders")
    found = await versions(api, "orders")
    before, new = found["live"], found["versions"][-1]["version"]
    documents = mongo.collection(f"orders_v{new}")

    async def built() -> Any:
        return await documents.find_one({"_id": order})

    document = await eventually(built, bool)
    await documents.update_one({"_id": order}, {"$set": {"customerId": "eve", "_json": '{"injected":true}'}})
    refused = await cli(system, "projections", "promote", "orders", check=False)
    assert refused.returncode == 1
    assert "was not verified" in refused.stderr
    done = await cli(system, "projections", "verify", "orders", "--json", check=False)
    assert done.returncode == 1
    report = json.loads(done.stdout)
    assert [(each["collection"], each["id"]) for each in report["differ"]] == [(f"orders_v{new}", order)]
    assert "customerId is 'eve'" in report["differ"][0]["what"]
    refused = await cli(system, "projections", "promote", "orders", check=False)
    assert (refused.returncode, "differs from" in refused.stderr) == (1, True)

    async def shown() -> Any:
        return (await api("GET", f"/orders/{order}"))[1]["data"]

    await cli(system, "projections", "promote", "orders", "--force")
    await eventually(shown, lambda data: data == {"injected": True})
    await cli(system, "projections", "rollback", "orders")
    await eventually(shown, lambda data: data.get("id") == order)
    repaired = await cli(system, "projections", "rollback", "orders")  # back to the altered version, to repair it there
    assert f"v{new} is live again" in repaired.stdout
    await cli(system, "replay", "orders", "--id", order)
    assert await documents.find_one({"_id": order}) == document
    await eventually(shown, lambda data: data.get("id") == order)
    await cli(system, "projections", "rollback", "orders")
    await cli(system, "projections", "retire", "orders")
    assert (await versions(api, "orders"))["live"] == before


async def test_a_killed_replay_leaves_the_live_version_and_can_be_repeated(
    system: System, api: Api, mongo: Mongo
) -> None:
    await api("PUT", f"/inventory/{MINE}-killed", {"quantity": 3})  # 202 is enough: it is durable
    await asyncio.to_thread(system.quiet)
    before = await versions(api, "inventory")
    killed = await cli(system, "replay", "inventory", check=False, FULFILLMENT_FAULTS="kill:documents-written")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    meanwhile = await versions(api, "inventory")
    assert meanwhile["live"] == before["live"]
    assert meanwhile["versions"][-1]["state"] == "building"
    assert (await api("GET", f"/inventory/{MINE}-killed"))[0] == 200
    await cli(system, "replay", "inventory")
    after = await versions(api, "inventory")
    assert (after["live"], after["previous"]) == (meanwhile["versions"][-1]["version"], before["live"])
    for name in ("inventory", "stock_ledger", "reservations"):
        old, new = [
            await mongo.collection(f"{name}_v{number}").find().sort("_id").to_list(None)
            for number in (before["live"], after["live"])
        ]
        assert [each for each in new if each not in old] == [], name
        assert len(old) == len(new)
    await cli(system, "projections", "retire", "inventory")
    names = await mongo.database.list_collection_names()
    assert f"inventory_v{before['live']}" not in names


async def test_two_replays_of_one_read_model_at_the_same_time_are_refused(
    system: System, api: Api, mongo: Mongo
) -> None:
    before = await versions(api, "customer_summary")
    async with lease(mongo, "projections/customer_summary"):
        refused = await cli(system, "replay", "customer_summary", check=False)
    assert refused.returncode == 1
    assert "Another command is working on customer_summary: process" in refused.stderr
    assert await versions(api, "customer_summary") == before


async def test_products_with_events_since_a_time_are_rebuilt(system: System, api: Api, mongo: Mongo) -> None:
    product = f"{MINE}-since"
    await api.stock(product, 5)
    await asyncio.to_thread(system.quiet)
    live = (await versions(api, "inventory"))["live"]
    documents = mongo.collection(f"inventory_v{live}")
    good = await documents.find_one({"_id": product})
    assert good
    await documents.update_one({"_id": product}, {"$set": {"availableQuantity": 7, "sequence": 99}})
    done = await cli(system, "replay", "inventory", "--since", good["createdAt"])
    assert "1 document was rewritten" in done.stdout
    assert await documents.find_one({"_id": product}) == good
    await api.stock(product, 6)  # the projector continues with the repaired document

    async def available() -> Any:
        return (await api("GET", f"/inventory/{product}"))[1]["data"]["availableQuantity"]

    await eventually(available, lambda units: units == 6)


async def test_metrics_name_the_live_versions(system: System, api: Api) -> None:
    async def metrics() -> str:
        async with api.session.get(system.base.removesuffix("/api/v1") + "/metrics") as answer:
            return await answer.text()

    live = (await versions(api, "orders"))["live"]
    info = f'fulfillment_projection_version_info{{projection="orders",state="following",version="{live}"}} 1.0'
    number = f'fulfillment_projection_live_version{{projection="orders"}} {live}.0'
    await eventually(metrics, lambda text: info in text and number in text)


NEWER = """
from dataclasses import replace
import projections.table as table
newest = replace(table.CUSTOMER_SUMMARY, shape=table.CUSTOMER_SUMMARY.shape + 1)
table.OLDER_SHAPES += (table.CUSTOMER_SUMMARY,)
table.PROJECTIONS = tuple(newest if one is table.CUSTOMER_SUMMARY else one for one in table.PROJECTIONS)
from ops.cli import cli
cli()
"""


async def newer_cli(system: System, *arguments: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
    """Run the command line of code that is newer than the running processes."""
    command = [sys.executable, "-c", NEWER, *arguments]
    done = await asyncio.to_thread(
        subprocess.run, command, env=system.env, capture_output=True, text=True, timeout=300, check=False
    )
    assert not check or done.returncode == 0, done.stderr
    return done


async def test_a_read_model_unknown_to_running_processes_is_refused_and_reported_by_doctor(
    system: System, api: Api
) -> None:
    await asyncio.to_thread(system.quiet)
    before = await versions(api, "customer_summary")
    deploy, promote = ("projections", "deploy", "customer_summary"), ("projections", "promote", "customer_summary")
    refused = await newer_cli(system, *deploy, check=False)
    assert (refused.returncode, len(refused.stderr.splitlines())) == (1, 1), refused.stderr
    assert refused.stderr.startswith("api-0 and projector-0 run code that does not know shape 2 of customer_summary")
    assert "`fulfillment restart projector api`" in refused.stderr
    assert await versions(api, "customer_summary") == before, "nothing was begun"
    try:
        await newer_cli(system, *deploy, "--force")
        refused = await newer_cli(system, *promote, check=False)
        assert (refused.returncode, "was not verified" in refused.stderr) == (1, True)
        await newer_cli(system, "projections", "verify", "customer_summary")
        refused = await newer_cli(system, *promote, check=False)
        assert (refused.returncode, "does not know shape 2" in refused.stderr) == (1, True)
        await newer_cli(system, *promote, "--force")
        version = f"customer_summary/v{before['live'] + 1}"
        done = await asyncio.to_thread(system.run, "doctor", "--json", check=False)
        found = {each["found"]: each for each in json.loads(done.stdout) if each["what"] == "read models"}
        assert found[f"projector-0 does not keep {version} up to date"]["remedy"] == "`fulfillment restart projector`"
        assert found[f"api-0 does not read {version}"]["remedy"] == "`fulfillment restart api`"
        assert done.returncode == 1
    finally:
        await newer_cli(system, "projections", "rollback", "customer_summary", "--force", check=False)
        await newer_cli(system, "projections", "retire", "customer_summary")
    assert (await versions(api, "customer_summary"))["live"] == before["live"]


async def test_roles_are_restarted_one_after_the_other_and_ready_again(system: System, api: Api) -> None:
    before = {each["name"]: each["pid"] for each in system.status()["processes"]}
    done = await cli(system, "restart", "projector", "api")
    lines = done.stdout.splitlines()
    assert [line.split(" after ")[0] for line in lines] == [
        "api-0: stopping (1 of 2)", "api-0: ready", "projector-0: stopping (2 of 2)", "projector-0: ready",
        "restarted 2 workers",
    ]  # fmt: skip
    after = {each["name"]: each["pid"] for each in system.status()["processes"]}
    assert {name for name in before if before[name] != after[name]} == {"api-0", "projector-0"}
    placed = await api.place((f"{MINE}-restarted", 1))
    await api.order(placed["id"])
