"""Start and stop the real Kafka and the real mongod as a user does."""

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from typing import Any

import psutil
import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient
from helpers_ops import some_ports, until
from pymongo import MongoClient
from system import PATIENCE_SECONDS, wait_until

from ops.stack import state
from ops.stack.down import down
from ops.stack.workers import environment
from streams.runtime.settings import Settings


def fulfillment(settings: Settings, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        (sys.executable, "-m", "ops.cli", *arguments),
        env={**os.environ, **environment(settings), **variables},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def when_ready(settings: Settings) -> dict[str, Any]:
    """Return what `fulfillment status --json` shows once it exits with 0: a busy server may not answer in time."""
    shown: list[subprocess.CompletedProcess[str]] = []

    def is_ready() -> bool:
        shown.append(fulfillment(settings, "status", "--json"))
        return shown[-1].returncode == 0

    wait_until(is_ready, "the stack to be ready")
    found: dict[str, Any] = json.loads(shown[-1].stdout)
    assert found["ready"]
    return found


def processes(settings: Settings) -> list[psutil.Process]:
    stack = state.read(settings.data)
    assert stack
    return [psutil.Process(pid) for pid in (stack.pid, *(process.pid for process in stack.processes)) if pid]


def pid_of(settings: Settings, role: str) -> int | None:
    stack = state.read(settings.data)
    return next((process.pid for process in stack.processes if process.role == role), None) if stack else None


def is_alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def write(settings: Settings, value: bytes) -> None:
    producer = Producer({"bootstrap.servers": settings.kafka, "acks": "all"})
    producer.produce("dead-letters", value, partition=0)
    assert producer.flush(120) == 0
    with MongoClient[dict[str, object]](settings.mongo, journal=True) as client:  # unjournaled writes die with mongod
        client["t"]["kept"].insert_one({"value": value})


def first(settings: Settings) -> bytes | None:
    consumer = Consumer(
        {"bootstrap.servers": settings.kafka, "group.id": "t", "auto.offset.reset": "earliest", "log_level": 0}
    )
    consumer.subscribe(["dead-letters"])
    message = consumer.poll(120)
    consumer.close()
    return message.value() if message else None


async def test_it_starts_keeps_its_data_survives_a_kill_and_stops(stack_settings: Settings) -> None:
    settings = stack_settings
    up = fulfillment(settings, "up", "--detach")
    assert (up.returncode, f"http://127.0.0.1:{settings.http_port}" in up.stdout) == (0, True), up.stderr
    progress = [line.partition(":")[0] for line in up.stdout.splitlines()]
    assert progress[0].startswith("starting in the background")
    assert {"Kafka", "MongoDB"} <= set(progress)
    assert progress[-2].startswith("ready after ")

    topics = AdminClient({"bootstrap.servers": settings.kafka}).list_topics(timeout=120).topics
    assert len(topics["order-events"].partitions) == settings.partitions
    found = when_ready(settings)
    assert set(found) == {"ready", "processes", "lag"}
    assert {p["role"] for p in found["processes"]} == {"kafka", "mongod"}
    assert all(set(p) == {"name", "role", "pid", "state", "port"} for p in found["processes"])

    again = fulfillment(settings, "up")
    assert (again.returncode != 0, "already runs there" in again.stderr) == (True, True)
    assert "Traceback" not in again.stderr

    write(settings, b"kept")
    for role in ("mongod", "kafka"):
        killed = pid_of(settings, role)
        assert killed
        os.kill(killed, signal.SIGKILL)
        await until(lambda role=role, killed=killed: pid_of(settings, role) not in (None, killed))
    assert await asyncio.to_thread(first, settings) == b"kept"

    everyone, began = processes(settings), time.monotonic()
    assert "stopped 3 processes" in fulfillment(settings, "down").stdout
    assert time.monotonic() - began < PATIENCE_SECONDS
    assert not any(map(is_alive, everyone))
    assert fulfillment(settings, "status").returncode == 1

    assert fulfillment(settings, "up", "--detach").returncode == 0
    with MongoClient[dict[str, object]](settings.mongo) as client:
        assert client["t"]["kept"].count_documents({"value": b"kept"}) == 1
    everyone = processes(settings)
    os.kill(everyone[0].pid, signal.SIGKILL)  # the supervisor, so that no process is left to stop the others
    await until(lambda: not any(map(is_alive, everyone)))
    assert down(settings) == 0


async def test_a_stack_whose_data_was_deleted_is_named_stopped_and_started_again(stack_settings: Settings) -> None:
    settings = stack_settings
    assert fulfillment(settings, "up", "--detach").returncode == 0
    everyone = processes(settings)
    while (settings.data / "stack.lock").exists():  # servers that run may write a file while its folder is deleted
        shutil.rmtree(settings.data, ignore_errors=True)
    for arguments in (("up",), ("up", "--detach"), ("restart",)):
        refused = fulfillment(settings, *arguments)
        assert (refused.returncode, len(refused.stderr.splitlines())) == (os.EX_UNAVAILABLE, 1), refused.stderr
        assert f"(pid {everyone[0].pid}), and its files there were deleted or moved" in refused.stderr
    family = [*everyone, *everyone[0].children(recursive=True)]  # some have been started again since
    assert "stopped" in fulfillment(settings, "down").stdout
    await until(lambda: not any(map(is_alive, family)))
    assert "nothing was running" in fulfillment(settings, "down").stdout
    twice = await asyncio.gather(*(asyncio.to_thread(fulfillment, settings, "up", "--detach") for _ in range(2)))
    assert sorted(each.returncode for each in twice) == [0, os.EX_UNAVAILABLE]
    (second,) = [each for each in twice if each.returncode]
    assert second.stderr.startswith(f"{settings.data} is in use: `fulfillment up` already runs there (pid ")
    assert len(second.stderr.splitlines()) == 1


def test_running_servers_are_used_and_left_alone(stack_settings: Settings, tmp_path) -> None:
    assert fulfillment(stack_settings, "up", "--detach").returncode == 0
    second = stack_settings.model_copy(update={"data": tmp_path / "second", "http_port": some_ports(1)[0]})
    try:
        assert fulfillment(second, "up", "--detach").returncode == 0
        found = when_ready(second)
        assert {(p["role"], p["state"], p["pid"]) for p in found["processes"]} == {
            ("kafka", "external", None),
            ("mongod", "external", None),
        }
    finally:
        assert down(second) == 1
    when_ready(stack_settings)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("after", ["starting in the background", "Kafka: starting"])
def test_an_interrupted_detached_start_stops_what_it_started(
    stack_settings: Settings, number: signal.Signals, after: str
) -> None:
    command = (sys.executable, "-m", "ops.cli", "up", "--detach")
    variables = {**os.environ, **environment(stack_settings)}
    with subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as up:
        assert up.stdout
        assert up.stderr
        while not (line := up.stdout.readline()).startswith(after):
            assert line, "it ended before it was interrupted"
        started = psutil.Process(up.pid).children(recursive=True)
        os.kill(up.pid, number)
        assert up.wait(PATIENCE_SECONDS) == 130
        assert up.stdout.read().splitlines()[-1] == "interrupted, stopping"
        assert up.stderr.read() == "Interrupted: everything that was started has been stopped.\n"
    assert started
    assert not any(map(is_alive, started))
    assert state.supervisor(stack_settings.data) is None
    assert state.read(stack_settings.data) is None


def test_ctrl_c_stops_everything_in_order(stack_settings: Settings) -> None:
    variables = {**os.environ, **environment(stack_settings)}
    command = (sys.executable, "-m", "ops.cli", "up")
    with subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, text=True, start_new_session=True) as up:
        assert up.stdout
        while not (line := up.stdout.readline()).startswith("API: "):
            assert line, "it ended before it was ready"
        everyone, began = processes(stack_settings), time.monotonic()
        os.killpg(up.pid, signal.SIGINT)  # as a terminal does
        assert up.stdout.read().splitlines()[-1] == "stopped"
        assert up.wait() == 0
    assert time.monotonic() - began < PATIENCE_SECONDS
    assert not any(map(is_alive, everyone))
    assert state.read(stack_settings.data) is None


