"""Commands that display state, and the sentences of failures."""

import json
import os
import re
import socket
import struct
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from helpers_ops import some_ports
from rich.console import Console
from typer.testing import CliRunner

from ops.cli import cli
from ops.commands.status import report
from ops.stack import state
from ops.stack.state import Process, Stack
from ops.stack.status import NO_LAG, Status, added, collect, unassigned
from ops.stack.workers import ALLOCATOR, allocator, count_workers, environment, workers
from ops.worker import default_port
from streams.access.tokens import digest_of, parse
from streams.runtime.settings import ROLES, Settings

WIDE = {"COLUMNS": "240"}


def invoke(*arguments: str, **variables: str):
    return CliRunner().invoke(cli, arguments, env={**WIDE, **variables})


def test_settings_shows_every_variable_and_no_secret() -> None:
    shown = invoke(
        "settings", FULFILLMENT_API_TOKEN="s3cret", FULFILLMENT_MONGO="mongodb://me:hunter2@db:27017/?tls=true"
    )
    assert shown.exit_code == 0
    assert all(f"FULFILLMENT_{name.upper()} " in shown.output for name in Settings.model_fields)
    assert "s3cret" not in shown.output
    assert "hunter2" not in shown.output
    assert "mongodb://********@db:27017/?tls=true" in shown.output


def test_the_token_and_the_address_of_mongodb_can_come_from_files(tmp_path: Path) -> None:
    token, mongo = tmp_path / "token", tmp_path / "mongo"
    token.write_text("s3cret\n")
    mongo.write_text("mongodb://me:hunter2@a,b/?authMechanismProperties=AWS_SESSION_TOKEN:t0ken\n")
    files = {"FULFILLMENT_API_TOKEN_FILE": str(token), "FULFILLMENT_MONGO_FILE": str(mongo)}
    shown = invoke("settings", **files, FULFILLMENT_KAFKA_SECURITY_PROTOCOL="SASL_SSL", FULFILLMENT_KAFKA_USER="shop",
                   FULFILLMENT_KAFKA_PASSWORD="pa55word")  # fmt: skip
    assert shown.exit_code == 0, shown.stderr
    assert "mongodb://********@a,b/?authMechanismProperties=********" in shown.output
    assert not any(secret in shown.output for secret in ("s3cret", "hunter2", "t0ken", "pa55word"))
    assert (
        invoke("settings", FULFILLMENT_MONGO_FILE="/gone").stderr.count("FULFILLMENT_MONGO_FILE: /gone cannot be") == 1
    )


def test_a_refused_setting_is_one_sentence_and_exit_code_78() -> None:
    shown = invoke("settings", FULFILLMENT_HTTP_PORT="70000", FULFILLMENT_PARTITIONS="many")
    assert shown.exit_code == os.EX_CONFIG
    lines = shown.stderr.strip().splitlines()
    assert [line.split(":")[0] for line in lines] == ["FULFILLMENT_HTTP_PORT", "FULFILLMENT_PARTITIONS"]


def test_listening_off_loopback_without_a_token_is_refused() -> None:
    shown = invoke("settings", FULFILLMENT_HTTP_HOST="0.0.0.0")
    assert shown.exit_code == os.EX_CONFIG
    assert "FULFILLMENT_API_TOKEN" in shown.stderr
    assert invoke("settings", FULFILLMENT_HTTP_HOST="0.0.0.0", FULFILLMENT_API_TOKEN="t").exit_code == 0


def test_the_status_without_a_stack(tmp_path: Path) -> None:
    shown = invoke("status", "--json", FULFILLMENT_DATA=str(tmp_path))
    assert (shown.exit_code, json.loads(shown.output)) == (1, {"ready": False, "processes": [], "lag": {}})
    assert "fulfillment up" in invoke("status", FULFILLMENT_DATA=str(tmp_path)).output
    assert "nothing was running" in invoke("down", FULFILLMENT_DATA=str(tmp_path)).output


def test_an_unknown_role_is_refused() -> None:
    shown = invoke("worker", "stock")
    assert shown.exit_code == os.EX_CONFIG
    assert "orders, inventory, projector, api" in shown.stderr


