"""Clients of Kafka: one module makes their configuration, for every protocol."""

import ast
import ssl
import subprocess
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import faust
import pytest
from pydantic import ValidationError

from ops.stack.workers import environment
from streams.kafka import clients
from streams.kafka.clients import aiokafka_config, faust_config, librdkafka_config
from streams.kafka.tokens import NoToken, Tokens
from streams.runtime.settings import Settings

ROOT = Path(clients.__file__).parents[2]
HERE = Path(clients.__file__)
CODE = ("agents", "bench", "domain", "ops", "parking", "privacy", "projections", "streams", "tables", "web", "webhooks")
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


class Endpoint:
    """A token endpoint that answers everything alike, and remembers the credentials it got."""

    def __init__(self, status: int, body: bytes, **headers: str) -> None:
        self.status = status
        self.credentials: list[str | None] = []
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                endpoint.credentials.append(self.headers["Authorization"])
                self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(endpoint.status)
                for name, value in ({"Content-Length": str(len(body))} | headers).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST

            def log_message(self, *_: object) -> None:
                """Print nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> "Endpoint":
        Thread(target=self.server.serve_forever).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()


def tokens_of(endpoint: str) -> Tokens:
    client = {"kafka_oauth_client_id": "shop", "kafka_oauth_client_secret": "hunter2"}
    sasl = {"kafka_security_protocol": "SASL_SSL", "kafka_sasl_mechanism": "OAUTHBEARER"}
    return Tokens(Settings.model_validate(sasl | client | {"kafka_oauth_token_endpoint": endpoint}))


def test_the_client_secret_does_not_follow_a_redirect() -> None:
    with Endpoint(200, b'{"access_token": "stolen"}') as other, Endpoint(302, b"", Location=other.url) as endpoint:
        with pytest.raises(NoToken, match="it answered 302"):
            tokens_of(endpoint.url).current()
        assert (len(endpoint.credentials), other.credentials) == (1, [])


@pytest.mark.parametrize(
    "body",
    [
        *(b"[]", b"{}", b"no JSON", b'{"access_token": null}', b'{"access_token": "t", "expires_in": null}'),
        *(
            b'{"access_token": "t", "expires_in": %b}' % life
            for life in (b'"soon"', b"-1", b"0", b"NaN", b"true", b"1e999")
        ),
    ],
)
def test_an_answer_without_a_usable_token_is_an_error(body: bytes) -> None:
    with Endpoint(200, body) as endpoint, pytest.raises(NoToken, match="issued no token: "):
        tokens_of(endpoint.url).current()


def test_a_life_in_a_text_is_read() -> None:
    with Endpoint(200, b'{"access_token": "t", "expires_in": "600"}') as endpoint:
        token, expires_at = tokens_of(endpoint.url).current()
    assert token == "t"
    assert 500 < expires_at - time.time() <= 600


def test_an_answer_that_is_not_whole_is_an_error() -> None:
    cut = Endpoint(200, b"{}", **{"Content-Length": "9"})
    with cut as endpoint, pytest.raises(NoToken, match="issued no token: IncompleteRead"):
        tokens_of(endpoint.url).current()


def test_a_token_is_used_while_it_is_valid_although_there_is_no_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1_000_000.0]
    monkeypatch.setattr(time, "time", lambda: clock[0])
    with Endpoint(200, b'{"access_token": "t", "expires_in": 100}') as endpoint:
        tokens = tokens_of(endpoint.url)
        first = tokens.current()
        assert first == ("t", clock[0] + 100)
        endpoint.status, clock[0] = 503, clock[0] + 90
        assert [tokens.current(), tokens.current()] == [first, first]
        assert len(endpoint.credentials) == 2, "it does not ask for each connection"
        clock[0] += 6
        assert tokens.current() == first
        assert len(endpoint.credentials) == 3
        clock[0] += 5
        with pytest.raises(NoToken, match="it answered 503"):
            tokens.current()
        endpoint.status = 200
        assert tokens.current() == ("t", clock[0] + 100)


def test_the_token_endpoint_contains_no_credentials() -> None:
    with pytest.raises(ValidationError) as refused:
        tokens_of("https://shop:hunter3@issuer/token")
    assert "hunter3" not in str(refused.value)
