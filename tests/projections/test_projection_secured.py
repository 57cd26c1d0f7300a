"""A MongoDB that requires TLS and a password, as a replica set: everything about it is in the URI, for both drivers."""

import asyncio
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from aiohttp.test_utils import TestClient, TestServer
from certificates import authority
from pymongo import MongoClient
from pymongo.errors import PyMongoError
from system import eventually, free_ports, wait_until
from typer.testing import CliRunner

from ops.cli import cli
from ops.doctor import machine
from ops.doctor.finding import Finding
from ops.stack import mongod
from projections.mongo import client
from projections.mongo.client import Mongo
from projections.mongo.failures import describe, is_refused, is_unreachable
from projections.mongo.indexes import create_indexes
from projections.mongo.registry import Registry
from projections.table import PROJECTIONS
from streams.runtime.settings import Settings
from web.main import create_app

PASSWORD, WRONG = "pass%40word", "no-such-password"  # an @ as it is written in a URI
SECRETS = (PASSWORD, "pass@word", WRONG)
DATABASE = "shop"
TOOLS: dict[str, Any] = {"serverSelectionTimeoutMS": 180_000}  # for the tests' own clients, on a busy machine


class Secured(NamedTuple):
    """A secured server: its port, and the files of its authority and of another one."""

    port: int
    ca: Path
    other: Path

    def uri(self, user: str = f"shop:{PASSWORD}@", ca: Path | None = None, port: int = 0) -> str:
        """Return a URI with all that a client needs."""
        options = f"replicaSet=rs&tls=true&tlsCAFile={ca or self.ca}&authSource={DATABASE}"
        return f"mongodb://{user}127.0.0.1:{port or self.port}/?{options}"

    def failing(self, failure: str) -> tuple[str, str]:
        """Return a URI that fails, and the sentence that says why."""
        at = f"127.0.0.1:{self.port}"
        return {
            "wrong password": (self.uri(f"shop:{WRONG}@"), "MongoDB refused the credentials (Authentication failed"),
            "untrusted": (
                self.uri(ca=self.other),
                f"MongoDB has a certificate that is not trusted ({at}: certificate verify failed",
            ),
            "nobody": (self.uri(port=9), "MongoDB is unreachable (127.0.0.1:9: Connection refused"),
        }[failure]


FAILURES = ("wrong password", "untrusted", "nobody")


