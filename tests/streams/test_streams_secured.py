"""Every way to log in, against a real broker: what works, what a rotation changes, and what each failure reads like."""

import asyncio
import logging
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError
from certificates import authority
from confluent_kafka.admin import AclBinding, AclOperation, AclPermissionType, AdminClient, ResourcePatternType
from confluent_kafka.admin import ResourceType as Kind
from kafka import grant, revoke
from real_kafka import create
from secured_kafka import LISTENERS, PASSWORD, REFUSED, USER, Secured
from system import PATIENCE_SECONDS, eventually
from typer.testing import CliRunner

from ops.cli import cli
from ops.kafka import records
from ops.stack import kafka
from ops.stack.workers import environment
from streams.kafka import diagnosis
from streams.kafka.batches import Write
from streams.kafka.clients import aiokafka_config
from streams.kafka.diagnosis import diagnose
from streams.kafka.groups import Groups
from streams.kafka.producer import TransactionalProducer
from streams.kafka.pulse import until_kafka_answers
from streams.runtime.settings import Settings
from streams.topic_setup import ensure_topics
from web.main import create_app


@pytest.fixture(autouse=True)
def patient_diagnosis(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy broker may answer late; each of its answers here is worth waiting for."""
    monkeypatch.setattr(diagnosis, "CONNECT_SECONDS", PATIENCE_SECONDS)


WAYS = [*(name for name in LISTENERS if name not in ("EXPIRED", "MISNAMED")), "PLAIN"]


def settings_for(secured: Secured, way: str, **more: Any) -> Settings:
    own = {"prefix": f"{way.lower()}-", "partitions": 2} | more
    if way == "PLAIN":
        return secured.settings("SASL_SSL", kafka_sasl_mechanism="PLAIN", **own)
    return secured.settings(way, **own)


@pytest.mark.parametrize("way", WAYS)
async def test_clients_of_both_libraries_and_our_producer_log_in(secured: Secured, way: str) -> None:
    settings = settings_for(secured, way)
    assert "order-events" in " ".join(await ensure_topics(settings))
    producer = TransactionalProducer(settings, settings.named("writer"), 30)
    await producer.claim()
    await producer.produce([Write(settings.named("order-events"), 0, b"key", b"value", ())])
    await producer.end(commit=True)
    await producer.close()
    found = await asyncio.to_thread(lambda: list(records.read_all(settings, "order-events")))
    assert [record.value for record in found] == [b"value"]
    assert await Groups(settings).left([]) == {}
    assert await diagnose(settings, [settings.named("order-events")]) is None


# --- failures


def told(secured: Secured, failure: str) -> tuple[Settings, str]:
    """Return settings that fail, and the sentence that says why."""
    login, ports = secured.options("SASL_SSL"), secured.ports
    no_authority = {name: value for name, value in login.items() if name != "kafka_ca"}
    tls = {"kafka_security_protocol": "SSL", "kafka_ca": secured.authority.certificate}
    at = {name: f"localhost:{port}" for name, port in ports.items()}
    wrong, nowhere = login | {"kafka_password": "wrong"}, "127.0.0.1:9"
    given, sentence = {
        "wrong password": (wrong, f"at {at['SASL_SSL']} refuses the user or password"),
        "wrong password, PLAIN": (wrong | {"kafka_sasl_mechanism": "PLAIN"}, "refuses the user or password (PLAIN)"),
        "wrong mechanism": (login | {"kafka_sasl_mechanism": "SCRAM-SHA-256"}, "does not offer SCRAM-SHA-256"),
        "untrusted": (no_authority, "is not trusted (unable to get local issuer certificate)"),
        "expired": (secured.options("EXPIRED"), "is not trusted (certificate has expired)"),
        "other host": (secured.options("MISNAMED"), "is not trusted (Hostname mismatch"),
        "no certificate": (tls | {"kafka": at["SSL"]}, "does not accept this service's certificate"),
        "no TLS": ({"kafka": at["SASL_SSL"]}, f"{at['SASL_SSL']} requires TLS"),
        "only TLS": (tls | {"kafka": secured.plain.kafka}, f"{secured.plain.kafka} does not use TLS on this port"),
        "no login": ({"kafka": at["SASL_PLAINTEXT"]}, f"{at['SASL_PLAINTEXT']} requires a login"),
        "only login": (secured.options("SASL_PLAINTEXT") | {"kafka": secured.plain.kafka}, "has no login on this port"),
        "no token": (secured.options("OAUTH") | {"kafka_oauth_client_secret": "wrong"}, "issued no token: it answered"),
        **{
            f"token {scope}": (
                secured.options("OAUTH") | {"kafka_oauth_scope": scope},
                f"{at['OAUTH']} refuses the token",
            )
            for scope in REFUSED
        },
        "nobody": (login | {"kafka": nowhere}, f"Kafka is unreachable: {nowhere} does not answer (Connection refused)"),
    }[failure]
    return Settings(**given), sentence


DIFFERENT = ("wrong password", "untrusted", "no TLS", "nobody", "token elsewhere")


@pytest.mark.parametrize(
    "failure",
    [
        *("wrong password", "wrong password, PLAIN", "wrong mechanism", "untrusted", "expired", "other host"),
        *("no certificate", "no TLS", "only TLS", "no login", "only login", "no token", "nobody"),
        *(f"token {scope}" for scope in REFUSED),
    ],
)
async def test_each_failure_has_its_own_sentence(
    secured: Secured, failure: str, caplog: pytest.LogCaptureFixture
) -> None:
    settings, sentence = told(secured, failure)
    said = asyncio.Queue[str | None]()
    with caplog.at_level(logging.WARNING):
        waiting = asyncio.create_task(until_kafka_answers(settings, ["order-commands"], said.put_nowait))
        why = await eventually(
            lambda: asyncio.wait_for(said.get(), PATIENCE_SECONDS), lambda why: sentence in str(why)
        )  # a busy broker may not answer at first
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    assert str(why) in caplog.text.replace("; retrying", "")
    assert_no_secret(caplog.text)


@pytest.mark.parametrize("failure", DIFFERENT)
async def test_the_api_says_on_readyz_why_it_is_not_ready(secured: Secured, failure: str) -> None:
    settings, sentence = told(secured, failure)
    async with api(settings) as client:

        async def reason() -> str:
            return str((await (await client.get("/readyz")).json())["reasons"]["kafka"])

        assert_no_secret(await eventually(reason, lambda found: sentence in found))


@asynccontextmanager
async def api(settings: Settings) -> AsyncIterator[Any]:
    client = TestClient(TestServer(create_app(settings).web.web_app))
    await client.start_server()
    try:
        yield client
    finally:
        await client.close()


@pytest.mark.parametrize("failure", DIFFERENT)
def test_the_command_line_says_why_it_fails(
    secured: Secured, failure: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings, sentence = told(secured, failure)
    monkeypatch.setattr(records, "ASK_SECONDS", 1.0)
    shown = CliRunner().invoke(cli, ["tail", "--no-follow"], env=environment(settings))
    assert shown.exit_code == 69, shown.output
    assert sentence.partition(":")[0] in shown.stderr if failure != "nobody" else "does not answer" in shown.stderr
    assert_no_secret(shown.output + shown.stderr)


def assert_no_secret(text: str) -> None:
    assert not any(secret in text for secret in (PASSWORD, "wrong'", "s3cret"))


# --- rights


@contextmanager
def denied(secured: Secured, topic: str) -> Iterator[None]:
    """Allow a topic to another user only."""
    client = AdminClient({"bootstrap.servers": secured.plain.kafka})
    someone = ("User:someone", "*", AclOperation.ALL, AclPermissionType.ALLOW)
    allowed = AclBinding(Kind.TOPIC, topic, ResourcePatternType.LITERAL, *someone)
    grant(client, [allowed])
    try:
        yield
    finally:
        revoke(client, [allowed])


async def test_a_topic_without_rights_is_named(secured: Secured, caplog: pytest.LogCaptureFixture) -> None:
    settings = settings_for(secured, "SASL_SSL", prefix="denied-")
    topic = create(secured.plain.model_copy(update={"prefix": "denied-"}), "order-commands", 2)
    sentence = f"Kafka does not authorize this service for the topic {topic}"
    with denied(secured, topic):
        said = asyncio.Queue[str | None]()
        waiting = asyncio.create_task(until_kafka_answers(settings, [topic], said.put_nowait))
        await eventually(lambda: asyncio.wait_for(said.get(), PATIENCE_SECONDS), lambda why: sentence in str(why))
        waiting.cancel()
        shown = await asyncio.to_thread(
            CliRunner().invoke, cli, ["tail", "--no-follow", "order-commands"], env=environment(settings)
        )
        assert sentence in shown.stderr, shown.output


# --- rotation


async def connects(client: AIOKafkaClient) -> bool:
    try:
        await client.bootstrap()
    except KafkaError:
        return False
    return True


async def test_a_running_client_uses_a_changed_password(secured: Secured, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("before")
    secured.set_password("before", user="rotating")
    login = {"kafka_user": "rotating", "kafka_password": None, "kafka_password_file": file}
    settings = secured.settings("SASL_SSL", **login)
    client = AIOKafkaClient(**aiokafka_config(settings))
    try:
        assert await connects(client)
        secured.set_password("after", user="rotating")
        await eventually(lambda: connects(client), lambda connected: not connected)
        file.write_text("after\n")
        assert await connects(client)
        assert await asyncio.to_thread(kafka.answers, settings)
    finally:
        await client.close()


async def test_a_running_client_uses_a_changed_certificate(secured: Secured, tmp_path: Path) -> None:
    mine = {"kafka_certificate": tmp_path / "mine.pem", "kafka_key": tmp_path / "mine.key"}

    def use(files: Any) -> None:
        shutil.copy(files.certificate, mine["kafka_certificate"])
        shutil.copy(files.key, mine["kafka_key"])

    use(secured.certificate)
    client = AIOKafkaClient(**aiokafka_config(secured.settings("SSL", **mine)))
    try:
        assert await connects(client)
        use(authority(tmp_path, "another").issue(USER))
        assert not await connects(client)
        use(secured.authority.issue("renewed"))
        assert await connects(client)
    finally:
        await client.close()


async def test_a_token_is_used_for_most_of_its_life(secured: Secured, monkeypatch: pytest.MonkeyPatch) -> None:
    before = secured.issuer.issued
    assert await connects_twice(secured, "long-lived-")
    assert secured.issuer.issued == before + 1
    monkeypatch.setattr(secured.issuer, "life_seconds", 6)

    async def renewed() -> int:
        await connects_twice(secured, "short-lived-")
        return secured.issuer.issued

    await eventually(renewed, lambda count: count > before + 2)


async def connects_twice(secured: Secured, prefix: str) -> bool:
    client = AIOKafkaClient(**aiokafka_config(secured.settings("OAUTH", prefix=prefix)))
    try:
        return await connects(client) and await connects(client)
    finally:
        await client.close()
