"""Clients of Kafka: one module makes their configuration, for every protocol."""

import ast
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import faust
import pytest
from pydantic import ValidationError

from ops.stack.workers import environment
from streams.kafka import clients
from streams.kafka.clients import aiokafka_config, faust_config, librdkafka_config
from streams.runtime.settings import Settings

ROOT = Path(clients.__file__).parents[2]
HERE = Path(clients.__file__)
CODE = ("agents", "bench", "domain", "ops", "parking", "projections", "streams", "tables", "web")
CONFIGS = {"aiokafka_config", "librdkafka_config"}
MODULES = ("aiokafka", "confluent_kafka", "streams.kafka.library_patches")
CLIENTS = {
    "AIOKafkaAdminClient", "AIOKafkaClient", "AIOKafkaConsumer", "AIOKafkaProducer", "AdminClient",
    "AvroConsumer", "AvroProducer", "Consumer", "DeserializingConsumer", "Producer", "SerializingProducer",
}  # fmt: skip
LOGIN = {"kafka_security_protocol": "SASL_PLAINTEXT", "kafka_user": "shop", "kafka_password": "hunter2"}


def imported_clients(tree: ast.AST) -> set[str]:
    """Return the names under which a module imports a client."""
    return {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(MODULES)
        for alias in node.names
        if alias.name in CLIENTS
    }


def called(node: ast.AST) -> str | None:
    function = node.func if isinstance(node, ast.Call) else None
    return function.id if isinstance(function, ast.Name) else getattr(function, "attr", None)


def clients_without_config(source: str) -> Iterator[int]:
    """Yield the lines that make a client without our configuration, or say themselves where Kafka is."""
    tree = ast.parse(source)
    names = imported_clients(tree)
    for node in ast.walk(tree):
        if called(node) in names and not any(called(each) in CONFIGS for each in ast.walk(node)):
            yield node.lineno  # type: ignore[attr-defined]
        if isinstance(node, ast.keyword) and node.arg == "bootstrap_servers":
            yield node.value.lineno
        if isinstance(node, ast.Constant) and node.value in ("bootstrap.servers", "bootstrap_servers"):
            yield node.lineno


def test_every_client_begins_with_our_configuration() -> None:
    files = [path for room in CODE for path in (ROOT / room).rglob("*.py") if path != HERE]
    assert any(CLIENTS & imported_clients(ast.parse(path.read_text())) for path in files)
    found = [f"{path.relative_to(ROOT)}:{line}" for path in files for line in clients_without_config(path.read_text())]
    assert found == [], "build these with aiokafka_config or librdkafka_config (streams/kafka/clients.py)"


@pytest.mark.parametrize(
    "source",
    [
        "from aiokafka import AIOKafkaConsumer as Reader\nReader('topic')",
        "from confluent_kafka import Producer\nProducer({'acks': 'all'})",
        "from confluent_kafka.admin import AdminClient\nAdminClient({**given})",
        "from aiokafka import AIOKafkaProducer\nAIOKafkaProducer(**options)",
        "options = {'bootstrap.servers': address}",
        "options = dict(bootstrap_servers=address)",
    ],
)
def test_a_client_built_elsewhere_is_found(source: str) -> None:
    assert list(clients_without_config(source))


