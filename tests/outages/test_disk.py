"""The disk of the data directory is full: every process reports it, no acknowledged data is lost, and free space heals
it."""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import aiohttp
import pytest
from system import System, api_at, eventually, wait_until

from tables import disk
from tables.disk import DiskRows, Memory
from tables.rows import Checkpoint

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


def write_many(rows: DiskRows) -> None:
    """Write one row after the other, as if the changelog contained only them."""
    for number in range(10_000):
        rows.write({b"%d" % number: os.urandom(100_000)}, Checkpoint(number, 0.0))


def test_a_table_on_a_full_disk_ends_its_worker_and_is_right_when_there_is_space(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that could not be written are behind the checkpoint, so they are read from the changelog again."""

    def end(reason: str) -> NoReturn:
        raise SystemExit(reason)

    monkeypatch.setattr(disk, "end_process", end)
    place = small_disk / "state" / "orders" / "0" / "0"
    rows = DiskRows(place, "id", Memory(8 << 20, 1))
    filler = fill(small_disk)
    with pytest.raises(SystemExit, match=f"the table in {place} cannot be written: .*; free some space on that disk"):
        write_many(rows)
    rows.close()
    filler.unlink()
    again = DiskRows(place, "id", Memory(8 << 20, 1))
    assert len(dict(again.items())) == (again.checkpoint.offset + 1 if again.checkpoint else 0)
    again.close()


def test_a_stack_is_not_started_without_space(small_disk: Path) -> None:
    fill(small_disk)
    refused = System(small_disk / "data").run("up", "--detach", check=False)
    assert refused.returncode == os.EX_UNAVAILABLE
    assert "The disk is full" in refused.stderr


async def test_a_full_disk_is_reported_and_free_space_heals_it(small_disk: Path) -> None:
    system = System(small_disk / "data")
    await asyncio.to_thread(system.up)
    try:
        async with api_at(system.base) as api:
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