@pytest.mark.parametrize("variable", ["FULFILLMENT_KAFKA", "FULFILLMENT_MONGO"])
def test_an_invalid_address_is_one_sentence(stack_settings: Settings, variable: str) -> None:
    up = fulfillment(stack_settings, "up", **{variable: "nonsense"})
    assert up.returncode == os.EX_CONFIG
    assert up.stderr.startswith(variable)
    assert len(up.stderr.strip().splitlines()) == 1


@pytest.mark.usefixtures("processes")
def test_a_port_in_use_is_one_sentence_with_a_remedy(tmp_path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port, (mongo, http) = taken.getsockname()[1], some_ports(2)
        settings = Settings(
            kafka=f"127.0.0.1:{port}", mongo=f"mongodb://127.0.0.1:{mongo}", http_port=http, data=tmp_path, roles=()
        )
        up = fulfillment(settings, "up")
    assert up.returncode != 0
    sentence = up.stderr.strip()
    assert sentence.startswith(f"Port {port} is in use by ")
    assert f"(pid {os.getpid()})" in sentence
    assert "FULFILLMENT_KAFKA" in sentence
    assert len(sentence.splitlines()) == 1
    assert state.read(tmp_path) is None


def test_a_server_that_stops_immediately_shows_the_end_of_its_log(stack_settings: Settings) -> None:
    folder = stack_settings.data / "mongo" / "data"
    folder.mkdir(parents=True)
    (folder / "WiredTiger").write_text("not a database")
    (folder / "WiredTiger.turtle").write_text("not a database")
    up = fulfillment(stack_settings, "up")
    assert up.returncode != 0
    assert up.stderr.startswith("mongod stopped immediately. The end of ")
    assert "WiredTiger" in up.stderr
    assert "Traceback" not in up.stderr


@pytest.mark.parametrize(("workers", "says"), [("orders=x", "role=number"), ("stock=2", "no role 'stock'")])
def test_a_wrong_number_of_workers_is_refused(stack_settings: Settings, workers: str, says: str) -> None:
    up = fulfillment(stack_settings, "up", "--detach", "--workers", workers)
    assert up.returncode == os.EX_CONFIG
    assert says in up.stderr


@pytest.mark.usefixtures("processes")
def test_a_directory_that_cannot_be_written_is_one_sentence(tmp_path) -> None:
    (tmp_path / "file").touch()
    up = fulfillment(Settings(data=tmp_path / "file" / "data", roles=()), "up")
    assert up.returncode == os.EX_UNAVAILABLE
    assert len(up.stderr.strip().splitlines()) == 1
