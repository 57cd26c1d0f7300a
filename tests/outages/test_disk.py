"""The disk of the data directory is full: every process reports it, no acknowledged data is lost, and free space heals
it."""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
from system import Api, System, eventually, wait_until

MEGABYTE = 1 << 20
pytestmark = pytest.mark.slow


@pytest.fixture
def small_disk(processes: None, tmp_path: Path) -> Iterator[Path]:
    """A file system with space for a system and little more."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=700m", "tmpfs", str(place)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a file system of our own cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(place: Path) -> Path:
    """Fill the disk; return the file that does."""
    filler = place / "filler"
    with filler.open("wb") as file:
        try:
            while True:
                file.write(bytes(MEGABYTE))
                file.flush()
        except OSError:
            return filler


def test_a_stack_is_not_started_without_space(small_disk: Path) -> None:
    fill(small_disk)
    refused = System(small_disk / "data").run("up", "--detach", check=False)
    assert refused.returncode == os.EX_UNAVAILABLE
    assert "The disk is full" in refused.stderr


async def test_a_full_disk_is_reported_and_free_space_heals_it(small_disk: Path) -> None:
    system = System(small_disk / "data")
    await asyncio.to_thread(system.up)
    try:
        async with aiohttp.ClientSession(base_url=system.base + "/") as session:
            api = Api(session)
            await api.stock("disk-boots", 1000)
            placed = [await api.place(("disk-boots", 1), customerId="disk") for _ in range(20)]
            filler = await asyncio.to_thread(fill, small_disk)
            body = {"quantity": 10}
            # Requests acknowledged while the disk fills up count as well; then Kafka exits, and nothing more is
            # accepted.
            received = 0
            for _ in range(20_000):
                status, _, _ = await api("POST", "/inventory/disk-boots/receive", body)
                received += status in (200, 202)
                if status == 503:
                    break
            assert status == 503
            said = await asyncio.to_thread(system.run, "status", check=False)
            assert "The disk is full" in said.stdout.replace("\n", " ")
            port = system.settings.http_port
            async with aiohttp.request("GET", f"http://127.0.0.1:{port}/readyz") as answer:
                assert "The disk is full" in (await answer.json())["reasons"]["disk"]
            filler.unlink()
            await asyncio.to_thread(wait_until, lambda: system.status()["ready"], "the system to be ready again")
            await eventually(lambda: api("POST", "/inventory/disk-boots/receive", body), lambda a: a[0] == 200)
            for order in placed:
                await api.order(order["id"], lambda found: found["allocationStatus"] == "ALLOCATED")
            await asyncio.to_thread(system.quiet)
            _, stock, _ = await api("GET", "/inventory/disk-boots")
            assert stock["data"]["onHandQuantity"] >= 1000 + 10 * (received + 1)
            assert (await asyncio.to_thread(system.run, "audit", "--json", check=False)).returncode == 0
    finally:
        await asyncio.to_thread(system.down)
