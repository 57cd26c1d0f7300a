"""`fulfillment export` while traffic runs, and `fulfillment import` into an empty installation on the same servers."""

import asyncio
import json
import shutil
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest
from aiohttp.test_utils import TestClient, TestServer
from kafka import produce, records
from system import PATIENT, Api, System, api_at, eventually, wait_until

from ops.archive import importing
from ops.archive.empty import NotEmpty
from ops.archive.files import FORMAT, Line, Manifest, Writer, lines, read_manifest, write_manifest
from ops.archive.importing import Disturbed, import_archive
from ops.kafka.changelogs import restored
from ops.progress import Advance, ShowProgress
from parking.letter import DeadLetter
from streams.keys import position_key
from streams.runtime.settings import Settings
from streams.runtime.tasks import cancel
from streams.topic_setup import ensure_topics
from streams.topics import UNFINISHED_IMPORT, admin
from tables.orders import CODEC
from web.main import create_app

EVENTS = ("order-events", "inventory-events")
PRODUCTS = ("boots", "rope", "tent")
KEY = {"Idempotency-Key": "the-order-of-grace"}


@pytest.fixture(scope="module")
def original(processes: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A system of its own, because all of its data is exported; it parks every `Hold`."""
    system = System(tmp_path_factory.mktemp("original"), FULFILLMENT_FAULTS="raise:Hold", **PATIENT)
    system.up()
    try:
        yield system
    finally:
        system.down()


@pytest.fixture(autouse=True)
def no_api_sends(monkeypatch: pytest.MonkeyPatch) -> None:
    """An import waits for APIs that send commands; there are none here."""
    monkeypatch.setattr(importing, "NOTICED_SECONDS", 0.0)


@pytest.fixture(scope="module")
def copy(original: System, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """An empty installation on the same servers, which is not running."""
    servers = {name: original.env[name] for name in ("FULFILLMENT_KAFKA", "FULFILLMENT_MONGO")}
    system = System(tmp_path_factory.mktemp("copy"), FULFILLMENT_PREFIX="copy.", **servers, **PATIENT)
    system.env.pop("FULFILLMENT_FAULTS", None)
    system.settings = system.settings.model_copy(
        update={"kafka": original.settings.kafka, "mongo": original.settings.mongo, "prefix": "copy."}
    )
    try:
        yield system
    finally:
        system.down()


@pytest.fixture(scope="module")
async def exported(original: System, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive that was written while orders and adjustments without an id arrived."""
    folder = tmp_path_factory.mktemp("archives") / "all"
    async with api_at(original.base) as api:
        for product in PRODUCTS:
            await api.stock(product, 40)
        await api.place(("boots", 2), orderId="settled")
        await api.order("settled", lambda order: order["allocationStatus"] == "ALLOCATED")
        await api("POST", "/orders/settled/shipments")
        await api.order("settled", lambda order: order["status"] == "SHIPPED")
        _, answer, _ = await api("POST", "/orders", place("grace"), headers=KEY)
        assert answer["data"]["id"]
        await api("POST", "/orders/settled/hold", {"reason": "check"}, headers={"Prefer": "respond-async"})
        await eventually(lambda: listed(original), bool)
        traffic = asyncio.create_task(load(original, api))
        await eventually(lambda: placed(api), lambda found: found > 20)
        await asyncio.to_thread(original.run, "export", str(folder))
        await cancel(traffic)
    return folder


@pytest.fixture(scope="module")
async def waiting(original: System, exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of one order with commands and a letter from 40 days ago; one command has the id of a decided one."""
    events, folder = tmp_path_factory.mktemp("settled") / "events", tmp_path_factory.mktemp("waiting")
    await asyncio.to_thread(original.run, "export", str(events), "--order", "settled")
    happened = list(lines(events / "order-events.ndjson.gz"))
    number, placed = happened[0].partition, orjson.loads(happened[0].raw_value() or b"")
    then = int((time.time() - 40 * 86_400) * 1000)
    instant = "2026-10-21T10:00:00.000Z"
    letter = DeadLetter("invalid", "order-commands", number, 0, b"settled", b"?", (), "INVALID_MESSAGE", "?", instant)
    written = {
        "order-events": happened,
        "dead-letters": [old(number, then, letter.encode())],
        "order-commands": [
            old(number, then, orjson.dumps(hold(name))) for name in ("unrelated", placed["causationid"])
        ],
    }
    files = []
    for topic, each in written.items():
        writer = Writer(folder, topic, topic)
        for line in each:
            writer.write(msgspec.json.encode(line), number)
        files.append(writer.close({number: 0}, {number: len(each)}))
    manifest = Manifest(FORMAT, instant, original.settings.partitions, "", None, files)
    write_manifest(folder, manifest)
    return folder


def old(number: int, then: int, value: bytes) -> Line:
    return Line(number, 0, then, key="settled", value=msgspec.Raw(value))


def hold(command_id: str) -> dict[str, Any]:
    return {"id": command_id, "type": "Hold", "data": {"reason": "check"}}


def place(customer: str) -> dict[str, Any]:
    items = [{"productId": "boots", "quantity": 1, "price": "10.00"}]
    address = {"street": "1 High St", "city": "Bath", "zipcode": "BA1", "country": "GB"}
    return {"customerId": customer, "items": items, "shippingAddress": address, "billingAddress": address}


async def listed(system: System) -> Any:
    """Return the parked letters."""
    return (await asyncio.to_thread(system.run, "letters", "list", "--json")).stdout.splitlines()


async def placed(api: Api) -> int:
    _, answer, _ = await api("GET", "/orders?limit=100")
    return len(answer["data"])


async def load(system: System, api: Api) -> None:
    """Place, ship and cancel orders, and adjust stock, until cancelled."""
    for number in count():
        product = PRODUCTS[number % len(PRODUCTS)]
        order = await api.place((product, 3), (PRODUCTS[(number + 1) % len(PRODUCTS)], 1), customerId="c-load")
        adjust = {"type": "AdjustStock", "data": {"delta": 2, "reason": "found"}}
        await asyncio.to_thread(produce, system.settings, "inventory-commands", product, adjust)
        await api("POST" if number % 2 else "DELETE", f"/orders/{order['id']}" + ("/shipments" if number % 2 else ""))


@asynccontextmanager
async def api_alone(settings: Settings) -> AsyncIterator[TestClient[Any, Any]]:
    """Run an API in this process."""
    async with TestClient(TestServer(create_app(settings).web.web_app)) as alone:
        yield alone


async def reasons(alone: TestClient[Any, Any]) -> dict[str, str]:
    """Return why an API is not ready."""
    return dict((await (await alone.get("/readyz")).json())["reasons"])


def stopping(what: str, after: int = 0) -> ShowProgress:
    """Return a display of progress that interrupts the import at a step."""

    @contextmanager
    def show(now: str, total: int) -> Iterator[Advance]:
        done = 0

        def advance(steps: int = 1) -> None:
            nonlocal done
            done += steps
            if now == what and done > after:
                raise KeyboardInterrupt

        yield advance

    return show


def values(settings: Settings, topic: str) -> dict[int, list[tuple[Any, Any, Any]]]:
    found: dict[int, list[tuple[Any, Any, Any]]] = {}
    for record in records(settings, settings.named(topic)):
        found.setdefault(record.partition(), []).append((record.key(), record.value(), record.timestamp()[1]))
    return found


def archived(folder: Path, topic: str) -> dict[int, list[tuple[Any, Any, Any]]]:
    found: dict[int, list[tuple[Any, Any, Any]]] = {}
    for line in lines(folder / f"{topic}.ndjson.gz"):
        found.setdefault(line.partition, []).append((line.raw_key(), line.raw_value(), line.timestamp))
    return found


def topics_of(system: System) -> set[str]:
    client = admin(system.settings)
    return {name for name in client.list_topics(timeout=120).topics if name.startswith("copy.")}


async def test_the_archive_begins_like_the_topics_and_says_where_it_ends(original: System, exported: Path) -> None:
    manifest = read_manifest(exported)
    for file in manifest.files:
        if file.topic in EVENTS:
            there, ours = values(original.settings, file.topic), archived(exported, file.topic)
            assert ours
            assert all(there[number][: len(found)] == found for number, found in ours.items())
            assert {n: part.records for n, part in file.partitions.items() if part.records} == {
                number: len(found) for number, found in ours.items()
            }


async def test_damage_is_found_before_anything_is_written(copy: System, exported: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(exported, damaged)
    path = damaged / "order-events.ndjson.gz"
    path.write_bytes(path.read_bytes()[:-1])
    done = await asyncio.to_thread(copy.run, "import", str(damaged), check=False)
    assert (done.returncode, "order-events.ndjson.gz is damaged" in done.stderr) == (65, True)
    assert topics_of(copy) == set()


async def test_an_interrupted_import_is_refused_by_workers_and_continues(copy: System, exported: Path) -> None:
    for progress in (stopping("order-events", 3), stopping("command-outcomes"), stopping("orders-states-changelog")):
        with pytest.raises(KeyboardInterrupt):
            await asyncio.to_thread(import_archive, copy.settings, exported, progress)
        assert f"copy.{UNFINISHED_IMPORT}" in topics_of(copy)
    up = await asyncio.to_thread(copy.run, "up", "--detach", check=False)
    assert (up.returncode, "run `fulfillment import` again" in up.stderr) == (69, True), up.stderr
    copy.env["FULFILLMENT_ROLES"] = ""  # servers without workers, as for the import itself
    await asyncio.to_thread(copy.up)
    await asyncio.to_thread(copy.down)
    del copy.env["FULFILLMENT_ROLES"]
    worker = await asyncio.to_thread(copy.run, "worker", "orders", check=False)
    assert (worker.returncode, "run `fulfillment import` again" in worker.stderr) == (78, True), worker.stderr
    async with api_alone(copy.settings) as alone:
        await eventually(
            lambda: reasons(alone), lambda found: "run `fulfillment import` again" in found.get("import", "")
        )
        for method, path, body in (
            ("PUT", "/inventory/late", {"quantity": 1}),
            ("POST", "/commands", {"type": "SetStock", "data": {"productId": "late", "quantity": 1}}),
            ("POST", "/letters/order/settled/retry", None),
        ):
            refused = await alone.request(method, f"/api/v1{path}", json=body)
            found = (refused.status, (await refused.json())["error"], refused.headers["Retry-After"])
            assert found == (503, "IMPORT_UNFINISHED", "2")
        done = await asyncio.to_thread(copy.run, "import", str(exported))
        assert "continued an interrupted import" in done.stdout
        await eventually(lambda: reasons(alone), lambda found: "import" not in found)
    for topic in EVENTS:
        assert values(copy.settings, topic) == archived(exported, topic)
    assert f"copy.{UNFINISHED_IMPORT}" not in topics_of(copy)


async def test_after_it_the_audit_is_clean_and_everything_continues(
    original: System, copy: System, exported: Path
) -> None:
    await asyncio.to_thread(copy.up)
    await asyncio.to_thread(copy.quiet)
    audit = json.loads((await asyncio.to_thread(copy.run, "audit", "--json")).stdout)
    assert (audit["drift"], audit["notes"]) == ([], [])
    adjusted = [
        orjson.loads(value) for part in values(copy.settings, "inventory-events").values() for _, value, _ in part
    ]
    causes = [event["causationid"] for event in adjusted if event["type"] == "StockAdjusted"]
    assert len(set(causes)) == len(causes) > 0  # a command without an id has the same id as before
    async with api_at(original.base) as before, api_at(copy.base) as after:
        was, found = await before.order("settled"), await after.order("settled")
        assert found == was
        _, answer, _ = await after("POST", "/orders", place("grace"), headers=KEY)
        _, orders, _ = await after("GET", "/orders?customerId=grace")
        assert [each["id"] for each in orders["data"]] == [answer["data"]["id"]]
        await asyncio.to_thread(copy.run, "letters", "retry", "--all")
        await after.order("settled", lambda order: order["hold"] is not None)
        placed = await after.place(("rope", 1))
        await after.order(placed["id"])


async def test_an_installation_with_data_is_refused(copy: System, exported: Path) -> None:
    done = await asyncio.to_thread(copy.run, "import", str(exported), check=False)
    assert (done.returncode, "are running" in done.stderr) == (1, True)
    await asyncio.to_thread(copy.down)
    done = await asyncio.to_thread(copy.run, "import", str(exported), check=False)
    assert (done.returncode, "import into an installation without data" in done.stderr) == (78, True)


async def test_one_order_can_be_exported_and_imported(original: System, tmp_path: Path) -> None:
    folder = tmp_path / "one"
    await asyncio.to_thread(original.run, "export", str(folder), "--order", "settled")
    found = [orjson.loads(line.raw_value() or b"") for line in lines(folder / "order-events.ndjson.gz")]
    assert [event["sequence"] for event in found] == list(range(1, len(found) + 1))
    assert {event["subject"] for event in found} == {"settled"}
    alone = original.settings.model_copy(update={"prefix": "alone."})
    await asyncio.to_thread(import_archive, alone, folder)
    assert values(alone, "order-events") == archived(folder, "order-events")
    missing = await asyncio.to_thread(original.run, "export", str(tmp_path / "no"), "--product", "none", check=False)
    assert (missing.returncode, "has no events of 'none'" in missing.stderr) == (78, True)
    assert list((tmp_path / "no").iterdir()) == []


async def test_commands_that_waited_for_long_wait_for_the_workers(original: System, waiting: Path) -> None:
    settings = original.settings.model_copy(update={"prefix": "waiting."})
    began = time.time() * 1000
    await asyncio.to_thread(import_archive, settings, waiting)
    for topic in ("order-commands", "dead-letters"):
        (found,) = (part for part in values(settings, topic).values() if part)
        was = [line for part in archived(waiting, topic).values() for line in part]
        assert [key for key, _, _ in found] == [key for key, _, _ in was]
        assert min(received for _, _, received in found) > began - 60_000  # Kafka would soon delete them otherwise
    assert values(settings, "order-events") == archived(waiting, "order-events")
    table = await restored(settings, settings.named("orders-states-changelog"), range(settings.partitions), CODEC)
    key = position_key(settings.named("order-commands"))
    assert [number for number, entries in table.items() if entries.get(key) is not None] == []  # all are to be decided


async def test_a_command_that_an_api_sends_as_an_import_begins_is_noticed(
    original: System, waiting: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = original.settings.model_copy(update={"prefix": "sending."})
    await ensure_topics(settings)

    def send() -> None:
        produce(settings, settings.named("order-commands"), "late", hold("late"))

    monkeypatch.setattr(importing, "wait_until_noticed", send)
    with pytest.raises(NotEmpty, match="order-commands has had records: import into an installation without data"):
        await asyncio.to_thread(import_archive, settings, waiting)
    client, marker = admin(settings), settings.named(UNFINISHED_IMPORT)
    await asyncio.to_thread(
        wait_until, lambda: marker not in client.list_topics(timeout=120).topics, "commands to be accepted again"
    )


async def test_a_record_of_another_producer_ends_an_import(original: System, waiting: Path) -> None:
    settings = original.settings.model_copy(update={"prefix": "disturbed."})
    with pytest.raises(KeyboardInterrupt):
        await asyncio.to_thread(import_archive, settings, waiting, stopping("order-events"))
    (number,) = archived(waiting, "order-commands")
    produce(settings, settings.named("order-commands"), "settled", hold("foreign"), number)
    with pytest.raises(Disturbed, match="has a last record that is not in the archive"):
        await asyncio.to_thread(import_archive, settings, waiting)