def test_without_settings_clients_connect_as_before() -> None:
    assert aiokafka_config(Settings()) == {"bootstrap_servers": "127.0.0.1:9092", "security_protocol": "PLAINTEXT"}
    assert librdkafka_config(Settings()) == {
        "bootstrap.servers": "127.0.0.1:9092", "security.protocol": "PLAINTEXT", "log_level": 0,
    }  # fmt: skip
    assert faust_config(Settings(kafka="a:1,b:2"))["broker_credentials"] is None
    assert [str(each) for each in faust_config(Settings(kafka="a:1,b:2"))["broker"]] == ["kafka://a:1", "kafka://b:2"]


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_a_password_is_looked_up_for_each_connection(mechanism: str, tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("first\n")
    settings = Settings(
        **LOGIN | {"kafka_password": None}, kafka_password_file=password, kafka_sasl_mechanism=mechanism
    )
    config, credentials = aiokafka_config(settings), faust_config(settings)["broker_credentials"]
    assert isinstance(credentials, faust.SASLCredentials)
    assert (credentials.protocol.value, credentials.mechanism.value) == ("SASL_PLAINTEXT", mechanism)
    assert config["sasl_plain_username"]() == "shop"
    assert config["sasl_plain_password"]() == credentials.password() == "first"  # type: ignore[misc]
    password.write_text("second")
    assert config["sasl_plain_password"]() == credentials.password() == "second"  # type: ignore[misc]
    assert librdkafka_config(settings)["sasl.password"] == "second"


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    cert, key = folder / f"{name}.pem", folder / f"{name}.key"
    subprocess.run(
        ("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", f"/CN={name}", "-keyout", str(key), "-out", str(cert)), check=True, capture_output=True,
    )  # fmt: skip
    return cert, key


def test_a_certificate_is_read_again_when_its_file_changes(processes: None, tmp_path: Path) -> None:
    cert, key = certificate(tmp_path, "shop")
    settings = Settings(kafka_security_protocol="SSL", kafka_ca=cert, kafka_certificate=cert, kafka_key=key)
    context = aiokafka_config(settings)["ssl_context"]
    first = context()
    assert context() is first
    assert first.check_hostname
    assert first.verify_mode is ssl.CERT_REQUIRED
    newer, newer_key = certificate(tmp_path, "newer")
    newer.replace(cert)
    newer_key.replace(key)
    assert context() is not first
    assert librdkafka_config(settings) | {"log_level": 0} == {
        "bootstrap.servers": "127.0.0.1:9092", "security.protocol": "SSL", "log_level": 0,
        "ssl.ca.location": str(cert), "ssl.certificate.location": str(cert), "ssl.key.location": str(key),
        "ssl.endpoint.identification.algorithm": "https",
    }  # fmt: skip


def test_the_host_name_is_checked_unless_told_otherwise() -> None:
    trusting = Settings(kafka_security_protocol="SSL", kafka_check_hostname=False)
    assert not aiokafka_config(trusting)["ssl_context"]().check_hostname
    assert librdkafka_config(trusting)["ssl.endpoint.identification.algorithm"] == "none"


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"kafka_security_protocol": "SASL_SSL"}, "needs FULFILLMENT_KAFKA_USER and FULFILLMENT_KAFKA_PASSWORD"),
        (LOGIN | {"kafka_sasl_mechanism": "OAUTHBEARER"}, "needs FULFILLMENT_KAFKA_OAUTH_TOKEN_ENDPOINT and "),
        (LOGIN | {"kafka_security_protocol": "PLAINTEXT"}, "FULFILLMENT_KAFKA_USER is not used"),
        (LOGIN | {"kafka_ca": __file__}, "FULFILLMENT_KAFKA_CA is not used"),
        (LOGIN | {"kafka_password_file": __file__}, "set either FULFILLMENT_KAFKA_PASSWORD or "),
        ({"kafka_security_protocol": "SSL", "kafka_key": __file__}, "KAFKA_KEY needs FULFILLMENT_KAFKA_CERTIFICATE"),
        ({"kafka_security_protocol": "SSL", "kafka_ca": "/gone"}, "KAFKA_CA: /gone cannot be read (No such file"),
    ],
)
def test_incomplete_credentials_are_refused(given: dict[str, str], sentence: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Settings(**given)
    assert sentence in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_children_get_the_password() -> None:
    settings = Settings(**LOGIN)
    assert environment(settings)["FULFILLMENT_KAFKA_PASSWORD"] == "hunter2"
    assert "hunter2" not in repr(settings)
