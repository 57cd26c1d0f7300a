"""A machine's clock jumps ahead and back, under load: the workers', by libfaketime; their servers' clock is right."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
from kafka import messages
from load import Load
from servers import servers_of
from system import Api, System, eventually
from verify import verdict

LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not LIBRARIES, reason="libfaketime is not installed: apt-get install faketime"),
]


@pytest.fixture
def clock(tmp_path: Path) -> Path:
    """The file that says by how much the workers' clock is wrong."""
    file = tmp_path / "clock"
    file.write_text("+0\n")
    return file


@pytest.fixture
def system(tmp_path: Path, clock: Path) -> Iterator[System]:
    """A system whose workers look at `clock` every second."""
    system = System(
        tmp_path / "data",
        LD_PRELOAD=str(LIBRARIES[0]),
        FAKETIME_TIMESTAMP_FILE=str(clock),
        FAKETIME_CACHE_DURATION="1",
        FAKETIME_DONT_FAKE_MONOTONIC="1",  # no clock that is set moves the monotonic one
    )
    servers = servers_of(system, tmp_path)
    try:
        for server in servers.values():
            server.start()
        system.up()
        yield system
    finally:
        system.down()
        for server in servers.values():
            server.stop()


async def pages(api: Api, path: str) -> list[str]:
    """Return the ids of a list, read in small pages."""
    found: list[str] = []
    cursor = None
    while cursor is not None or not found:
        _, answer, _ = await api("GET", path, params={"limit": "7", **({"cursor": cursor} if cursor else {})})
        found += [each["id"] for each in answer["data"]]
        cursor = answer["nextCursor"]
        if not cursor:
            return found
    return found


async def test_a_clock_that_jumps_breaks_nothing(system: System, clock: Path) -> None:
    load = Load(system, seed=5)
    running = asyncio.create_task(load.run())

    async def more(promises: int) -> None:
        wanted = len(load.promises.done) + promises
        await eventually(lambda: asyncio.sleep(0, len(load.promises.done)), lambda done: done >= wanted, 120)

    await more(30)
    for wrong in ("+2h", "-2h", "+400d", "+0"):
        await asyncio.to_thread(clock.write_text, f"{wrong}\n")
        await more(30)
    load.stopping.set()
    await running
    assert (await verdict(system, load.promises)).broken == []
    years = {event["time"][:4] for event in messages(system.settings, "order-events")}
    assert len(years) > 1, "the clock never jumped"
    async with aiohttp.ClientSession(base_url=system.base + "/") as session:
        for sort in ("createdAt", "-createdAt", "-updatedAt"):
            found = await pages(Api(session), f"/orders?sort={sort}")
            assert len(found) == len(set(found)) == len(set(await pages(Api(session), "/orders")))
