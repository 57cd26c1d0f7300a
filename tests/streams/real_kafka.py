"""A real broker for the tests of this folder, and operations on it without our own code."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from system import free_ports

from ops.stack import kafka
from ops.stack.lifeline import tied_to_parent
from streams.runtime.settings import Settings
from streams.topics import wait_for_topics


@dataclass
class Broker:
    """A running broker; its port is below those the kernel hands to connections."""

    address: str
    process: subprocess.Popen[bytes]
    folder: Path

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Suspend it: connections stay open, but nothing is answered."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)


@contextmanager
def running_broker(folder: Path, properties: str = "") -> Iterator[Broker]:
    """Run a broker whose data is in `folder`; `properties`: in addition to ours, with {address} and {controller}."""
    first = free_ports(2)
    address = f"127.0.0.1:{first}"
    start = kafka.command(folder, address, first + 1)
    with (folder / "server.properties").open("a") as config:
        config.write(properties.format(address=address, controller=first + 1))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(start, stdout=log, stderr=log, preexec_fn=tied_to_parent(signal.SIGKILL))
    try:
        end = time.monotonic() + 180
        while not kafka.answers(Settings(kafka=address)):
            assert process.poll() is None, (folder / "log").read_text()[-2000:]
            assert time.monotonic() < end, "the broker did not answer for 180 s"
        yield Broker(address, process, folder)
    finally:
        process.kill()
        process.wait(120)


def environment(settings: Settings, **more: str) -> dict[str, str]:
    """Return the environment of a process with the same settings."""
    mine = {"KAFKA": settings.kafka, "PREFIX": settings.prefix, "PARTITIONS": str(settings.partitions)}
    mine["DATA"] = str(settings.data)
    here = str(Path(__file__).parents[2])
    return os.environ | {f"FULFILLMENT_{name}": value for name, value in mine.items()} | {"PYTHONPATH": here} | more


def create(settings: Settings, name: str, partitions: int = 1, config: Mapping[str, str] | None = None) -> str:
    """Create a topic beside those of the service; return its full name."""
    client, topic = AdminClient({"bootstrap.servers": settings.kafka}), settings.named(name)
    client.create_topics([NewTopic(topic, partitions, 1, config=dict(config or {}))])[topic].result(120)
    wait_for_topics(client, {topic})
    return topic


def transactional(settings: Settings, name: str, seconds: float = 60) -> Producer:
    """Return a foreign transactional producer, ready to begin."""
    producer = Producer(
        {
            "bootstrap.servers": settings.kafka,
            "transactional.id": settings.named(name),
            "transaction.timeout.ms": int(seconds * 1000),
        }
    )
    producer.init_transactions(120)
    return producer
