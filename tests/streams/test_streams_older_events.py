"""Events that the former role `fulfilment` left when an installation was upgraded: the worker sends their commands,
once."""

import asyncio
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import orjson
import pytest
from confluent_kafka import Consumer, Producer
from kafka import messages, produce, records
from real_kafka import create, environment
from system import FULFILLMENT, free_ports, wait_until

from agents.answering import caused, command_topics
from agents.older_events import POSITIONS
from domain.orders.events import OrderPlaced
from streams.kafka.partitions import partition_of
from streams.keys import position_key
from streams.messages.envelope import EventMessage, event_id
from streams.runtime.settings import FORMER_ROLE, Settings
from streams.topic_setup import ensure_topics
from streams.topics import describe_topics
from tables.entries import Position
from tables.orders import CODEC

TIME = "2026-11-23T10:00:00.000Z"
PRICE = {"amount": 100, "currency": "EUR"}
LINE = {"lineId": "1", "productId": "boots", "quantity": 2, "price": PRICE}
HOME = {"street": "1 High St", "city": "Bath", "zipCode": "BA1", "country": "GB"}
ORDER = {"customerId": "c", "lines": [LINE], "shippingAddress": HOME, "billingAddress": HOME}


class Upgraded:
    """An installation in the state that older code leaves: events on all partitions, half of them handled by its
    role."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings, self.folder, self.port = settings, folder, free_ports(1)
        self.topic, self.commands = settings.named("order-events"), settings.named("inventory-commands")
        asyncio.run(ensure_topics(settings))
        create(settings, POSITIONS, settings.partitions, {"cleanup.policy": "compact"})
        self.producer = Producer({"bootstrap.servers": settings.kafka})
        self.events = [placed(f"older-{number}") for number in range(40)]
        self.write_all(self.events[:20])
        self.handle()
        self.write_all(self.events[20:])

    def write_all(self, events: list[EventMessage]) -> None:
        for event in events:
            self.write(partition_of(event.key.encode(), 4), event.key, event.encode())
        self.producer.flush(120)

    def write(self, partition: int, key: str, value: bytes) -> None:
        self.producer.produce(self.topic, value, key, partition)

    def handle(self) -> None:
        """Do the work of the former role: send the commands of the existing events, and record its progress."""
        handled = records(self.settings, self.topic)
        for event in self.events[: len(handled)]:
            for command in caused(event, command_topics(self.settings)):
                number = partition_of(command.key or b"", 4)
                self.producer.produce(command.topic, command.value, command.key, number)
        (topic_id,) = [each.id for each in asyncio.run(describe_topics(self.settings)) if each.name == self.topic]
        for number, last in {record.partition(): record.offset() for record in handled}.items():
            position = CODEC.encode(Position(last, topic_id))
            self.producer.produce(self.settings.named(POSITIONS), position, position_key(self.topic), number)
        self.producer.flush(120)

    def sent(self) -> list[str]:
        """Return which orders have asked for stock, in order of their products' partition."""
        found = messages(self.settings, self.commands, lambda each: each["type"] == "ReserveStock")
        assert all(each["source"] == FORMER_ROLE for each in found)
        return [each["data"]["orderId"] for each in found]

    @contextmanager
    def worker(self, faults: str = "") -> Iterator[subprocess.Popen[bytes]]:
        more = {"FULFILLMENT_WORKER_PORT": str(self.port), "FULFILLMENT_FAULTS": faults}
        with (self.folder / "log").open("ab") as log:
            command = [sys.executable, "-m", "ops.worker", "orders"]
            process = subprocess.Popen(command, env=environment(self.settings, **more), stdout=log, stderr=log)
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def reasons(self) -> list[str] | None:
        """Return why the worker is not ready; None while it does not answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=5) as answer:
                return list(orjson.loads(answer.read())["reasons"])
        except urllib.error.HTTPError as error:
            return list(orjson.loads(error.read())["reasons"])
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return None

    def wait_until_ready(self) -> None:
        wait_until(lambda: self.reasons() == [], "the worker to be ready")

    def wait_for_reason(self, part: str) -> str:
        wait_until(lambda: part in str(self.reasons()), f"a worker that says {part}")
        return next(reason for reason in self.reasons() or () if part in reason)


def placed(key: str) -> EventMessage:
    data = ORDER | {"totalCost": PRICE, "policy": "BACKORDER"}
    event = msgspec.convert(data, OrderPlaced)
    return EventMessage(event_id("order", key, 1), key, event, 1, TIME, "order", "flow", f"place {key}")


@pytest.fixture
def upgraded(settings: Settings, tmp_path: Path) -> Upgraded:
    return Upgraded(settings, tmp_path)


def test_commands_left_by_the_former_role_are_sent_once(upgraded: Upgraded) -> None:
    settings, everything = upgraded.settings, sorted(event.key for event in upgraded.events)
    assert len(upgraded.sent()) == 20
    with upgraded.worker():
        upgraded.wait_until_ready()
        assert sorted(upgraded.sent()) == everything
    with upgraded.worker():  # none are left
        upgraded.wait_until_ready()
        assert sorted(upgraded.sent()) == everything
        for number in range(8):
            produce(settings, settings.named("order-commands"), f"new-{number}", {"type": "PlaceOrder", "data": ORDER})
        wait_until(lambda: len(upgraded.sent()) == 48, "new orders to be decided")
    with upgraded.worker():
        upgraded.wait_until_ready()
        assert sorted(upgraded.sent()) == sorted(everything + [f"new-{number}" for number in range(8)])
    entries = {r.key(): r.value() for r in records(settings, settings.named("orders-states-changelog"))}
    assert b'"fulfils":true' in entries[position_key(settings.named("order-commands"))]


@pytest.mark.parametrize("point", ["begun", "produced", "offsets-sent", "commit-asked", "committed"])
def test_a_worker_that_is_killed_sends_nothing_twice(upgraded: Upgraded, point: str) -> None:
    with upgraded.worker(f"kill:{point}@2") as killed:  # one transaction for each of four partitions
        assert killed.wait(120) == -9
        assert 20 < len(upgraded.sent()) < 40
    with upgraded.worker():
        upgraded.wait_until_ready()
    assert sorted(upgraded.sent()) == sorted(event.key for event in upgraded.events)


def test_a_worker_waits_until_the_former_role_is_stopped(upgraded: Upgraded) -> None:
    group = {"group.id": upgraded.settings.named(FORMER_ROLE), "group.instance.id": "former-0"}
    former = Consumer({"bootstrap.servers": upgraded.settings.kafka, "session.timeout.ms": 6_000, **group})
    former.subscribe([upgraded.topic])
    try:
        wait_until(lambda: former.poll(0.1) is None and bool(former.assignment()), "the former role to run")
        with upgraded.worker():
            assert "stop them" in upgraded.wait_for_reason("1 worker of the role fulfilment is running")
            assert len(upgraded.sent()) == 20
            former.close()  # a static member stays in its group until its session ends
            upgraded.wait_until_ready()
            assert len(upgraded.sent()) == 40
    finally:
        former.close()


def test_an_older_event_that_cannot_be_read_is_waited_for_until_it_is_skipped(upgraded: Upgraded) -> None:
    upgraded.write(1, "nobody", b'{"type":"OrderExploded","subject":"nobody","sequence":1,"data":{}}')
    behind = next(placed(key) for n in range(99) if partition_of((key := f"behind-{n}").encode(), 4) == 1)
    upgraded.write(1, behind.key, behind.encode())
    upgraded.producer.flush(120)
    with upgraded.worker():
        reason = upgraded.wait_for_reason(f"{upgraded.topic}/1 is blocked at offset ")
        assert "OrderExploded" in reason
        place = reason.partition("`fulfillment skip fulfilment ")[2].partition(" --reason …`")[0]
        assert behind.key not in upgraded.sent()
        skip = [*FULFILLMENT, "skip", FORMER_ROLE, place, "--reason", "typed by mistake"]
        subprocess.run(skip, env=environment(upgraded.settings), check=True, timeout=120)
        upgraded.wait_until_ready()
    assert sorted(upgraded.sent()) == sorted([behind.key, *(event.key for event in upgraded.events)])
