"""Every command that README.md and the site show does what they say."""

import asyncio
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from documents import DOCS, ROOT, Block, blocks, pages
from system import PATIENT, Api, System, free_ports

# On a busy machine, `status` may say that a worker did not answer in time.
PRELUDE = """\
set -eo pipefail
fulfillment() {{
  "{python}" -m ops.cli "$@" && return
  local code=$?
  [ "$1" = status ] || return $code
  sleep 0.5
  fulfillment "$@"
}}
"""
STATUS = re.compile(r"HTTP/1\.1 (\d{3}) ")  # without a line start: the body before it may end without a line break


def run(system: System, block: Block, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a block as a reader would, on the addresses of the system under test."""
    script = block.script.replace("127.0.0.1:8000", urlsplit(system.base).netloc)
    script = script.replace("127.0.0.1:9092", system.settings.kafka).replace(".venv/bin/fulfillment", "fulfillment")
    script = script.replace("mongodb://127.0.0.1:27017", system.settings.mongo)
    prelude = PRELUDE.format(python=sys.executable)
    return subprocess.run(
        ["bash", "-c", prelude + script], env=env, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )


async def check(system: System, block: Block, env: dict[str, str]) -> None:
    """Run a block and compare how it ends with what its page says."""
    done = await asyncio.to_thread(run, system, block, env)
    said = f"{block.name}\n{done.stdout}\n{done.stderr}"
    assert done.returncode == 0, said
    if not block.what.startswith("exit"):
        assert " ".join(STATUS.findall(done.stdout)) == block.what, said


@pytest.mark.long
async def test_commands_do_what_the_pages_say(system: System, api: Api) -> None:
    assert len(blocks("run")) >= 20
    for block in blocks("run"):
        if "kcat" not in block.script or shutil.which("kcat"):
            await check(system, block, system.env)
    await api.order("order-1001", lambda order: order["status"] == "DELIVERED")
    await asyncio.to_thread(system.quiet)


@pytest.fixture
def own_system(processes: None, tmp_path: Path) -> Iterator[System]:
    """A system that the commands may stop and start."""
    system = System(tmp_path / "own", **PATIENT)
    system.up()
    try:
        yield system
    finally:
        system.down()


@pytest.mark.long
async def test_commands_that_stop_and_start_do_what_the_pages_say(own_system: System, tmp_path: Path) -> None:
    beside = {"FULFILLMENT_DATA": str(tmp_path / "beside"), "FULFILLMENT_HTTP_PORT": str(free_ports(5))}
    found = {
        using: [block for block in blocks("run alone") if ("FULFILLMENT_KAFKA" in block.script) is using]
        for using in (True, False)
    }
    assert all(found.values())
    for block in found[True]:  # a second installation uses the servers, which run already
        env = own_system.env | beside
        try:
            await check(own_system, block, env)
        finally:
            await asyncio.to_thread(
                subprocess.run, [sys.executable, "-m", "ops.cli", "down"], env=env, check=True, cwd=ROOT
            )
    for block in found[False]:
        await check(own_system, block, own_system.env)


@pytest.mark.parametrize("block", blocks(), ids=lambda block: block.name)
def test_every_command_is_tested(block: Block) -> None:
    assert block.how is not None, "say above the block how it is tested: see tests/docs/documents.py"
    if block.how == "tested":
        tests = "".join((ROOT / name).read_text() for name in block.what.split())
        for command in re.findall(r"^(?:\S+=\S* )*fulfillment (.*)$", block.script, re.MULTILINE):
            words = [word for word in command.split() if re.fullmatch("[a-z-]+", word)]
            assert any(re.search(rf"\b{word}\b", tests) for word in words), f"{block.what} does not run {command}"


LINK = re.compile(r"(?<!`)\]\(([^)\s]+)\)")


def anchors(text: str) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and MkDocs make them."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [*pages(), ROOT / "CONTRIBUTING.md"], ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(page.read_text()):
        if "://" in link:
            continue
        target, _, anchor = link.partition("#")
        file = (page.parent / target).resolve() if target else page
        assert file.exists(), link
        if anchor and file.suffix == ".md":
            assert anchor in anchors(file.read_text()), link


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


def test_every_page_is_in_the_navigation() -> None:
    written = {path for path in DOCS.rglob("*.md") if "adr" not in path.parts and "vendor" not in path.parts}
    linked = {
        (page.parent / link.partition("#")[0]).resolve() for page in pages() for link in LINK.findall(page.read_text())
    }
    assert written <= {*pages(), *linked}, os.linesep.join(map(str, written - {*pages(), *linked}))
