"""A bulk build of a read model survives a database that is unreachable for a moment, as in an election."""

import asyncio
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from projection_histories import ORDERS, order_history, place, records
from pymongo.errors import PyMongoError
from system import free_ports

from ops.replay import bulk
from ops.stack import mongod
from projections.mongo.client import Mongo
from projections.runner import Runner
from streams.runtime.settings import Settings


class Database:
    """A mongod that does not run until it is started."""

    def __init__(self, folder: Path, ending: ExitStack) -> None:
        self.port = free_ports(1)
        self.settings = Settings(mongo=f"mongodb://127.0.0.1:{self.port}")
        self._folder, self._ending = folder, ending

    def start(self) -> None:
        """Start it."""
        log = self._ending.enter_context((self._folder / "log").open("wb"))
        process = subprocess.Popen(mongod.command(self._folder, "127.0.0.1", self.port), stdout=log, stderr=log)
        self._ending.callback(process.wait, 120)
        self._ending.callback(process.terminate)


@pytest.fixture
def database(processes: None, tmp_path: Path) -> Iterator[Database]:
    with ExitStack() as ending:
        yield Database(tmp_path, ending)


async def test_a_batch_is_applied_again_once_the_database_is_back(database: Database, monkeypatch: pytest.MonkeyPatch):
    failed, apply = asyncio.Event(), Runner.apply

    async def noted(runner: Runner, *arguments: Any) -> None:
        try:
            await apply(runner, *arguments)
        except PyMongoError:
            failed.set()
            raise

    monkeypatch.setattr(Runner, "apply", noted)
    mongo, gathered = Mongo(database.settings), bulk.Gathered()
    gathered.records[ORDERS, 0] = list(records(*order_history("o-1", place(("boot", 1)))))
    applying = asyncio.create_task(bulk._apply(Runner(mongo, database.settings), gathered, {}))
    await asyncio.wait_for(failed.wait(), 120)
    database.start()
    await asyncio.wait_for(applying, 120)
    assert await mongo.collection("orders_v1").count_documents({"_id": "o-1"}) == 1
    await mongo.close()
