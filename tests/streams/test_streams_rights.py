"""Each role works with a user of its own that has the rights of `fulfillment acls print`, and with nothing more."""

import argparse
import os
import shlex
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jgo.maven
import pytest
from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.fetch import FetchRequest
from confluent_kafka import KafkaError, KafkaException, Producer, TopicCollection
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)
from kafka import await_rights, grant
from real_kafka import Broker, running_broker
from system import FULFILLMENT, PATIENCE_SECONDS, PATIENT, Api, api_at, free_ports, wait_until

from ops.stack import kafka, mongod
from ops.stack.lifeline import tied_to_parent
from streams.kafka.clients import aiokafka_config
from streams.kafka.wire import Code
from streams.rights import INCLUDES, USERS, Resource, User, rights_of
from streams.runtime.settings import ROLES, Role, Settings
from streams.topics import TOPICS

PREFIX = "shop."
ADMIN = "admin"
# The users that Kafka's own tool grants their rights. It takes a second for each command, so another client grants the
# same rights to the others.
BY_TOOL: tuple[User, ...] = ("orders", "setup")
# A client of the first listener is an administrator; at the second one, the password of each user is its name.
PROPERTIES = """\
listeners=PLAINTEXT://{{address}},USERS://127.0.0.1:{port},CONTROLLER://127.0.0.1:{{controller}}
advertised.listeners=PLAINTEXT://{{address}},USERS://127.0.0.1:{port}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,USERS:SASL_PLAINTEXT
inter.broker.listener.name=PLAINTEXT
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
allow.everyone.if.no.acl.found=false
super.users=User:ANONYMOUS;User:{admin}
listener.name.users.sasl.enabled.mechanisms=PLAIN
listener.name.users.plain.sasl.jaas.config=\
org.apache.kafka.common.security.plain.PlainLoginModule required {users};
"""
LOGIN = {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN"}
JAAS = 'org.apache.kafka.common.security.plain.PlainLoginModule required username="{admin}" password="{admin}";'
KINDS = {
    "topic": ResourceType.TOPIC, "group": ResourceType.GROUP, "transactional_id": ResourceType.TRANSACTIONAL_ID,
}  # fmt: skip


@dataclass(frozen=True)
class Installation:
    """Servers on which each user has the rights that are printed for it."""

    admin: AdminClient
    port: int
    mongo: str
    data: Path
    http_port: int
    workers: dict[Role, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    def environment(self, user: User, **more: str) -> dict[str, str]:
        """Return the environment of a process that logs in as a user."""
        mine = {
            "KAFKA": f"127.0.0.1:{self.port}", "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
            "KAFKA_SASL_MECHANISM": "PLAIN", "KAFKA_USER": user, "KAFKA_PASSWORD": user, "MONGO": self.mongo,
            "PREFIX": PREFIX, "PARTITIONS": "2", "DATA": str(self.data), "HTTP_PORT": str(self.http_port),
            "WORKER_PORT": str(self.web_port(user)) if user in ROLES else "0",
            "TRANSACTION_TIMEOUT": "60",
        }  # fmt: skip
        return os.environ | PATIENT | {f"FULFILLMENT_{name}": value for name, value in mine.items()} | more

    def web_port(self, role: Role) -> int:
        """Return the port of the web server of a role."""
        return self.http_port if role == "api" else self.http_port + 1 + ROLES.index(role)

    def readyz(self, role: Role) -> tuple[int, str]:
        """Return the status and the text of a worker's /readyz; status 0 if it does not answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.web_port(role)}/readyz", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return 0, ""

    def settings(self, user: User) -> Settings:
        """Return the settings of a client that logs in as a user."""
        return Settings(
            kafka=f"127.0.0.1:{self.port}",
            prefix=PREFIX,
            kafka_security_protocol="SASL_PLAINTEXT",
            kafka_sasl_mechanism="PLAIN",
            kafka_user=user,
            kafka_password=user,
        )

    def client(self, user: User, **more: Any) -> dict[str, Any]:
        """Return the configuration of a client of librdkafka that logs in as a user."""
        login = {"bootstrap.servers": f"127.0.0.1:{self.port}", "sasl.username": user, "sasl.password": user}
        return LOGIN | login | more

    def start(self, role: Role) -> None:
        """Start a worker, which nothing restarts."""
        with (self.data / f"{role}.log").open("ab") as log:
            self.workers[role] = subprocess.Popen(
                [*FULFILLMENT, "worker", role], env=self.environment(role), stdout=log, stderr=log,
                preexec_fn=tied_to_parent(signal.SIGKILL),
            )  # fmt: skip

    def stop(self) -> None:
        """Stop the workers."""
        for process in self.workers.values():
            process.terminate()
        for process in self.workers.values():
            process.wait(120)

    def run(self, user: User, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `fulfillment …` as a user."""
        return subprocess.run(
            [*FULFILLMENT, *arguments], env=self.environment(user), capture_output=True, text=True, timeout=300,
            check=False,
        )  # fmt: skip


def printed(line: str) -> Iterator[AclBinding]:
    """Yield the rights that a printed command grants."""
    words, parser = shlex.split(line), argparse.ArgumentParser(allow_abbrev=False)
    assert words[0] == "kafka-acls.sh"
    for name in ("--bootstrap-server", "--command-config", "--allow-principal", "--resource-pattern-type"):
        parser.add_argument(name)
    parser.add_argument("--add", action="store_true", required=True)
    for name in ("--operation", "--topic", "--group", "--transactional-id"):
        parser.add_argument(name, action="append", default=[])
    given = parser.parse_args(words[1:])
    prefixed = given.resource_pattern_type == "prefixed"
    pattern = ResourcePatternType.PREFIXED if prefixed else ResourcePatternType.LITERAL
    for kind, resource in KINDS.items():
        for name in getattr(given, kind):
            for operation in given.operation:
                code = AclOperation[{"DescribeConfigs": "DESCRIBE_CONFIGS", "AlterConfigs": "ALTER_CONFIGS"}.get(
                    operation, operation.upper()
                )]  # fmt: skip
                yield AclBinding(
                    resource, name, pattern, given.allow_principal, "*", code, AclPermissionType.ALLOW
                )  # fmt: skip


def run_tool(broker: Broker, folder: Path, line: str) -> None:
    """Run a printed command with the class that `kafka-acls.sh` runs, as an administrator."""
    java, *options = map(str, broker.process.args)  # type: ignore[union-attr]  # a sequence
    tools = (
        jgo.maven.MavenContext()
        .project("org.apache.kafka", "kafka-tools")
        .at_version(kafka.VERSION)
        .artifact()
        .resolve()
    )
    classes = f"{options[options.index('-cp') + 1]}:{tools}"
    configuration = LOGIN | {"sasl.jaas.config": JAAS.format(admin=ADMIN)}
    (folder / "admin.properties").write_text("".join(f"{name}={value}\n" for name, value in configuration.items()))
    _, *arguments = shlex.split(line)
    command = (java, "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", classes)
    done = subprocess.run(
        [*command, "org.apache.kafka.tools.AclCommand", *arguments],
        cwd=folder, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Adding ACLs for resource" in done.stdout


@pytest.fixture(scope="module")
def installation(processes: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    folder, first = tmp_path_factory.mktemp("rights"), free_ports(20)
    users = " ".join(f'user_{user}="{user}"' for user in (*USERS, ADMIN))
    with ExitStack() as stack:
        broker = stack.enter_context(
            running_broker(folder / "kafka", PROPERTIES.format(port=first, users=users, admin=ADMIN))
        )
        log = stack.enter_context((folder / "mongod.log").open("wb"))
        database = subprocess.Popen(
            mongod.command(folder / "mongod", "127.0.0.1", first + 1), stdout=log, stderr=log,
            preexec_fn=tied_to_parent(signal.SIGKILL),
        )  # fmt: skip
        stack.callback(database.wait, 120)
        stack.callback(database.terminate)
        uri = f"mongodb://127.0.0.1:{first + 1}"
        assert mongod.answers(uri, timeout=180)
        admin = AdminClient({"bootstrap.servers": broker.address})
        found = Installation(admin, first, uri, folder, first + 2)
        for line in found.run("operator", "acls", "print").stdout.splitlines():
            if any(f"--allow-principal User:{user} " in line for user in BY_TOOL):
                run_tool(broker, folder, line)
                await_rights(admin, list(printed(line)))
            else:
                grant(admin, list(printed(line)))
        created = found.run("setup", "topics", "create")
        assert (created.returncode, created.stderr) == (0, ""), created.stderr
        stack.callback(found.stop)
        for role in ROLES:
            found.start(role)
        for role in ROLES:
            wait_until(lambda role=role: found.readyz(role)[0] == 200, f"{role} to be ready, see {folder}")
        yield found


@pytest.fixture
async def shop(installation: Installation) -> AsyncIterator[Api]:
    base = f"http://127.0.0.1:{installation.web_port('api')}/api/v1"
    async with api_at(base) as api:
        yield api


async def test_the_roles_work_together_each_as_a_user_of_its_own(installation: Installation, shop: Api) -> None:
    await shop.stock("boots", 5)
    order = await shop.place(("boots", 2), orderId="first")
    status, answer, _ = await shop("POST", f"/orders/{order['id']}/shipments", {})
    assert status == 201, answer
    await shop.order("first", lambda found: found["status"] == "SHIPPED")
    status, answer, _ = await shop("GET", "/orders/first/explain")
    assert status == 200, answer


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("topics create", "all topics exist"),
        ("topics list", "shop.order-events"),
        ("topics adopt", "no topic was replaced"),
        ('produce Hold --key first --data {"reason":"look"} --wait', "accepted"),
        ("tail order-events --last 1 --no-follow", ""),
        ("letters list", ""),
        ("transactions list", ""),
        ("outcomes --last 1", ""),
        ("audit", ""),
    ],
)  # fmt: skip
def test_the_operator_may_use_the_commands(installation: Installation, command: str, says: str) -> None:
    done = installation.run("operator", *command.split())
    assert "authoriz" not in done.stderr.lower()
    assert says in done.stdout
    assert done.returncode == 0, done.stderr


def test_kafkas_own_tool_grants_what_is_printed(installation: Installation) -> None:
    for user in BY_TOOL:
        wanted = AclBindingFilter(
            ResourceType.ANY,
            None,
            ResourcePatternType.ANY,
            f"User:{user}",
            None,
            AclOperation.ANY,
            AclPermissionType.ANY,
        )
        lines = installation.run("operator", "acls", "print", user).stdout.splitlines()
        assert {*installation.admin.describe_acls(wanted).result(60)} == {
            each for line in lines for each in printed(line)
        }


NAMES = {PREFIX + topic.name for topic in TOPICS}


def topics_with(user: User, operation: str) -> set[str]:
    """Return the topics on which a user has a right."""
    granted = rights_of(user, Settings(prefix=PREFIX))
    return {each.name for each, operations in granted.items() if each.name in NAMES and operation in operations}


@pytest.mark.parametrize("user", USERS)
def test_the_broker_allows_a_user_what_is_printed_and_nothing_more(installation: Installation, user: User) -> None:
    granted, client = rights_of(user, Settings(prefix=PREFIX)), AdminClient(installation.client(user))
    asked = client.describe_topics(
        TopicCollection(sorted(NAMES)), include_authorized_operations=True, request_timeout=PATIENCE_SECONDS
    )
    for name, future in asked.items():
        expected = {*granted.get(Resource("topic", name), ())}
        expected |= {included for each in expected for included in INCLUDES.get(each, ())}
        assert allowed(future) == expected, name


def allowed(described: Any) -> set[str]:
    """Return what the broker allows a user on a topic."""
    try:
        return {operation.name for operation in described.result(PATIENCE_SECONDS).authorized_operations}
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_AUTHORIZATION_FAILED:
            raise
        return set()


@pytest.mark.parametrize("user", ROLES)
async def test_a_role_may_not_read_the_topics_of_others(installation: Installation, user: User) -> None:
    denied = NAMES - topics_with(user, "READ")
    assert denied == await denied_reads(installation.settings(user), NAMES)


async def denied_reads(settings: Settings, topics: set[str]) -> set[str]:
    """Return the topics that refuse a fetch, also of a client that knows their leader without their metadata."""
    client = AIOKafkaClient(**aiokafka_config(settings))
    try:
        await client.bootstrap()
        (broker,) = client.cluster.brokers()
        asked = [(topic, [(0, 0, 1024)]) for topic in sorted(topics)]
        answer = await client.send(broker.nodeId, FetchRequest(100, 1, 1 << 20, 1, asked))
        codes = {topic: code for topic, ((_, code, *_),) in answer.topics}
        assert {*codes} == topics
        return {topic for topic, code in codes.items() if code == Code.TOPIC_AUTHORIZATION_FAILED}
    finally:
        await client.close()


@pytest.mark.parametrize("user", ROLES)
def test_a_role_may_not_write_to_the_topics_of_others(installation: Installation, user: User) -> None:
    denied = NAMES - topics_with(user, "WRITE")
    assert denied == denied_writes(installation.client(user), denied)


def denied_writes(login: dict[str, Any], topics: set[str]) -> set[str]:
    """Return the topics that refuse a client's record."""
    codes: list[tuple[str, int | None]] = []
    producer = Producer(login)
    for topic in topics:
        producer.produce(
            topic, b"{}", b"denied",
            on_delivery=lambda error, _, topic=topic: codes.append((topic, error and error.code())),
        )  # fmt: skip
    assert producer.flush(120) == 0
    return {topic for topic, code in codes if code == KafkaError.TOPIC_AUTHORIZATION_FAILED}


@pytest.mark.parametrize(
    ("user", "command", "topic"),
    [
        ("orders", "tail inventory-events --last 1 --no-follow", "inventory-events"),
        ("projector", 'produce Hold --key first --data {"reason":"look"}', "order-commands"),
    ],
)
def test_a_command_without_the_right_says_so_in_a_sentence(
    installation: Installation, user: User, command: str, topic: str
) -> None:
    done = installation.run(user, *command.split())
    assert done.returncode != 0
    assert f"does not authorize this service for the topic {PREFIX}{topic}" in done.stderr
    assert "Traceback" not in done.stderr
