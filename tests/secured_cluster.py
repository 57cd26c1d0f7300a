"""A system on three brokers that ask for TLS and a password, with three replicas of everything, MongoDB included.

`make test-secured` runs the tests of the HTTP API on it: the contract is the same as on one broker that asks nothing.
"""

import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from certificates import authority
from system import System, free_ports, wait_until

from ops.stack import kafka, mongod
from ops.stack.lifeline import tied_to_parent
from streams.runtime.settings import Settings

BROKERS = 3
USER, PASSWORD = "shop", "pa,ss=w0rd"
# A client of the first listener needs no credentials: tests ask the brokers there, and they ask each other.
PROPERTIES = """\
listeners=PLAINTEXT://{plain},SASL_SSL://localhost:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://{plain},SASL_SSL://localhost:{port}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL
inter.broker.listener.name=PLAINTEXT
ssl.keystore.type=PEM
ssl.keystore.location={key}
listener.name.sasl_ssl.sasl.enabled.mechanisms=PLAIN
listener.name.sasl_ssl.plain.sasl.jaas.config=\
org.apache.kafka.common.security.plain.PlainLoginModule required user_{user}="{password}";
"""


@dataclass
class Brokers:
    """Running brokers, and how to log in to them."""

    plain: str  # the addresses that ask for nothing
    secured: str
    authority: Path
    commands: Sequence[tuple[str, ...]]
    log: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, number: int) -> None:
        """Start a broker, the first of which is 0; the next one of that number replaces it."""
        with self.log.open("ab") as log:
            dies_with_us = tied_to_parent(signal.SIGKILL)
            process = subprocess.Popen(self.commands[number], stdout=log, stderr=log, preexec_fn=dies_with_us)
        self.processes[number : number + 1] = [process]

    def kill(self, number: int) -> None:
        """Kill a broker, and return when it is gone."""
        self.processes[number].kill()
        self.processes[number].wait(120)


@contextmanager
def running_brokers(folder: Path) -> Iterator[Brokers]:
    """Run three brokers whose data is in `folder`."""
    trusted = authority(folder)
    key, first = trusted.issue("broker").both(), free_ports(3 * BROKERS)
    plain = [f"127.0.0.1:{first + number}" for number in range(BROKERS)]
    secured = [first + BROKERS + number for number in range(BROKERS)]
    controllers = [first + 2 * BROKERS + number for number in range(BROKERS)]
    nodes = kafka.nodes(folder / "kafka", plain, controllers)
    commands = kafka.commands(nodes)
    for node, port in zip(nodes, secured, strict=True):
        with (node.folder / "server.properties").open("a") as config:
            config.write(
                PROPERTIES.format(
                    plain=node.address,
                    port=port,
                    controller=node.controller_port,
                    key=key,
                    user=USER,
                    password=PASSWORD,
                )
            )
    addresses = ",".join(f"localhost:{port}" for port in secured)
    brokers = Brokers(",".join(plain), addresses, trusted.certificate, commands, folder / "kafka.log")
    with ExitStack() as running:
        for number in range(BROKERS):
            brokers.start(number)
            running.callback(brokers.kill, number)
        for address in plain:
            settings = Settings(kafka=address)
            wait_until(lambda settings=settings: kafka.answers(settings), "the broker to answer")
        yield brokers


class SecuredSystem(System):
    """An installation that logs in to the brokers; `settings` are those of a client that needs no credentials."""

    options = ("--mongo-replicas", "3")

    def __init__(self, data: Path, brokers: Brokers, password: Path, **overrides: str) -> None:
        first = free_ports(3)
        nodes = ",".join(f"127.0.0.1:{first + number}" for number in range(3))
        password.write_text(PASSWORD + "\n")
        credentials = {
            "FULFILLMENT_KAFKA": brokers.secured,
            "FULFILLMENT_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "FULFILLMENT_KAFKA_SASL_MECHANISM": "PLAIN",
            "FULFILLMENT_KAFKA_USER": USER,
            "FULFILLMENT_KAFKA_PASSWORD_FILE": str(password),
            "FULFILLMENT_KAFKA_CA": str(brokers.authority),
        }
        mongo = f"mongodb://{nodes}/?replicaSet={mongod.REPLICA_SET}"
        common = {"FULFILLMENT_KAFKA": brokers.plain, "FULFILLMENT_MONGO": mongo, "FULFILLMENT_REPLICATION": "3"}
        super().__init__(data, **common, **overrides)
        self.env |= credentials


@contextmanager
def secured_system(folder: Path, **overrides: str) -> Iterator[tuple[SecuredSystem, Brokers]]:
    """Run the system and its brokers."""
    with running_brokers(folder) as brokers:
        system = SecuredSystem(folder / "data", brokers, folder / "password", **overrides)
        system.up()
        try:
            yield system, brokers
        finally:
            system.down()
