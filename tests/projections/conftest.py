"""A real mongod for the session, and an empty database for every test."""

import subprocess
from collections.abc import AsyncIterator, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from system import free_ports

from ops.stack import mongod
from projections.mongo.client import Mongo
from projections.mongo.indexes import create_indexes
from projections.runner import Runner
from projections.table import PROJECTIONS
from streams.runtime.settings import Settings

# Once a minute mongod deletes documents that are older than a week, like some of the tests' messages.
KEEP_EXPIRED = ("--setParameter", "ttlMonitorEnabled=false")
_numbers = count(1)
_emptied: list[str] = []  # databases that are as good as new


@pytest.fixture(scope="session")
def mongo_uri(processes: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder: Path = tmp_path_factory.mktemp("mongod")
    port = free_ports(1)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen((*mongod.command(folder, "127.0.0.1", port), *KEEP_EXPIRED), stdout=log, stderr=log)
    try:
        uri = f"mongodb://127.0.0.1:{port}"
        assert mongod.answers(uri, timeout=180), (folder / "log").read_text()[-2000:]
        yield uri
    finally:
        process.terminate()
        process.wait(120)


@pytest.fixture(params=["pymongo", "motor"])
def settings(mongo_uri: str, request: pytest.FixtureRequest) -> Settings:
    """An installation with an empty database; each test runs with both drivers."""
    database = _emptied.pop() if _emptied else f"test_{next(_numbers)}"
    return Settings(mongo=mongo_uri, database=database, mongo_driver=request.param)


@pytest.fixture
async def mongo(settings: Settings) -> AsyncIterator[Mongo]:
    """A database with all indexes. Emptying one is a hundred times as fast as creating one, so it is reused."""
    mongo = Mongo(settings)
    await create_indexes(mongo, PROJECTIONS)
    before = await _indexes(mongo)
    yield mongo
    for name in before.keys() | set(await mongo.database.list_collection_names()):
        await (mongo.database[name].delete_many({}) if name in before else mongo.database[name].drop())
    if await _indexes(mongo) == before:
        _emptied.append(settings.database)
    await mongo.close()


async def _indexes(mongo: Mongo) -> dict[str, Any]:
    return {
        name: await mongo.database[name].index_information() for name in await mongo.database.list_collection_names()
    }


@pytest.fixture
def runner(mongo: Mongo, settings: Settings) -> Runner:
    return Runner(mongo, settings)