@pytest.mark.usefixtures("processes")
def test_the_entry_point_of_workers_fails_like_the_command_and_does_not_load_the_command_line() -> None:
    started = subprocess.run([sys.executable, "-m", "ops.worker", "stock"], capture_output=True, text=True)
    assert (started.returncode, started.stderr) == (os.EX_CONFIG, invoke("worker", "stock").stderr)
    loaded = "import sys, ops.worker, agents.main, agents.orders; print({'typer', 'rich'} & sys.modules.keys())"
    assert subprocess.check_output([sys.executable, "-c", loaded], text=True) == "set()\n"


@pytest.mark.usefixtures("processes")
def test_a_command_loads_only_what_it_needs(tmp_path: Path) -> None:
    loaded = "import sys; from ops.cli import cli; cli(['down'], standalone_mode=False); print(*sys.modules)"
    env = os.environ | {"FULFILLMENT_DATA": str(tmp_path)}
    modules = set(subprocess.check_output([sys.executable, "-c", loaded], text=True, env=env).split())
    assert {"ops.commands.down", "ops.stack.down"} <= modules
    assert not {"aiohttp", "aiokafka", "confluent_kafka", "faust", "pymongo", "ops.commands.up"} & modules


def test_lag_is_summed_over_the_workers_of_a_group() -> None:
    answers = [
        {"group": "orders", "lag": {"order-commands": 3}},
        {},
        {"group": "orders", "lag": {"order-commands": 4, "x": 0}},
        {"group": "projector", "lag": {"order-events": 1}},
    ]
    assert added(answers) == {"orders": {"order-commands": 7, "x": 0}, "projector": {"order-events": 1}}


def test_the_lag_of_partitions_that_no_worker_of_the_stack_has_is_not_hidden() -> None:
    settings = Settings(partitions=3)
    answers = [
        {"group": "orders", "lag": {"order-commands": 0}, "partitions": {"order-commands": [0]}},
        {"group": "orders", "lag": {"order-commands": 0}, "partitions": {"order-commands": [2]}},
    ]
    assert unassigned(settings, ["orders", "kafka"], answers) == {"orders": {"order-commands": [1]}}
    assert unassigned(settings, ["inventory"], []) == {"inventory": {"inventory-commands": [0, 1, 2]}}
    assert not unassigned(settings, ["api"], answers)
    status = Status([], {"orders": {"order-commands": 0}}, True, {"orders": {"order-commands": [1]}})
    assert json.loads(status.as_json())["unassigned"] == {"orders": {"order-commands": [1]}}
    shown = Console(record=True, width=100)
    shown.print(report(status, settings))
    text = shown.export_text()
    assert "no worker of this stack has" in text
    assert "order-commands: partitions 1" in text


@pytest.mark.parametrize(
    ("readyz", "lag", "state_shown", "reasons"),
    [(200, 200, "ready", []), (503, 200, "unready", ["restoring the table"]), (200, 403, "ready", [])],
)
async def test_a_worker_is_ready_if_it_reports_so(
    tmp_path: Path, readyz: int, lag: int, state_shown: str, reasons: list[str]
) -> None:
    async def answer(request: web.Request) -> web.Response:
        if request.path == "/lag":
            whole = {"order-commands": list(range(Settings().partitions))}
            return web.json_response({"group": "orders", "lag": {"order-commands": 5}, "partitions": whole}, status=lag)
        return web.json_response({"reasons": reasons}, status=readyz)

    import psutil

    (port,) = some_ports(1)
    runner = web.AppRunner(app := web.Application())
    app.router.add_get("/{path}", answer)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    me = psutil.Process()
    worker = Process(name="orders-0", role="orders", pid=me.pid, started=state.started(me), port=port, state="running")
    settings = Settings(data=tmp_path)
    state.write(Stack(pid=me.pid, host="0.0.0.0", phase="complete", processes=[worker]), tmp_path)
    try:
        status = await collect(settings)
    finally:
        await runner.cleanup()
    said = [*reasons, *([] if lag == 200 else [NO_LAG])]
    assert json.loads(status.as_json()) == {
        "ready": readyz == 200,
        "processes": [
            {"name": "orders-0", "role": "orders", "pid": me.pid, "state": state_shown, "port": port}
            | ({"reason": said[0]} if said else {})
        ],
        "lag": {"orders": {"order-commands": 5}} if lag == 200 else {},
    }
    assert status.processes[0].reason == "; ".join(said)


async def test_a_stack_that_is_not_complete_yet_is_not_ready(tmp_path: Path) -> None:
    state.write(Stack(pid=1, host="127.0.0.1"), tmp_path)
    assert not (await collect(Settings(data=tmp_path))).ready


