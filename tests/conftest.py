from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest
from system import Api, System

# Folders whose files take minutes, longest first: lanes that begin with them end at about the same time.
LONG = ("faults", "upgrade", "integration", "streams", "letters", "bench", "otel", "outages")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the long files to the front; files stay whole, and tests in the order in which they are written."""
    items.sort(key=lambda item: LONG.index(folder) if (folder := item.path.parent.name) in LONG else len(LONG))


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
