"""A system on servers that the tests stop and start."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from system import System

sys.path.append(str(Path(__file__).parents[1] / "faults"))

from servers import Server, servers_of  # the line above makes `load` and `verify` importable


@pytest.fixture(scope="package")
def installation(
    processes: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[System, dict[str, Server]]]:
    """The system and its two servers, all running."""
    folder = tmp_path_factory.mktemp("outages")
    asked = folder / "faults"
    asked.mkdir()
    system = System(folder / "data", FULFILLMENT_COMMAND_TIMEOUT="3", FULFILLMENT_FAULTS=f"ask:{asked}")
    servers = servers_of(system, folder)
    try:
        for server in servers.values():
            server.start()
        system.up()
        yield system, servers
    finally:
        system.down()
        for server in servers.values():
            server.stop()


@pytest.fixture
def system(installation: tuple[System, dict[str, Server]]) -> System:
    return installation[0]


@pytest.fixture
def servers(installation: tuple[System, dict[str, Server]]) -> dict[str, Server]:
    return installation[1]


@pytest.fixture
def faults(system: System) -> Path:
    """The folder in which a file asks the process of that name for a fault."""
    return system.settings.data.parent / "faults"