def test_the_first_api_gets_the_api_port_and_every_worker_its_own_port() -> None:
    settings = Settings(http_port=some_ports(1)[0])
    programs = workers(settings, count_workers("orders=2,api=2", settings.roles))
    ports = {program.name: program.port for program in programs}
    assert list(ports) == ["api-0", "api-1", "orders-0", "orders-1", "inventory-0", "projector-0"]
    assert ports["api-0"] == settings.http_port
    assert len(set(ports.values())) == len(ports)
    assert all(program.environment["FULFILLMENT_WORKER_PORT"] == str(program.port) for program in programs)
    assert [program.environment["FULFILLMENT_INSTANCE"] for program in programs[2:4]] == ["0", "1"]


def test_children_get_the_settings_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    given = Settings(kafka="k:1", roles=("orders", "api"), partitions=3, api_token=None)
    for name, value in environment(given).items():
        monkeypatch.setenv(name, value)
    assert environment(given).keys() == {"FULFILLMENT_KAFKA", "FULFILLMENT_ROLES", "FULFILLMENT_PARTITIONS"}
    assert Settings() == given


def test_workers_started_by_hand_use_different_ports() -> None:
    ports = [default_port(role, Settings()) for role in ROLES]
    assert len(set(ports)) == len(ROLES)
    assert default_port("api", Settings()) == Settings().http_port


@pytest.mark.parametrize("reset", [False, True])
def test_another_program_on_the_port_is_reported_in_one_sentence(reset: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:

        def hang_up() -> None:
            with suppress(OSError):
                while True:
                    connection = other.accept()[0]
                    connection.recv(1 << 16)  # unread bytes would reset the connection
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", reset, 0))
                    connection.close()

        threading.Thread(target=hang_up, daemon=True).start()
        shown = invoke("explain", "o-1", FULFILLMENT_HTTP_PORT=str(other.getsockname()[1]))
    assert shown.exit_code == os.EX_UNAVAILABLE
    assert re.search(r"does not answer \(\w.*\)\. Start it with `fulfillment up`\.", shown.stderr), shown.stderr
    assert len(shown.stderr.strip().splitlines()) == 1


def test_no_message_contains_credentials() -> None:
    shown = invoke("projections", "list", FULFILLMENT_MONGO="mongodb://me:hunter2@127.0.0.1:1")
    assert shown.exit_code == os.EX_UNAVAILABLE
    assert shown.stderr == (
        "MongoDB at mongodb://********@127.0.0.1:1 is unreachable (127.0.0.1:1: Connection refused). "
        "Start it with `fulfillment up`, or set FULFILLMENT_MONGO to a running server.\n"
    )
    assert "hunter2" not in shown.stderr


def test_an_operators_own_allocator_settings_take_precedence(monkeypatch: pytest.MonkeyPatch) -> None:
    assert allocator("orders") == ALLOCATOR
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "1")
    assert allocator("inventory") == {**ALLOCATOR, "MALLOC_TRIM_THRESHOLD_": "1"}
    assert allocator("api") == {}


def test_tokens_are_made_and_listed(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    for name, scopes in (("shop", "command,read"), ("grafana", "read")):
        made = invoke("tokens", "new", name, "--scopes", scopes, FULFILLMENT_API_TOKENS_FILE=str(file))
        assert made.exit_code == 0, made.output
        assert made.stdout.strip() not in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
    found = parse(file.read_text())
    assert [token.principal.name for token in found] == ["shop", "grafana"]
    assert found[1].digest == digest_of(made.stdout.strip())
    listed = invoke("tokens", "list", "--file", str(file))
    assert "read, command" in listed.stdout
    assert found[0].digest.hex() not in listed.stdout


def test_an_existing_token_must_be_long_and_its_scopes_known(tmp_path: Path) -> None:
    def made(token: str, scopes: str) -> Any:
        return CliRunner().invoke(cli, ["tokens", "new", "shop", "--scopes", scopes, "--stdin"], input=f"{token}\n")

    assert parse(made("x" * 32, "read").stdout)[0].digest == digest_of("x" * 32)
    assert (made("x" * 31, "read").exit_code, made("x" * 32, "write").exit_code) == (78, 78)
    assert "at least 32" in made("x" * 31, "read").stderr
    file = tmp_path / "tokens"
    file.write_text("shop:read\n")
    assert invoke("tokens", "list", "--file", str(file)).exit_code == 78
