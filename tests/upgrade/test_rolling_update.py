"""Every role is updated from older code to today's, one worker after the other, while clients send commands.

The older code is the one that the newest installation in `recorded` was recorded with (`code.tar.xz`).
"""

import asyncio
import signal
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from load import Load
from servers import servers_of
from system import PATIENT, eventually
from upgrade_fleet import Fleet
from verify import verdict

PREVIOUS = Path(__file__).parent / "recorded/dc4a191/code.tar.xz"
CLIENTS = 4
UNCLEAR = "it is unknown whether"  # a worker that a busy machine delays may end for this; its restart finds out


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """The folder with the code of the previous version."""
    with tarfile.open(PREVIOUS) as archive:
        archive.extractall(tmp_path / "older", filter="data")
    return tmp_path / "older"


@pytest.fixture
def fleet(processes: None, tmp_path: Path) -> Iterator[Fleet]:
    """Kafka and MongoDB, and no worker yet."""
    (data := tmp_path / "data").mkdir()
    fleet = Fleet(data, **PATIENT)
    servers = servers_of(fleet, data)
    try:
        for server in servers.values():
            server.start()
        yield fleet
    finally:
        fleet.down()
        for server in servers.values():
            server.stop(signal.SIGKILL)


async def test_a_rolling_update_and_scaling_refuse_nothing_and_lose_nothing(fleet: Fleet, older: Path) -> None:
    fleet.fulfillment(older, "topics", "create")
    twice = [f"{role}-{number}" for role in ("api", "orders", "inventory", "projector") for number in (0, 1)]
    await asyncio.to_thread(fleet.start, *twice, "fulfilment-0", code=older)
    load = Load(fleet, seed=1, clients=CLIENTS, bases=fleet.bases)
    async with load.running():
        await accepts(load)
        # As docs/how-to/upgrade.md and the changelog say: topics; readers; the others, without `fulfilment`; the api.
        await asyncio.to_thread(fleet.run, "topics", "create")
        await replaced(fleet, load, "projector-1", "projector-0")
        await asyncio.to_thread(fleet.stop, "fulfilment-0")
        await replaced(fleet, load, "orders-1", "inventory-1", "orders-0", "inventory-0", "api-1", "api-0")

        await asyncio.to_thread(fleet.start, "orders-2")
        await accepts(load)
        await asyncio.to_thread(fleet.stop, "orders-2", "orders-1")
        await accepts(load)

    assert not [each for each in fleet.ended if UNCLEAR not in each]
    assert (load.promises.unavailable, load.promises.failed, load.promises.unanswered) == ({}, {}, 0)
    assert len(load.promises.done) > 10 * CLIENTS
    assert not (await verdict(fleet, load.promises)).broken


async def replaced(fleet: Fleet, load: Load, *names: str) -> None:
    """Replace workers one by one; each time, both versions do some work side by side."""
    for name in names:
        await asyncio.to_thread(fleet.replace, name)
        await accepts(load)


async def accepts(load: Load) -> None:
    """Return when the API has kept as many more promises as there are clients, twice."""
    wanted = load.promises.kept + 2 * CLIENTS
    await eventually(lambda: asyncio.sleep(0, load.promises.kept), lambda kept: kept >= wanted)
