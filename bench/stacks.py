"""What is measured: one broker, one database, and installations on them with topics and documents of their own."""

import asyncio
import json
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, TypeVar

import psutil
from pymongo import MongoClient

from tests.system import System

CLIENT = "client"
S = TypeVar("S", bound=System)


class Servers(System):
    """Kafka and MongoDB alone."""

    def __init__(self, data: Path) -> None:
        super().__init__(data, FULFILLMENT_ROLES="")

    def mongo_version(self) -> str:
        """Return what the database says of itself."""
        with MongoClient[dict[str, Any]](self.settings.mongo) as client:
            return str(client.server_info()["version"])


class Install(System):
    """The roles of one installation, on servers it shares with others."""

    def __init__(self, servers: Servers, data: Path, name: str, workers: str) -> None:
        shared = {"FULFILLMENT_KAFKA": servers.settings.kafka, "FULFILLMENT_MONGO": servers.settings.mongo}
        super().__init__(data, **shared, FULFILLMENT_PREFIX=f"{name}-")
        shared_settings = {"kafka": servers.settings.kafka, "mongo": servers.settings.mongo, "prefix": f"{name}-"}
        self.settings = self.settings.model_copy(update=shared_settings)
        self.name, self.workers, self.servers = name, workers, servers
        self.placed = 0  # orders
        self.ports: dict[str, int] = {}  # of the workers' pages, by their names
        self._mongo: MongoClient[dict[str, Any]] | None = None

    def up(self) -> None:
        """Start it; return when everything is ready."""
        self.run("up", "--detach", "--workers", self.workers)
        self.ports = {each["name"]: int(each["port"]) for each in self.status()["processes"] if each["pid"]}

    def down(self) -> None:
        """Stop it."""
        if self._mongo is not None:
            self._mongo.close()
        super().down()

    def collection(self, name: str) -> Any:
        """Return a collection of the read models."""
        if self._mongo is None:
            self._mongo = MongoClient(self.settings.mongo)
        return self._mongo[self.settings.named(self.settings.database)][name]

    async def count(self, collection: str, which: dict[str, Any]) -> int:
        """Return how many documents of a read model are so."""
        return int(await asyncio.to_thread(self.collection(collection).count_documents, which))


class Stacks:
    """Servers and installations by name, started when they are first asked for."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="bench-")
        self._servers: Servers | None = None
        self._installs: dict[str, Install] = {}

    def __enter__(self) -> "Stacks":
        return self

    def __exit__(self, *_: object) -> None:
        try:
            for stack in (*self._installs.values(), self._servers):
                if stack is not None:
                    stack.down()
        finally:
            self._folder.cleanup()

    @property
    def servers(self) -> Servers:
        """The broker and the database."""
        if self._servers is None:
            self._servers = self._started(Servers(Path(self._folder.name) / "servers"))
        return self._servers

    def install(self, name: str, workers: str = "") -> Install:
        """Return the installation called `name`; `workers` as `fulfillment up --workers` has it."""
        if name not in self._installs:
            install = Install(self.servers, Path(self._folder.name) / name, name, workers)
            self._installs[name] = self._started(install)
        return self._installs[name]

    def end(self, name: str) -> None:
        """End an installation that later parts do not need: an idle one costs a little too."""
        if (install := self._installs.pop(name, None)) is not None:
            install.down()

    @staticmethod
    def _started(stack: S) -> S:
        try:
            stack.up()
        except BaseException:
            stack.down()  # the next part that wants it starts it again
            raise
        return stack


class Spent:
    """CPU seconds that Kafka, MongoDB, an installation's roles and the load client have used since this was made."""

    def __init__(self, install: Install) -> None:
        self._processes = [*processes(install.servers), *processes(install), (CLIENT, psutil.Process())]
        self._before = [cpu_seconds(process) for _, process in self._processes]

    def each(self) -> dict[str, float]:
        """Return the seconds by role, the load client among them."""
        spent: dict[str, float] = {}
        for (role, process), before in zip(self._processes, self._before, strict=True):
            spent[role] = spent.get(role, 0.0) + cpu_seconds(process) - before
        return spent


def processes(stack: System) -> list[tuple[str, psutil.Process]]:
    """Return the role and the process of everything that a stack runs itself."""
    return [(each["role"], psutil.Process(each["pid"])) for each in stack.status()["processes"] if each["pid"]]


def cpu_seconds(process: psutil.Process) -> float:
    """Return the CPU seconds a process has used, in user and kernel mode."""
    times = process.cpu_times()
    return float(times.user + times.system)


def partitions_at(port: int) -> int:
    """Return how many partitions the worker with its pages at `port` handles; 0 while it says nothing."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return sum(map(len, json.load(answer)["partitions"].values()))
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return 0
