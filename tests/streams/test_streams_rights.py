"""Each role works with a user of its own that has the rights of `fulfillment acls print`, and with nothing more."""

import argparse
import os
import shlex
import subprocess
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from confluent_kafka import KafkaError, Producer
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)
from real_kafka import running_broker
from system import FULFILLMENT, Api, free_ports, wait_until

from ops.stack import mongod
from streams.rights import USERS, User
from streams.runtime.settings import ROLES, Role
from streams.topics import TOPICS
from streams.topology import TOPOLOGY

PREFIX = "shop."
# A client of the first listener is an administrator; at the second one, the password of each user is its name.
PROPERTIES = """\
listeners=PLAINTEXT://{{address}},USERS://127.0.0.1:{port},CONTROLLER://127.0.0.1:{{controller}}
advertised.listeners=PLAINTEXT://{{address}},USERS://127.0.0.1:{port}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,USERS:SASL_PLAINTEXT
inter.broker.listener.name=PLAINTEXT
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
allow.everyone.if.no.acl.found=false
super.users=User:ANONYMOUS
listener.name.users.sasl.enabled.mechanisms=PLAIN
listener.name.users.plain.sasl.jaas.config=\
org.apache.kafka.common.security.plain.PlainLoginModule required {users};
"""
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

    def environment(self, user: User, **more: str) -> dict[str, str]:
        """Return the environment of a process that logs in as a user."""
        mine = {
            "KAFKA": f"127.0.0.1:{self.port}", "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
            "KAFKA_SASL_MECHANISM": "PLAIN", "KAFKA_USER": user, "KAFKA_PASSWORD": user, "MONGO": self.mongo,
            "PREFIX": PREFIX, "PARTITIONS": "2", "DATA": str(self.data), "HTTP_PORT": str(self.http_port),
            "WORKER_PORT": str(self.web_port(user)) if user in ROLES else "0",
        }  # fmt: skip
        return os.environ | {f"FULFILLMENT_{name}": value for name, value in mine.items()} | more

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


def grant(admin: AdminClient, rights: list[AclBinding]) -> None:
    for granted in admin.create_acls(rights).values():
        granted.result(30)


@pytest.fixture(scope="module")
def installation(processes: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    folder, first = tmp_path_factory.mktemp("rights"), free_ports(20)
    users = " ".join(f'user_{user}="{user}"' for user in USERS)
    with ExitStack() as stack:
        broker = stack.enter_context(running_broker(folder / "kafka", PROPERTIES.format(port=first, users=users)))
        log = stack.enter_context((folder / "mongod.log").open("wb"))
        database = subprocess.Popen(
            mongod.command(folder / "mongod", "127.0.0.1", first + 1), stdout=log, stderr=log
        )  # fmt: skip
        stack.callback(database.wait, 120)
        stack.callback(database.terminate)
        uri = f"mongodb://127.0.0.1:{first + 1}"
        assert mongod.answers(uri, timeout=180)
        admin = AdminClient({"bootstrap.servers": broker.address})
        found = Installation(admin, first, uri, folder, first + 2)
        lines = found.run("operator", "acls", "print").stdout.splitlines()
        grant(admin, [right for line in lines for right in printed(line)])
        created = found.run("setup", "topics", "create")
        assert (created.returncode, created.stderr) == (0, ""), created.stderr
        for role in ROLES:
            stack.enter_context(_worker(found, role))
        for role in ROLES:
            wait_until(lambda role=role: found.readyz(role)[0] == 200, f"{role} to be ready, see {folder}")
        yield found


@contextmanager
def _worker(installation: Installation, role: Role) -> Iterator[None]:
    with (installation.data / f"{role}.log").open("wb") as log:
        process = subprocess.Popen(
            [*FULFILLMENT, "worker", role], env=installation.environment(role), stdout=log, stderr=log
        )
    try:
        yield
    finally:
        process.terminate()
        process.wait(120)


@pytest.fixture
async def shop(installation: Installation) -> AsyncIterator[Api]:
    base = f"http://127.0.0.1:{installation.web_port('api')}/api/v1/"
    async with aiohttp.ClientSession(base_url=base) as session:
        yield Api(session)


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


@pytest.mark.parametrize("role", ROLES)
def test_a_role_may_not_write_to_the_topics_of_others(installation: Installation, role: Role) -> None:
    login = {
        "bootstrap.servers": f"127.0.0.1:{installation.port}", "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "PLAIN", "sasl.username": role, "sasl.password": role,
    }  # fmt: skip
    denied = {PREFIX + topic.name for topic in TOPICS if topic not in TOPOLOGY[role].may_write}
    assert denied == denied_writes(login, denied)


def denied_writes(login: dict[str, str], topics: set[str]) -> set[str]:
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
