"""The levels of tests, decided by where a test is and what it uses, and the system that tests share.

unit    starts no process: `make test-unit`
(none)  starts processes, with servers that many tests share: `make test` runs these and the unit tests
long    crashes, outages, upgrades, benchmarks, the browser: `make test-all` runs these too
slow    takes minutes each: only `make outages` runs these
"""

import os
import subprocess
from collections.abc import AsyncIterator, Generator, Iterator
from typing import Any, NoReturn
from unittest.mock import patch

import java_archive
import pytest
from hypothesis import HealthCheck, Phase, settings
from secured_cluster import secured_system
from system import PATIENT, Api, System, api_at

# Tests are long in these folders, in files whose names begin with one of these words after `test_`, and where they are
# marked `long` themselves.
LONG_FOLDERS = {"faults", "upgrade", "bench", "letters", "otel", "outages"}
LONG_FILES = (
    "archive",
    "compose",
    "extending",
    "helm",
    "lost_changelog",
    "make",
    "privacy_system",
    "projection_secured",
    "replay",
    "sbom",
    "site",
    "stack",
    "streams_not_allowed",
    "streams_older_events",
    "streams_rights",
    "streams_secured",
    "unreadable",
    "versions",
    "web_browser",
    "web_dashboard",
)
# The files that take longest, longest first: lanes that begin with them end at about the same time.
FIRST = (
    "docs/test_documents.py",
    "faults/test_cluster.py",
    "ops/test_stack.py",
    "faults/test_points.py",
    "faults/test_secured_cluster.py",
    "upgrade/test_upgrade.py",
    "projections/test_projection_secured.py",
    "ops/test_archive.py",
    "outages/test_outages.py",
    "upgrade/test_rolling_update.py",
    "integration/test_unreadable.py",
    "privacy/test_privacy_system.py",
    "integration/test_lost_changelog.py",
    "integration/test_versions.py",
    "faults/test_faults.py",
    "bench/test_bench_state.py",
    "bench/test_bench_suite.py",
    "bench/test_bench_against.py",
    "streams/test_streams_rights.py",
    "streams/test_streams_transport.py",
    "streams/test_streams_secured_system.py",
    "streams/test_streams_secured.py",
    "letters/test_letters_adopt.py",
    "integration/test_replay.py",
    "web/test_web_contract.py",
    "ops/test_audit.py",
)

# Hypothesis draws the same examples every time, in CI and elsewhere. HYPOTHESIS_PROFILE=explore draws new ones;
# `mutants` only wants to know whether an example fails, not the smallest one.
QUIET = [HealthCheck.too_slow]  # whole worlds are built step by step
settings.register_profile("ci", derandomize=True, deadline=None, database=None, suppress_health_check=QUIET)
settings.register_profile(
    "mutants", settings.get_profile("ci"), max_examples=25, phases=[Phase.explicit, Phase.generate]
)
settings.register_profile("explore", deadline=None, suppress_health_check=QUIET)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that `make test-secured` uses."""
    parser.addoption("--secured", action="store_true", help="run the shared system on secured brokers, three of them")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with its level, and sort files that take long to the front; a file's tests keep their order."""
    for item in items:
        if "processes" not in item.fixturenames:  # type: ignore[attr-defined]
            item.add_marker("unit")
        elif item.path.parent.name in LONG_FOLDERS or item.path.stem.removeprefix("test_").startswith(LONG_FILES):
            item.add_marker("long")
    long = {item.path for item in items if item.get_closest_marker("long")}
    starting = {item.path for item in items if not item.get_closest_marker("unit")}
    turns = {file: turn for turn, file in enumerate(FIRST)}

    def turn(item: pytest.Item) -> tuple[int, bool, bool]:
        file = "/".join(item.path.parts[-2:])
        return turns.get(file, len(FIRST)), item.path not in long, item.path not in starting

    items.sort(key=turn)


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
def system(
    processes: None, pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:  # fmt: skip
    """The whole system, started once per run; tests leave it running and ready."""
    folder = tmp_path_factory.mktemp("system")
    settings = PATIENT | {"FULFILLMENT_WEBHOOK_NETWORKS": "127.0.0.0/8"}  # where tests receive webhooks
    if pytestconfig.getoption("secured"):
        with secured_system(folder, **settings) as (system, _):
            yield system
        return
    system = System(folder, **settings)
    system.up()
    try:
        yield system
    finally:
        system.down()


@pytest.fixture
async def api(system: System) -> AsyncIterator[Api]:
    """The API of the system: of the shared one, or of the module's own if it has a fixture `system`."""
    async with api_at(system.base) as api:
        yield api
