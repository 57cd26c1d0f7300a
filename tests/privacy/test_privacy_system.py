"""Personal data in a running system: encrypted everywhere it is kept, shown in the clear, and erased for good."""

import asyncio
import base64
import json
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from browser_page import dashboard, expect
from pymongo import AsyncMongoClient
from system import ADDRESS, PATIENT, Api, System, api_at, eventually, wait_until

from ops.archive.files import lines
from ops.kafka import records
from ops.kafka.topics import problems
from streams.topics import (
    CUSTOMER_KEYS,
    DEAD_LETTERS,
    EVERY_TOPIC,
    INVENTORY_COMMANDS,
    ORDER_COMMANDS,
    ORDER_EVENTS,
    ORDER_STATES,
    STOCK_STATES,
    admin,
)

# the topics on which messages stay as clients sent them, until they expire
AS_SENT = (ORDER_COMMANDS, INVENTORY_COMMANDS, DEAD_LETTERS)
STREET = "77 Secret Lane"
HOME = ADDRESS | {"street": STREET, "name": "Ada Lovelace-Byron"}
CLEAR = [STREET.encode(), b"Lovelace"]
ERASED = {"erased": True}


@pytest.fixture(scope="module")
def private(processes: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A system of its own that encrypts personal data; workers can be told to crash."""
    folder = tmp_path_factory.mktemp("private")
    (faults := folder / "faults").mkdir()
    (master := folder / "master").write_text(base64.b64encode(os.urandom(32)).decode())
    system = System(
        folder / "data",
        **PATIENT,
        FULFILLMENT_PERSONAL_DATA_KEY_FILE=str(master),
        FULFILLMENT_FAULTS=f"ask:{faults}",
        FULFILLMENT_PARTITIONS="4",
        FULFILLMENT_CLOSED_AFTER=str(2 / 86_400),
    )
    system.up()
    try:
        yield system
    finally:
        system.down()


@pytest.fixture
async def api(private: System) -> AsyncIterator[Api]:
    async with api_at(private.base) as api:
        yield api


async def place(api: Api, customer: str, **more: Any) -> dict[str, Any]:
    return await api.place(("private-boots", 1), customerId=customer, shippingAddress=HOME, billingAddress=HOME, **more)


async def addresses(api: Api, order_id: str) -> list[Any]:
    """Return the shipping address of an order wherever the API shows it."""
    _, order, _ = await api("GET", f"/orders/{order_id}")
    _, then, _ = await api("GET", f"/orders/{order_id}?version=1")
    aside = str("archivedAt" in order["data"]).lower()
    _, found, _ = await api("GET", f"/orders?customerId={order['data']['customerId']}&archived={aside}")
    _, history, _ = await api("GET", f"/orders/{order_id}/events")
    listed = next(each for each in found["data"] if each["id"] == order_id)
    shown = [order["data"], then["data"], listed, history["data"][0]["data"]]
    return [each["shippingAddress"] for each in shown] + [await streamed(api, order_id)]


async def archived(api: Api, order_id: str) -> Any:
    """Cancel an order, and return it once it is archived; orders that stay open tell the worker the time."""
    assert (await api("PUT", f"/orders/{order_id}/status", {"status": "CANCELLED"}))[0] == 200

    async def look() -> Any:
        await api.place(("private-boots", 1), customerId="p-clock")
        return (await api("GET", f"/orders/{order_id}"))[1]["data"]

    return await eventually(look, lambda order: "archivedAt" in order, pause=0.5)


async def streamed(api: Api, order_id: str) -> Any:
    """Return the address in the server-sent event that places an order."""
    query = {"types": "OrderPlaced", "subject": order_id, "recent": "1"}
    async with api.session.get("events", params=query) as response:
        async for line in response.content:
            if line.startswith(b"data: "):
                return json.loads(line.removeprefix(b"data: "))["data"]["shippingAddress"]
    raise AssertionError("the stream ended")


def topics_with(system: System, words: list[bytes]) -> set[str]:
    """Return the topics that contain any of the words."""
    found = set()
    for topic in EVERY_TOPIC:
        for record in records.read_all(system.settings, topic.name):
            if any(word in (record.value or b"") for word in words):
                found.add(topic.name)
    return found


async def collections_with(system: System, words: list[bytes]) -> set[str]:
    """Return the collections whose documents contain any of the words."""
    found = set()
    async with AsyncMongoClient[dict[str, Any]](system.settings.mongo) as client:
        database = client[system.settings.database]
        for name in await database.list_collection_names():
            async for document in database[name].find():
                if any(word in str(document).encode() for word in words):
                    found.add(name)
    return found


async def test_addresses_are_shown_in_the_clear_and_kept_encrypted(private: System, api: Api) -> None:
    await api.stock("private-boots", 100)
    placed = await place(api, "p-ada")
    order = await api.order(placed["id"], lambda order: order["allocationStatus"] == "ALLOCATED")
    assert order["shippingAddress"]["street"] == STREET
    for shown in await addresses(api, placed["id"]):
        assert (shown["street"], shown["name"]) == (STREET, HOME["name"])
    await asyncio.to_thread(private.quiet)
    assert await asyncio.to_thread(topics_with, private, CLEAR) <= {topic.name for topic in AS_SENT}
    assert not await collections_with(private, CLEAR)


@pytest.mark.parametrize("point", ["decided", "produced", "committed"])
async def test_a_killed_worker_leaves_the_key_with_the_order_or_neither(private: System, api: Api, point: str) -> None:
    customer, order_id = f"p-kill-{point}", f"p-order-{point}"
    pid = private.pid("orders-0")
    fault = Path(private.env["FULFILLMENT_FAULTS"].removeprefix("ask:")) / "orders-0"
    fault.write_text(f"kill:{point}")
    placed = await place(api, customer, orderId=order_id)
    await asyncio.to_thread(
        wait_until, lambda: private.status()["ready"] and private.pid("orders-0") not in (None, pid), "orders-0 again"
    )
    assert not fault.exists(), "the worker was killed"
    order = await api.order(placed["id"])
    assert order["shippingAddress"]["street"] == STREET
    kept = await asyncio.to_thread(lambda: list(records.read_all(private.settings, CUSTOMER_KEYS.name)))
    assert sum((record.key or b"").startswith(f"{customer}/".encode()) for record in kept) == 1


async def test_a_forgotten_customer_stays_forgotten(private: System, api: Api) -> None:
    orders = [(await place(api, "p-gone"))["id"] for _ in range(6)]  # on several partitions
    other = (await place(api, "p-stays"))["id"]
    for order_id in [*orders, other]:
        await api.order(order_id, lambda order: order["allocationStatus"] == "ALLOCATED")
    assert (await archived(api, orders[1]))["shippingAddress"]["street"] == STREET
    said = json.loads((await asyncio.to_thread(private.run, "forget", "p-gone", "--json")).stdout)
    assert said["erased"]
    for order_id in orders:
        await api.order(order_id, lambda order: order["shippingAddress"] == ERASED)
        assert await addresses(api, order_id) == [ERASED] * 5
    assert (await addresses(api, other))[0]["street"] == STREET

    async with dashboard(f"{private.base.removesuffix('api/v1')}#/orders/{orders[0]}") as page:
        await expect(page.get_by_role("region", name="About it")).to_contain_text("erased")

    # the order continues, the customer may come back, and nothing brings the address back
    status, shipped, _ = await api("POST", f"/orders/{orders[0]}/shipments", {})
    assert status == 201, shipped
    later = (await place(api, "p-gone"))["id"]
    assert (await api.order(later))["shippingAddress"]["street"] == STREET
    for name in ("orders-0", "projector-0", "api-0"):
        private.kill(name)
    await asyncio.to_thread(wait_until, lambda: private.status()["ready"], "the system to be ready")
    await asyncio.to_thread(private.quiet)
    for command in (("replay", "orders", "--id", orders[1]), ("replay", "tables", "--verify"), ("audit",)):
        await asyncio.to_thread(private.run, *command)  # fails if it finds a difference
    for order_id in orders[:2]:
        assert await addresses(api, order_id) == [ERASED] * 5
    assert (await addresses(api, later))[0]["street"] == STREET
    assert await problems(private.settings) == [], "the topics are as they should be"
    again = json.loads((await asyncio.to_thread(private.run, "forget", "p-gone", "--json")).stdout)
    assert len(again["erased"]) == 1, "the key of the later order"
    assert await asyncio.to_thread(topics_with, private, CLEAR) <= {topic.name for topic in AS_SENT}
    assert not await collections_with(private, CLEAR)


async def test_an_archive_has_the_keys_that_are_left(private: System, api: Api, tmp_path: Path) -> None:
    for customer in ("p-keep", "p-lose"):
        placed = await place(api, customer)
        await api.order(placed["id"], lambda order: order["allocationStatus"] == "ALLOCATED")
    before = await asyncio.to_thread(keys_of, private)
    await asyncio.to_thread(private.run, "forget", "p-lose")
    await asyncio.to_thread(private.run, "export", str(tmp_path / "archive"))
    exported = {line.raw_key(): line.raw_value() for line in lines(tmp_path / "archive" / "customer-keys.ndjson.gz")}
    after = await asyncio.to_thread(keys_of, private)
    assert exported == {key: before[key] for key in after}
    assert {key.split(b"/")[0] for key in before.keys() - after.keys()} == {b"p-lose"}


async def test_keys_outlive_lost_tables_an_import_and_encryption(private: System, api: Api, tmp_path: Path) -> None:
    """Tables are rebuilt with the keys, an archive brings them along, and they are kept while encryption is off."""
    kept, lost = (await place(api, "p-outlives"))["id"], (await place(api, "p-vanishes"))["id"]
    for order_id in (kept, lost):
        await api.order(order_id, lambda order: order["allocationStatus"] == "ALLOCATED")
    aside = await archived(api, (await place(api, "p-outlives"))["id"])
    await asyncio.to_thread(private.run, "forget", "p-vanishes")
    await asyncio.to_thread(private.run, "export", str(tmp_path / "archive"))
    await asyncio.to_thread(private.down)
    private.env["FULFILLMENT_ROLES"] = ""  # only the servers
    await asyncio.to_thread(private.up)
    await asyncio.to_thread(lose_tables, private)
    rebuilt = await asyncio.to_thread(private.run, "replay", "tables", "--rebuild")
    assert "entries written" in rebuilt.stdout

    copy = copy_of(private, tmp_path / "copy")
    await asyncio.to_thread(copy.run, "import", str(tmp_path / "archive"))
    async with running(copy) as theirs:
        assert (await theirs.order(kept))["shippingAddress"]["street"] == STREET
        assert (await theirs.order(lost))["shippingAddress"] == ERASED
        assert await theirs.order(aside["id"]) == aside
        assert (await addresses(theirs, aside["id"]))[2]["street"] == STREET
        status, same, _ = await theirs("PUT", f"/orders/{aside['id']}/status", {"status": "CANCELLED"})
        assert (status, same["data"]["version"]) == (200, aside["version"]), "restored from its imported events"
        await asyncio.to_thread(copy.run, "replay", "tables", "--verify")  # fails if it finds a difference
    key = copy.env.pop("FULFILLMENT_PERSONAL_DATA_KEY_FILE")
    async with running(copy) as theirs:
        assert str((await theirs.order(kept))["shippingAddress"]).startswith("sealed:")
        clear = (await place(theirs, "p-outlives"))["id"]
        assert (await theirs.order(clear))["shippingAddress"]["street"] == STREET
        assert STREET.encode() in await asyncio.to_thread(events_of, copy, clear)
        refused = await asyncio.to_thread(copy.run, "forget", "p-outlives", check=False)
        assert refused.returncode == os.EX_CONFIG
    copy.env["FULFILLMENT_PERSONAL_DATA_KEY_FILE"] = key
    async with running(copy) as theirs:
        for order_id in (kept, clear):
            assert (await theirs.order(order_id))["shippingAddress"]["street"] == STREET
        await asyncio.to_thread(copy.run, "forget", "p-outlives")
        await theirs.order(kept, lambda order: order["shippingAddress"] == ERASED)

    await asyncio.to_thread(private.down)
    del private.env["FULFILLMENT_ROLES"]
    await asyncio.to_thread(private.up)
    assert (await api.order(kept))["shippingAddress"]["street"] == STREET
    assert (await api.order(lost))["shippingAddress"] == ERASED
    assert await api.order(aside["id"]) == aside
    await asyncio.to_thread(private.quiet)
    for command in (("replay", "tables", "--verify"), ("audit",)):
        await asyncio.to_thread(private.run, *command)
    await asyncio.to_thread(private.run, "forget", "p-outlives")  # its key is in the rebuilt table
    for order_id in (kept, aside["id"]):
        await api.order(order_id, lambda order: order["shippingAddress"] == ERASED)


def lose_tables(system: System) -> None:
    """Delete the changelogs of all tables, and create them empty."""
    client = admin(system.settings)
    names = [system.settings.named(topic.name) for topic in (ORDER_STATES, STOCK_STATES)]
    for deleted in client.delete_topics(names, operation_timeout=120).values():
        deleted.result(120)
    wait_until(lambda: not {*names} & client.list_topics(timeout=120).topics.keys(), "the topics to be gone")
    system.run("topics", "create")


def copy_of(system: System, data: Path) -> System:
    """Return an empty installation on the same servers, with the same master key."""
    shared = ("KAFKA", "MONGO", "PERSONAL_DATA_KEY_FILE", "PARTITIONS")
    same = {f"FULFILLMENT_{name}": system.env[f"FULFILLMENT_{name}"] for name in shared}
    own = {"PREFIX": "copy.", "DATABASE": "copy", "ROLES": "orders,projector,api"}
    return System(data, **PATIENT, **same, **{f"FULFILLMENT_{name}": value for name, value in own.items()})


@asynccontextmanager
async def running(system: System) -> AsyncIterator[Api]:
    """Run an installation for a while."""
    await asyncio.to_thread(system.up)
    try:
        async with api_at(system.base) as api:
            yield api
    finally:
        await asyncio.to_thread(system.down)


def events_of(system: System, order_id: str) -> bytes:
    """Return the events of an order as they are on the topic."""
    found = records.read_all(system.settings, ORDER_EVENTS.name)
    return b"".join(record.value or b"" for record in found if record.key == order_id.encode())


def keys_of(system: System) -> dict[bytes, bytes]:
    """Return the keys of customers that were not erased, as they are on the topic."""
    found: dict[bytes, bytes] = {}
    for record in records.read_all(system.settings, CUSTOMER_KEYS.name):
        found.pop(record.key or b"", None)
        if record.value is not None:
            found[record.key or b""] = record.value
    return found
