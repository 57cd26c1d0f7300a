"""`fulfillment doctor` on a healthy system, and on one with problems."""

import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest
from aiohttp import web
from system import System, free_ports

from ops.doctor import examine as examining
from ops.doctor import machine
from ops.doctor.examine import examine, patiently
from ops.doctor.finding import Finding
from ops.stack import state
from ops.stack.state import Process, Stack
from streams.runtime.settings import Settings


def named(found: list[Finding], what: str) -> Finding:
    return next(each for each in found if each.what == what)


def test_every_part_of_a_running_system_is_checked(system: System) -> None:
    system.quiet()
    done = system.run("doctor", "--json", check=False)
    found = {each["what"]: each for each in json.loads(done.stdout)}
    for what in ("Python", "Kafka", "MongoDB", "API", "orders-0", "topics", "MongoDB version", "indexes", "clocks"):
        assert found[what]["well"], found[what]
    for group in ("orders", "inventory"):
        assert "a lag of 0 messages" in found[f"group {group}"]["found"]
        assert not found[f"group {group}"]["found"].startswith("no worker")
    assert done.returncode == (0 if all(each["well"] for each in found.values()) else 1)


async def test_missing_parts_are_reported_with_a_remedy(system: System) -> None:
    found = await examine(system.settings.model_copy(update={"prefix": "elsewhere-"}), print)
    topics = named(found, "topics")
    assert "missing: elsewhere-order-commands" in topics.found
    assert topics.remedy == "run `fulfillment topics create`"
    indexes = named(found, "indexes")
    assert "orders_v1.createdAt_1__id_1" in indexes.found
    assert "start a projector" in indexes.remedy
    other = await examine(system.settings.model_copy(update={"partitions": 4}), print)
    assert "has partitions 8, this installation needs 4" in named(other, "topics").found
    assert "FULFILLMENT_PARTITIONS=8" in named(other, "topics").remedy


async def test_an_unreachable_server_is_reported_once(tmp_path: Path) -> None:
    first = free_ports(3)
    settings = Settings(
        kafka=f"127.0.0.1:{first}", mongo=f"mongodb://127.0.0.1:{first + 1}", http_port=first + 2, data=tmp_path
    )
    found = await examine(settings, print)
    assert [each.what for each in found if not each.well] == ["Kafka", "MongoDB", "API"]
    assert named(found, "Kafka").remedy == "start it with `fulfillment up`, or set FULFILLMENT_KAFKA"


async def test_addresses_of_several_servers_are_shown_without_secrets(tmp_path: Path) -> None:
    mongo = "mongodb://me:hunter2@127.0.0.1:9,127.0.0.1:10/?tlsCertificateKeyFilePassword=s3cret"
    settings = Settings(kafka="127.0.0.1:9,127.0.0.1:10", mongo=mongo, data=tmp_path)
    found = named(await machine.listening(settings), "MongoDB").found
    assert "mongodb://********@127.0.0.1" in found
    assert "hunter2" not in found
    assert "s3cret" not in found


@asynccontextmanager
async def one_process(data: Path, ready_from: int) -> AsyncIterator[Settings]:
    """Run a process that is ready from the n-th question on, with the state of a supervisor."""
    asked = 0

    async def answer(request: web.Request) -> web.Response:
        nonlocal asked
        asked += request.path == "/readyz"
        return web.json_response({"reasons": []}, status=200 if asked >= ready_from else 503)

    port, runner = free_ports(1), web.AppRunner(app := web.Application())
    app.router.add_get("/{path}", answer)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    me = psutil.Process()
    worker = Process(name="api-0", role="api", pid=me.pid, started=state.started(me), port=port, state="running")
    state.write(Stack(pid=me.pid, host="127.0.0.1", phase="complete", processes=[worker]), data)
    try:
        yield Settings(data=data)
    finally:
        await runner.cleanup()


async def test_checks_that_a_busy_system_may_fail_are_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examining, "PAUSE_SECONDS", 0.0)
    said: list[str] = []
    async with one_process(tmp_path, ready_from=3) as settings:
        found = await patiently(lambda: machine.processes(settings), said.append, patience=600)
        assert [each.well for each in found] == [True]
    assert said == ["checking again for up to 600 s: api-0"]
    async with one_process(tmp_path, ready_from=1_000_000) as settings:
        found = await patiently(lambda: machine.processes(settings), said.append, patience=0.1)
        assert [each.well for each in found] == [False]


async def test_a_certain_problem_is_reported_at_once() -> None:
    slow, wrong = (
        Finding("group orders", "no worker", "start one", may_pass=True),
        Finding("topics", "missing", "create"),
    )
    checks: list[None] = []

    async def check() -> list[Finding]:
        checks.append(None)
        return [slow, wrong]

    assert await patiently(check, print, patience=600) == [slow, wrong]
    assert len(checks) == 1


async def test_a_silent_server_may_be_busy_and_one_that_is_not_there_is_not(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", free_ports(1))) as silent:
        port = silent.getsockname()[1]
        settings = Settings(kafka=f"127.0.0.1:{free_ports(1)}", mongo=f"mongodb://127.0.0.1:{port}", data=tmp_path)
        found = await machine.listening(settings)
    kafka, mongo = named(found, "Kafka"), named(found, "MongoDB")
    assert (kafka.well, kafka.may_pass) == (False, False)
    assert (mongo.well, mongo.may_pass) == (False, True)
    assert f"listens at 127.0.0.1:{port}, and does not answer as MongoDB" in mongo.found


def test_a_full_disk_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(data=tmp_path / "not" / "yet")
    assert named(machine.disk(settings), "disk").well
    monkeypatch.setattr(machine, "LEAST_FREE", 1 << 60)
    assert "free some space" in named(machine.disk(settings), "disk").remedy


def test_a_wrong_number_of_partitions_or_prefix_is_one_sentence(system: System) -> None:
    """With too few partitions, `audit` would check only half of the events and find no drift."""
    for variable, value, command, says in (
        ("PARTITIONS", "4", "audit", "has 8 partitions, and FULFILLMENT_PARTITIONS is 4: set it to 8."),
        (
            "PARTITIONS",
            "16",
            "tail order-events --last 1",
            "Topic order-events has 8 partitions, and FULFILLMENT_PARTITIONS is 16: set it to 8.",
        ),
        ("PARTITIONS", "4", "worker orders", "has 8 partitions: set FULFILLMENT_PARTITIONS to that, it is 4"),
        ("PREFIX", "other.", "topics adopt", "Topic other.order-commands is missing: run `fulfillment topics create`"),
        ("LOG_LEVEL", "LOUD", "doctor", "FULFILLMENT_LOG_LEVEL: Input should be 'DEBUG', 'INFO'"),
        ("DATABASE", "a b", "projections list", "FULFILLMENT_DATABASE: String should match pattern"),
        ("HTTP_PORT", "8000", "replay orders --since noon", "--since is not a time: 'noon'."),
    ):
        before = dict(system.env)
        system.env |= {f"FULFILLMENT_{variable}": value, "FULFILLMENT_WORKER_PORT": str(free_ports(1))}
        try:
            done = system.run(*command.split(), check=False)
        finally:
            system.env.clear()
            system.env.update(before)
        assert says in done.stderr, (command, done.stderr)
        assert (done.returncode in (69, 78), "Traceback" in done.stderr) == (True, False), done.stderr