@pytest.fixture(scope="module")
def secured(processes: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("secured")
    ours, other = authority(folder), authority(folder, "other")
    key = folder / "members.key"
    key.write_text("keyOfTheMembersOfTheSet")
    key.chmod(0o600)
    port = free_ports(1)
    options = (
        *("--replSet", "rs", "--keyFile", str(key), "--tlsMode", "requireTLS", "--tlsCAFile", str(ours.certificate)),
        *("--tlsCertificateKeyFile", str(ours.issue("server").both()), "--tlsAllowConnectionsWithoutCertificates"),
    )
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen((*mongod.command(folder, "127.0.0.1", port), *options), stdout=log, stderr=log)
    try:
        secured = Secured(port, ours.certificate, other.certificate)
        _prepare(secured, folder / "log")
        yield secured
    finally:
        process.terminate()
        process.wait(120)


def _prepare(secured: Secured, log: Path) -> None:
    """Form the set and create a user with rights in one database, as a connection from this machine may at first."""
    options: dict[str, Any] = {"directConnection": True, "tls": True, "tlsCAFile": str(secured.ca), **TOOLS}
    member = {"_id": 0, "host": f"127.0.0.1:{secured.port}"}
    with MongoClient[dict[str, Any]]("127.0.0.1", secured.port, **options) as first:
        first.admin.command("replSetInitiate", {"_id": "rs", "members": [member]})
        wait_until(lambda: bool(first.admin.command("hello")["isWritablePrimary"]), f"a primary, see {log}")
        first.admin.command("createUser", "root", pwd="root", roles=["root"])
    login = {"username": "root", "password": "root"}
    with MongoClient[dict[str, Any]]("127.0.0.1", secured.port, **login, **options) as root:
        roles = [{"role": "readWrite", "db": DATABASE}]
        root[DATABASE].command("createUser", "shop", pwd="pass@word", roles=roles)


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """No election and no repeat will change these failures; on a busy machine, tests ask again until they show."""
    monkeypatch.setattr(client, "ELECTION_MS", 1_500)
    monkeypatch.setattr(client, "SOCKET_MS", 2_000)


@pytest.fixture(params=["pymongo", "motor"])
def driver(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def settings_of(driver: str, uri: str, database: str = DATABASE) -> Settings:
    return Settings.model_validate(
        {"mongo": uri, "database": database, "mongo_driver": driver, "kafka": f"127.0.0.1:{free_ports(1)}"}
    )


async def test_a_user_of_one_database_is_all_that_is_needed(
    secured: Secured, driver: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "ELECTION_MS", 180_000)
    monkeypatch.setattr(client, "SOCKET_MS", 180_000)
    mongo = Mongo(settings_of(driver, secured.uri()))
    try:
        await mongo.ping()
        await Registry(mongo).bootstrap()
        await create_indexes(mongo, PROJECTIONS)
        await mongo.durable(f"of_{driver}").insert_one({"_id": "kept"})
        assert await mongo.collection(f"of_{driver}").find({}).to_list(None) == [{"_id": "kept"}]
        assert mongo.errors == []
    finally:
        await mongo.close()


@pytest.mark.parametrize("failure", FAILURES)
async def test_each_failure_has_its_own_sentence(secured: Secured, driver: str, failure: str) -> None:
    uri, sentence = secured.failing(failure)
    error = await eventually(  # a busy server may not answer at first
        lambda: error_of(settings_of(driver, uri)), lambda error: describe(error).startswith(sentence)
    )
    assert (is_refused(error), is_unreachable(error)) == (failure == "wrong password", failure != "wrong password")
    assert_no_secret(describe(error))


async def test_a_right_that_is_missing_is_named(secured: Secured, driver: str) -> None:
    error = await error_of(settings_of(driver, secured.uri(), "not-ours"))
    assert is_refused(error)
    assert "not authorized on not-ours" in describe(error)


@pytest.mark.parametrize("failure", FAILURES)
async def test_the_api_says_on_readyz_why_mongodb_cannot_be_used(secured: Secured, driver: str, failure: str) -> None:
    uri, sentence = secured.failing(failure)
    async with TestClient(TestServer(create_app(settings_of(driver, uri)).web.web_app)) as api:

        async def reason() -> str:
            return str((await (await api.get("/readyz")).json())["reasons"]["mongodb"])

        assert_no_secret(await eventually(reason, lambda found: found.startswith(sentence)))
        answer = await api.get("/api/v1/orders")
        assert (answer.status, (await answer.json())["error"]) == (503, "MONGODB_UNAVAILABLE")


@pytest.mark.parametrize("failure", FAILURES)
async def test_the_command_line_and_doctor_say_it_too(secured: Secured, failure: str) -> None:
    uri, sentence = secured.failing(failure)
    settings = settings_of("pymongo", uri)
    env = {"FULFILLMENT_MONGO": uri, "FULFILLMENT_KAFKA": settings.kafka, "FULFILLMENT_DATABASE": DATABASE}
    shown = await eventually(  # a busy server may not answer at first
        lambda: asyncio.to_thread(CliRunner().invoke, cli, ["projections", "list"], env=env),
        lambda shown: sentence.removeprefix("MongoDB") in shown.stderr,
    )
    assert shown.exit_code == 69, shown.output
    assert f"MongoDB at mongodb://********@127.0.0.1:{9 if failure == 'nobody' else secured.port}/" in shown.stderr

    async def listening() -> Finding:
        (found,) = [each for each in await machine.listening(settings) if each.what == "MongoDB"]
        return found

    said = sentence if failure != "nobody" else "no answer at 127.0.0.1:9"
    found = await eventually(listening, lambda found: found.found.startswith(said))
    assert_no_secret(shown.output + shown.stderr + found.found + found.remedy)


def test_an_address_that_cannot_be_read_shows_no_password() -> None:
    for uri in ("mongodb://me:pa/ss@127.0.0.1", "mongodb://me:pa@ss@127.0.0.1:x", "mongodb://me:pa%ss@127.0.0.1"):
        shown = CliRunner().invoke(cli, ["projections", "list"], env={"FULFILLMENT_MONGO": uri})
        assert shown.exit_code != 0
        assert "FULFILLMENT_MONGO" in shown.stderr
        assert not any(part in shown.output + shown.stderr for part in ("pa/ss", "pa@ss", "pa%ss", "'pa'", "Traceback"))


def assert_no_secret(text: str) -> None:
    assert not any(secret in text for secret in SECRETS), text


async def error_of(settings: Settings) -> PyMongoError:
    """Return the error of a write."""
    mongo = Mongo(settings)
    try:
        with pytest.raises(PyMongoError) as raised:
            await mongo.collection("things").insert_one({"_id": 1})
    finally:
        await mongo.close()
    return raised.value
