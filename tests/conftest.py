from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest
from system import Api, System


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """The whole system, started once a run; tests leave it running and ready."""
    system = System(tmp_path_factory.mktemp("system"))
    system.up()
    try:
        yield system
    finally:
        system.down()


@pytest.fixture
async def api(system: System) -> AsyncIterator[Api]:
    """The system's API."""
    async with aiohttp.ClientSession(base_url=system.base + "/") as session:
        yield Api(session)
