"""Records that client libraries cannot read, on every topic: a single one is refused, a batch of them blocks its
partition."""

import asyncio
import base64
import shutil
from collections.abc import Iterator
from contextlib import suppress

import aiohttp
import orjson
import pytest
from faust.types import TP
from kafka import await_message, messages, produce, records
from raw_kafka import GZIP, LZ4, MUNICH, ZSTD, damage, raw_batch, send_raw
from system import PATIENT, Api, System, wait_until

from streams.kafka.batches import Write
from streams.kafka.partitions import partition_of
from streams.kafka.producer import TransactionalProducer
from streams.topics import TOPICS

PARTITIONS = 2
READABLE = [topic.name for topic in TOPICS if topic.cleanup == "delete"]


@pytest.fixture(scope="module")
def system(processes: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A system of its own, because the records written here stay on its topics."""
    system = System(tmp_path_factory.mktemp("unreadable"), FULFILLMENT_PARTITIONS=str(PARTITIONS), **PATIENT)
    system.up()
    try:
        yield system
    finally:
        system.down()


def key_on(partition: int, name: str) -> str:
    return next(key for n in range(99) if partition_of((key := f"{name}-{n}").encode(), PARTITIONS) == partition)


def partition_key(name: str) -> tuple[int, bytes]:
    return partition_of(name.encode(), PARTITIONS), name.encode()


def receive(identifier: str) -> bytes:
    return orjson.dumps({"type": "ReceiveStock", "id": identifier, "data": {"quantity": 5}})


# --- header names that are not UTF-8


def test_a_record_on_inventory_commands_is_refused_and_the_next_is_handled(system: System) -> None:
    partition, key = partition_key("munich-boots")
    garbage = b"\xffnot json"
    send_raw(system.settings, "inventory-commands", partition, raw_batch([(key, garbage, [(MUNICH, b"\xfe")])]))
    produce(system.settings, "inventory-commands", key.decode(), receive("behind-munich"), partition)
    await_message(system.settings, "command-outcomes", lambda m: m["data"]["commandId"] == "behind-munich")
    letter = await_message(system.settings, "dead-letters", lambda m: m["data"]["key"] == "munich-boots")["data"]
    assert base64.b64decode(letter["valueBase64"]) == garbage
    ((header),) = letter["headers"]
    assert base64.b64decode(header["nameBase64"]) == MUNICH
    assert base64.b64decode(header["valueBase64"]) == b"\xfe"
    wait_until(lambda: system.status()["ready"], "the system to be ready")


@pytest.mark.parametrize("codec", [GZIP, LZ4, ZSTD])
def test_a_record_in_a_compressed_batch_is_handled_like_any_other(system: System, codec: int) -> None:
    """Its header has no meaning for us, so the command is decided; sent to order-commands as a Go client would."""
    partition, key = partition_key(f"compressed-{codec}")
    ids = [f"{key.decode()}-{number}" for number in range(5)]
    cancel = [orjson.dumps({"type": "CancelOrder", "id": each, "data": {"reason": "test"}}) for each in ids]
    headers = [[], [], [(MUNICH, b"x"), (b"", None)], [], []]
    batch = [(key, value, each) for value, each in zip(cancel, headers, strict=True)]
    send_raw(system.settings, "order-commands", partition, raw_batch(batch, codec))
    for each in ids:
        told = await_message(system.settings, "command-outcomes", lambda m, i=each: m["data"]["commandId"] == i)
        assert told["data"]["code"] == "ORDER_NOT_FOUND"


async def test_a_command_with_such_a_header_and_a_garbled_attribute_is_refused(system: System) -> None:
    partition, key = partition_key("garbled-boots")
    headers = [(MUNICH, b""), (b"ce_type", b"\xff\xfe"), (b"ce_id", None)]
    await asyncio.to_thread(
        send_raw, system.settings, "inventory-commands", partition, raw_batch([(key, b"{}", headers)])
    )
    letter = await asyncio.to_thread(
        await_message, system.settings, "dead-letters", lambda m: m["data"]["key"] == "garbled-boots"
    )
    sent = [
        (base64.b64decode(h["nameBase64"]) if "nameBase64" in h else h["name"].encode())
        for h in letter["data"]["headers"]
    ]
    assert sent == [name for name, _ in headers]


async def test_every_reader_of_every_topic_survives_them(system: System, api: Api) -> None:
    await api.stock("survivor-boots", 10)
    order = await api.place(("survivor-boots", 1))
    await api.order(order["id"], lambda found: found["allocationStatus"] == "ALLOCATED")
    await asyncio.to_thread(_repeat_with_munich, system)
    other = await api.place(("survivor-boots", 1))  # every role has read past them
    await api.order(other["id"], lambda found: found["allocationStatus"] == "ALLOCATED")
    await asyncio.to_thread(system.quiet)
    placed = messages(system.settings, "order-events", lambda m: m["subject"] == order["id"])[0]
    for arguments in (
        ("tail", "--from-beginning", "--no-follow"),
        ("trace", placed["correlationid"]),
        ("outcomes", "--last", "1000"),
        ("outcomes", order["commandId"]),
        ("letters", "list"),
        ("replay", "orders", "--id", order["id"]),
        ("doctor",),
    ):
        said = await asyncio.to_thread(system.run, *arguments, check=False)
        assert "Traceback" not in said.stdout + said.stderr, (arguments, said)
    audit = await asyncio.to_thread(system.run, "audit", check=False)
    assert "Traceback" not in audit.stdout + audit.stderr
    status, answer, _ = await api("GET", f"/messages/order-events/{placed['id']}?key={order['id']}")
    assert (status, answer["data"]["key"]) == (200, order["id"])
    assert (await api("GET", "/letters?kind=invalid"))[0] == 200
    assert await _live(api, order["id"])


def _repeat_with_munich(system: System) -> None:
    """Write records of our topics again with an unreadable header; all their readers know the contents."""
    for topic in ("order-events", "inventory-events", "command-outcomes", "dead-letters"):
        last = records(system.settings, topic)[-1]
        batch = raw_batch([(last.key(), last.value(), [(MUNICH, None), (b"content-type", b"\xff")])], GZIP)
        send_raw(system.settings, topic, last.partition(), batch)


async def _live(api: Api, order_id: str) -> bool:
    """Return whether the stream of events includes the order's."""
    options = {"params": {"subject": order_id}, "timeout": aiohttp.ClientTimeout(total=180)}
    async with api.session.get("events", **options) as stream:
        assert stream.status == 200, await stream.text()
        produced = asyncio.create_task(api("POST", f"/orders/{order_id}/hold", {"reason": "look"}))
        async for line in stream.content:
            if line.startswith(b"event: OrderHeld"):
                await produced
                return True
    return False


# --- batches that nothing can read


async def _damaged(system: System, topic: str, partition: int, values: list[tuple[bytes, bytes]]) -> int:
    """Append damaged records on the broker's disk before they can be read; return the first one's offset."""
    producer = TransactionalProducer(system.settings, f"damaging-{topic}-{partition}", 60)
    await producer.claim()
    written = await producer.produce([Write(topic, partition, key, value) for key, value in values])
    damage(system.settings.data, topic, partition, values[1][1])
    await producer.end(commit=True)
    await producer.close()
    return written[TP(topic, partition)] - len(values)


def _reason(system: System, role: str) -> str:
    return next((p.get("reason", "") for p in system.status()["processes"] if p["name"] == f"{role}-0"), "")


async def _blocked(system: System, role: str, place: str, first: int, last: int) -> None:
    await _says(
        system, role, f"{place} is blocked, offsets {first} to {last} cannot be read: the checksum is wrong",
        f"`fulfillment skip {role} {place}@{last} --reason …` skips it",
    )  # fmt: skip


async def _says(system: System, role: str, *parts: str) -> None:
    """Wait until a worker's reason has all parts; a busy worker does not always answer in time."""
    await asyncio.to_thread(
        wait_until, lambda: all(part in said for said in [_reason(system, role)] for part in parts), f"{role}: {parts}"
    )


async def _skip(system: System, role: str, place: str, first: int, last: int) -> None:
    said = await asyncio.to_thread(system.run, "skip", role, f"{place}@{last}", "--reason", "a damaged disk")
    assert f"recorded: {role} skips offsets {first} to {last} of {place}" in said.stdout


async def test_a_damaged_batch_of_commands_blocks_its_partition_only_until_it_is_skipped(
    system: System, api: Api
) -> None:
    blocked, free = key_on(0, "blocked"), key_on(1, "free")
    values = [(blocked.encode(), receive(f"lost-{number}")) for number in range(3)]
    first = await _damaged(system, "inventory-commands", 0, values)
    place, last = "inventory-commands/0", first + 2
    produce(system.settings, "inventory-commands", blocked, receive("behind-the-damage"), 0)
    await _blocked(system, "inventory", place, first, last)
    await api.stock(free, 3)  # the other partition continues
    before = system.process("inventory-0").pid
    doctor = await asyncio.to_thread(system.run, "doctor", "--json", check=False)
    assert doctor.returncode == 1
    (record,) = (each for each in orjson.loads(doctor.stdout) if each["what"] == "records")
    assert record["found"] == f"{place}: offsets {first} to {last} cannot be read: the checksum is wrong"
    assert f"`fulfillment skip inventory {place}@{last} --reason …`" in record["remedy"]
    assert system.process("inventory-0").pid == before  # it is not restarted because of it
    system.kill("inventory-0")  # and where it was restarted, the partition is blocked again
    await asyncio.to_thread(wait_until, lambda: system.pid("inventory-0") not in (None, before), "a restart")
    await _blocked(system, "inventory", place, first, last)
    for arguments in (
        ("tail", "inventory-commands", "--from-beginning", "--no-follow"),
        ("trace", "behind-the-damage"),
    ):
        said = await asyncio.to_thread(system.run, *arguments)
        assert "Traceback" not in said.stderr
    await _skip(system, "inventory", place, first, last)
    system.kill("inventory-0")  # told before or after: the record counts
    await asyncio.to_thread(
        await_message, system.settings, "command-outcomes", lambda m: m["data"]["commandId"] == "behind-the-damage"
    )
    await asyncio.to_thread(system.quiet)
    system.kill("inventory-0")
    await asyncio.to_thread(system.quiet)
    assert not messages(system.settings, "command-outcomes", lambda m: m["data"]["commandId"].startswith("lost-"))
    (letter,) = messages(system.settings, "dead-letters", lambda m: m["data"].get("role") == "inventory")
    assert values[0][1] in base64.b64decode(letter["data"]["valueBase64"])  # all of the batch is kept


async def test_a_damaged_batch_of_events_blocks_the_projector_until_it_is_skipped(system: System, api: Api) -> None:
    events = [(b"nobody", orjson.dumps({"type": f"Never{number}"})) for number in range(2)]
    first = await _damaged(system, "order-events", 1, events)
    place, last = "order-events/1", first + 1
    await _blocked(system, "projector", place, first, last)
    stands, goes_on = key_on(1, "stands"), key_on(0, "goes-on")
    await api.stock("damaged-boots", 5)
    await api.place(("damaged-boots", 1), orderId=stands)
    await api.place(("damaged-boots", 1), orderId=goes_on)
    await api.order(goes_on, lambda order: order["allocationStatus"] == "ALLOCATED")
    assert (await api("GET", f"/orders/{stands}"))[0] == 404
    for arguments in (("audit",), ("replay", "orders", "--id", stands)):
        said = await asyncio.to_thread(system.run, *arguments, check=False)
        assert "Traceback" not in said.stdout + said.stderr, said
        assert said.returncode != 0
    await _skip(system, "projector", place, first, last)
    await api.order(stands, lambda order: order["allocationStatus"] == "ALLOCATED")
    await asyncio.to_thread(system.quiet)
    assert await _live(api, stands)


async def test_a_damaged_changelog_blocks_its_partition_and_says_how_to_rebuild_it(system: System, api: Api) -> None:
    table = "inventory-stock-changelog"
    product, other = key_on(0, "table"), key_on(1, "table")
    await api.stock(product, 3)
    await api.stock(other, 3)
    entry = next(r for r in records(system.settings, table) if r.key() == product.encode())
    await asyncio.to_thread(damage, system.settings.data, table, entry.partition(), entry.value())
    shutil.rmtree(system.settings.data / "state" / "inventory", ignore_errors=True)  # a copy would need no changelog
    before = system.kill("inventory-0")
    await asyncio.to_thread(wait_until, lambda: system.pid("inventory-0") not in (None, before), "a restart")
    await _says(
        system, "inventory", "its table is lost: inventory-stock-changelog/0", "fulfillment replay tables --rebuild"
    )
    await api.stock(other, 7)  # the other partition continues
    with suppress(AssertionError):
        system.down()
    rebuilt = await asyncio.to_thread(_rebuild, system)
    assert "entries written" in rebuilt
    await api.stock(product, 9)


def _rebuild(system: System) -> str:
    """Rebuild the tables while only Kafka and MongoDB run, and start the system again."""
    system.env["FULFILLMENT_ROLES"] = "projector"
    system.up()
    rebuilt = system.run("replay", "tables", "--rebuild", check=False)  # earlier tests left drift
    system.down()
    del system.env["FULFILLMENT_ROLES"]
    system.up()
    return rebuilt.stdout + rebuilt.stderr
