"""The whole system on a broker that it logs in to, as the guide says and in every other way."""

import asyncio
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest
from secured_kafka import PASSWORD, Secured
from system import PATIENT, System, api_at, eventually, wait_until

GUIDE = Path(__file__).parents[2] / "docs" / "how-to" / "connect-to-kafka.md"
NAMES = ("FULFILLMENT_KAFKA", "FULFILLMENT_KAFKA_SECURITY_PROTOCOL", "FULFILLMENT_KAFKA_USER",
         "FULFILLMENT_KAFKA_PASSWORD_FILE", "FULFILLMENT_KAFKA_CA")  # fmt: skip


def variables_of_guide() -> dict[str, str]:
    """Return the variables that the guide sets for a cluster with TLS and passwords."""
    block = next(each for each in re.findall(r"```sh\n(.*?)```", GUIDE.read_text(), re.DOTALL) if "SASL_SSL" in each)
    return dict(re.findall(r"export (\w+)=(\S+)", block))


def system_on(secured: Secured, listener: str, data: Path, variables: Mapping[str, str], **more: Any) -> System:
    system = System(data, **PATIENT, **variables, FULFILLMENT_PARTITIONS="2")
    options = secured.options(listener) | {"partitions": 2} | more
    system.settings = system.settings.model_copy(update=options)
    return system


@contextmanager
def running(system: System) -> Iterator[System]:
    system.up()
    try:
        yield system
    finally:
        system.down()


async def places_and_shows(system: System, product: str) -> dict[str, Any]:
    """Place an order for a product, and return it once it is allocated."""
    async with api_at(system.base) as api:
        await api.stock(product, 5)
        placed = await api.place((product, 2))
        return await api.order(placed["id"], lambda order: order["allocationStatus"] == "ALLOCATED")


@pytest.fixture(scope="module")
def password(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("secrets") / "kafka-password"
    file.write_text(PASSWORD + "\n")
    return file


@pytest.fixture(scope="module")
def guided(secured: Secured, password: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A system that was started with the five variables of the guide."""
    options = secured.options("SASL_SSL")
    values = {
        "FULFILLMENT_KAFKA": options["kafka"],
        "FULFILLMENT_KAFKA_USER": options["kafka_user"],
        "FULFILLMENT_KAFKA_PASSWORD_FILE": str(password),
        "FULFILLMENT_KAFKA_CA": str(options["kafka_ca"]),
    }
    given = variables_of_guide()
    assert tuple(given) == NAMES
    with running(system_on(secured, "SASL_SSL", tmp_path_factory.mktemp("guided"), given | values)) as system:
        yield system


async def test_five_variables_are_enough(guided: System) -> None:
    assert (await places_and_shows(guided, "guided"))["items"]
    guided.quiet()


async def test_every_command_that_reads_kafka_logs_in(guided: System) -> None:
    order = await places_and_shows(guided, "commands")
    guided.quiet()
    guided.run("produce", "SetStock", "--key", "commands", "--data", '{"quantity": 3}', "--wait")
    assert order["id"] in guided.run("tail", "--no-follow", "--from-beginning", "order-events").stdout
    for words in (
        ("topics", "list"), ("topics", "create"), ("outcomes", "--json"), ("letters", "list"), ("audit",),
        ("transactions", "list"), ("projections", "list"), ("status",), ("replay", "tables", "--verify"),
        ("replay", "orders", "--id", order["id"]),
    ):  # fmt: skip
        assert PASSWORD not in guided.run(*words).stdout
    assert "PlaceOrder" in guided.run("trace", order_command(guided, order["id"])).stdout
    found = {each["what"]: each for each in json.loads(guided.run("doctor", "--json", check=False).stdout)}
    for what in ("Kafka", "topics", "group orders", "transactions", "dead letters"):
        assert found[what]["well"], found[what]


def order_command(system: System, order: str) -> str:
    """Return the id of the command that placed an order."""
    lines = system.run("tail", "--no-follow", "--from-beginning", "order-commands", "--key", order, "--json").stdout
    messages = [json.loads(line)["value"] for line in lines.splitlines()]
    return str(next(each["id"] for each in messages if each["type"] == "PlaceOrder"))


async def test_nothing_shows_a_password(guided: System) -> None:
    assert PASSWORD not in guided.run("settings").stdout
    logs = "".join(file.read_text(errors="replace") for file in (guided.settings.data / "logs").iterdir())
    assert logs
    assert PASSWORD not in logs
    mine = [each.info["cmdline"] or [] for each in psutil.process_iter(["cmdline"])]
    assert not any(PASSWORD in word for words in mine for word in words)


async def test_a_worker_says_that_its_password_is_wrong_and_continues_with_the_right_one(
    guided: System, password: Path
) -> None:
    port = next(each["port"] for each in guided.status()["processes"] if each["role"] == "orders")

    async def reasons() -> str:
        try:
            async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/readyz") as answer:
                return " ".join((await answer.json())["reasons"])
        except aiohttp.ClientError:
            return ""

    await asyncio.to_thread(password.write_text, "wrong")
    guided.kill("orders-0")
    sentence = (
        "refuses the user or password (SCRAM-SHA-512): correct FULFILLMENT_KAFKA_USER or FULFILLMENT_KAFKA_PASSWORD"
    )
    await eventually(reasons, lambda found: sentence in found)
    await asyncio.to_thread(password.write_text, PASSWORD)
    wait_until(lambda: bool(guided.status()["ready"]), "the worker to be ready")
    assert sentence in (guided.settings.data / "logs" / "orders-0.log").read_text()
    await places_and_shows(guided, "again")


@pytest.mark.parametrize("listener", ["SSL", "SASL_PLAINTEXT", "OAUTH"])
async def test_the_whole_system_runs_with_every_protocol(
    secured: Secured, guided: System, listener: str, tmp_path: Path
) -> None:
    own = {"prefix": f"{listener.lower()}.", "database": f"on_{listener.lower()}", "mongo": guided.settings.mongo}
    given = {f"FULFILLMENT_{name.upper()}": str(value) for name, value in (secured.options(listener) | own).items()}
    with running(system_on(secured, listener, tmp_path, given, **own)) as system:
        assert (await places_and_shows(system, listener.lower()))["items"]
