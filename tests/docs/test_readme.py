"""What README.md says is so: its commands run, and it names every setting and every route."""

import asyncio
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import NamedTuple, cast
from urllib.parse import urlsplit

import pytest
from aiohttp import web
from readme_tables import CONTRACT, README, cli_table, rewritten
from system import Api, System

from streams.runtime.settings import Settings
from web.app import install
from web.commands.answering import PREFIX
from web.services import Services

TEXT = README.read_text()
AGAIN = "run .venv/bin/python tests/docs/readme_tables.py"
BLOCK = re.compile(r"<!-- run: (?P<wanted>[\w ]+) -->\n```sh\n(?P<script>.*?)```", re.DOTALL)
STATUS = re.compile(r"HTTP/1\.1 (\d{3}) ")  # behind the answer before it, which ends without a line break


class Block(NamedTuple):
    """Commands of the README, and what they end with: `exit 0`, or the status of each answer."""

    script: str
    wanted: str


def blocks() -> list[Block]:
    return [Block(found["script"], found["wanted"]) for found in BLOCK.finditer(TEXT)]


def run(system: System, block: Block) -> subprocess.CompletedProcess[str]:
    """Run a block as a reader would, against the system under test."""
    script = block.script.replace("127.0.0.1:8000", urlsplit(system.base).netloc)
    script = script.replace("127.0.0.1:9092", system.settings.kafka)
    prelude = f'set -eo pipefail\nfulfillment() {{ "{sys.executable}" -m ops.cli "$@"; }}\n'
    return subprocess.run(
        ["bash", "-c", prelude + script], env=system.env, capture_output=True, text=True, timeout=120, check=False
    )


async def test_the_commands_do_what_the_readme_says(system: System, api: Api) -> None:
    assert len(blocks()) >= 10
    for block in blocks():
        if "kcat" in block.script and not shutil.which("kcat"):
            continue
        done = await asyncio.to_thread(run, system, block)
        said = f"{block.script}\n{done.stdout}\n{done.stderr}"
        assert done.returncode == 0, said
        if not block.wanted.startswith("exit"):
            assert " ".join(STATUS.findall(done.stdout)) == block.wanted, said
    await api.order("order-1001", lambda order: order["status"] == "DELIVERED")


def test_its_tables_are_those_of_the_code() -> None:
    assert rewritten(TEXT, CONTRACT) == TEXT, AGAIN


def test_every_command_of_the_command_line_is_named() -> None:
    missing = [row for row in cli_table().splitlines() if row not in TEXT]
    assert not missing, AGAIN


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_named(name: str) -> None:
    assert f"`FULFILLMENT_{name.upper()}`" in TEXT


def routes() -> Iterator[tuple[str, str]]:
    """Yield method and path of every route the API has."""
    application = web.Application()
    install(application, cast(Services, None))  # which only its handlers need
    for route in application.router.routes():
        if route.method != "HEAD" and route.resource is not None:
            yield route.method, route.resource.canonical


@pytest.mark.parametrize(("method", "path"), list(routes()))
def test_every_route_is_named(method: str, path: str) -> None:
    assert {f"`{method} {path}`", f"`{method} {path.removeprefix(PREFIX)}`"} & set(re.findall(r"`[^`\n]+`", TEXT))


def test_every_link_into_the_repository_leads_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", TEXT):
        assert (README.parent / target).exists(), target
