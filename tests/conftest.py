"""The levels of tests, decided by where a test is and what it uses, and the system that tests share.

unit    starts no process: `make test-unit`
(none)  starts processes, with servers that many tests share: `make test` runs these and the unit tests
long    crashes, outages, upgrades, benchmarks, the browser: `make test-all` runs these too
slow    takes minutes each: only `make outages` runs these
"""

import subprocess
from collections.abc import AsyncIterator, Generator, Iterator
from typing import Any, NoReturn
from unittest.mock import patch

import aiohttp
import java_archive
import pytest
from system import PATIENT, Api, System

# The folders and files whose tests are long.
LONG = {"faults", "upgrade", "bench", "letters", "otel", "outages"} | {
    "test_archive",
    "test_compose",
    "test_extending",
    "test_helm",
    "test_lost_changelog",
    "test_make",
    "test_sbom",
    "test_streams_not_allowed",
    "test_streams_secured_system",
    "test_unreadable",
    "test_versions",
    "test_web_browser",
    "test_web_dashboard",
}
# The folders whose files take minutes, longest first: lanes that begin with them end at about the same time.
FIRST = ("faults", "upgrade", "integration", "streams", "letters", "bench", "otel", "outages")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with its level and sort the long files to the front; a file's tests keep their order."""
    for item in items:
        if "processes" not in item.fixturenames:  # type: ignore[attr-defined]
            item.add_marker("unit")
        elif LONG & {item.path.parent.name, item.path.stem}:
            item.add_marker("long")
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    if (folder := item.path.parent.name) in FIRST:
        return FIRST.index(folder)
    return len(FIRST) + (item.get_closest_marker("long") is None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Fail a unit test that starts a process."""
    if item.get_closest_marker("unit"):
        with patch.object(subprocess.Popen, "__init__", _refuse):
            return (yield)
    return (yield)


def _refuse(*_: object, **__: object) -> NoReturn:
    pytest.fail("this test starts a process: let it, or its fixture, use the fixture `processes`")


@pytest.fixture(scope="session")
def processes(pytestconfig: pytest.Config) -> None:
    """Let a test start processes; every fixture that starts one uses this one."""
    java_archive.use(pytestconfig.cache.mkdir("java"))


@pytest.fixture(scope="session")
def system(processes: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """The whole system, started once per run; tests leave it running and ready."""
    system = System(tmp_path_factory.mktemp("system"), **PATIENT)
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
