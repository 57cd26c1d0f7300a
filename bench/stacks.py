"""The measured stacks: one broker and one database, and installations on them with their own topics and documents."""

import json
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, NamedTuple

import psutil
from confluent_kafka.admin import AdminClient
from pymongo import MongoClient

from bench.checkout import HERE, Checkout
from streams.kafka.clients import librdkafka_config
from streams.topics import ORDER_COMMANDS
from tests.system import System

STORES, CLIENT = ("kafka", "mongod"), "client"


class Install(System):
    """One installation of a checkout: with its own Kafka and MongoDB, or only its roles, on `servers`."""

    def __init__(
        self, data: Path, name: str = "", servers: "Install | None" = None, *, checkout: Checkout = HERE,
        workers: str = "", **env: str,
    ) -> None:  # fmt: skip
        shared = {} if servers is None else {"kafka": servers.settings.kafka, "mongo": servers.settings.mongo}
        shared |= {"prefix": f"{name}-"} if name else {}
        super().__init__(data, **{f"FULFILLMENT_{key.upper()}": value for key, value in shared.items()}, **env)
        self.settings = self.settings.model_copy(update=shared)
        self.name, self.servers, self.checkout, self.workers = name, servers, checkout, workers
        self.placed = 0  # in orders
        self.ports: dict[str, int] = {}  # the workers' HTTP ports, by role

    def up(self) -> None:
        """Start it; return once everything is ready."""
        self.run("up", "--detach", "--workers", self.workers)
        self.ports = {each["name"]: int(each["port"]) for each in self.status()["processes"] if each["pid"]}
        if "orders-0" in self.ports:
            self.learn_partitions()

    def learn_partitions(self) -> None:
        """Take the number of partitions from the topics, because another checkout may have another default."""
        topic = self.settings.named(ORDER_COMMANDS.name)
        found = AdminClient(librdkafka_config(self.settings)).list_topics(topic, 30)
        self.settings = self.settings.model_copy(update={"partitions": len(found.topics[topic].partitions)})

    def run(self, *arguments: str, stdin: str | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run the checkout's `fulfillment …` and return what it printed."""
        return self.checkout.run(self.checkout.fulfillment(*arguments), self.env, check=check, input=stdin)

    def status(self) -> dict[str, Any]:
        """Return the output of the checkout's `fulfillment status --json`."""
        return (
            super().status() if self.checkout is HERE else json.loads(self.run("status", "--json", check=False).stdout)
        )

    def processes(self) -> list[tuple[str, psutil.Process]]:
        """Return the role and process of everything that handles an order, Kafka and MongoDB first."""
        own = [(each["role"], psutil.Process(each["pid"])) for each in self.status()["processes"] if each["pid"]]
        return own if self.servers is None else [*self.servers.processes(), *own]


class Stacks:
    """Servers and installations by name, started on first use."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="bench-")
        self._servers: Install | None = None
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
    def servers(self) -> Install:
        """The broker and the database, without any role."""
        if self._servers is None:
            self._servers = self._started(Install(Path(self._folder.name) / "servers", FULFILLMENT_ROLES=""))
        return self._servers

    def install(self, name: str, workers: str = "") -> Install:
        """Return the installation called `name`; `workers` as for `fulfillment up --workers`."""
        if name not in self._installs:
            install = Install(Path(self._folder.name) / name, name, self.servers, workers=workers)
            self._installs[name] = self._started(install)
        return self._installs[name]

    def end(self, name: str) -> None:
        """Stop an installation that later parts do not need, because even an idle one has a cost."""
        if (install := self._installs.pop(name, None)) is not None:
            install.down()

    def own(self, name: str, checkout: Checkout) -> Install:
        """Return the installation `name` of a checkout with its own servers."""
        if name not in self._installs:
            install = Install(Path(self._folder.name) / name, checkout=checkout)
            self._installs[name] = self._started(install)
        return self._installs[name]

    def mongo_version(self) -> str:
        """Return the version of a running database server; empty if none was started."""
        running = [self._servers] if self._servers else list(self._installs.values())
        if not running:
            return ""
        with MongoClient[dict[str, Any]](running[0].settings.mongo) as client:
            return str(client.server_info()["version"])

    @staticmethod
    def _started(stack: Install) -> Install:
        try:
            stack.up()
        except BaseException:
            stack.down()  # the next part that needs it starts it again
            raise
        return stack


class Used(NamedTuple):
    """The elapsed seconds, and the CPU seconds that each role used in them."""

    seconds: float
    cpu: dict[str, float]

    @property
    def system(self) -> float:
        """CPU seconds of all processes except the load client."""
        return sum(spent for role, spent in self.cpu.items() if role != CLIENT)


class Spent:
    """Time, and the CPU seconds of Kafka, MongoDB, an installation's roles and the load client, since its creation."""

    def __init__(self, install: Install) -> None:
        self._processes = [*install.processes(), (CLIENT, psutil.Process())]
        self._before = [cpu_seconds(process) for _, process in self._processes]
        self.began = time.perf_counter()

    def used(self) -> Used:
        """Return the resources used until now."""
        seconds, spent = time.perf_counter() - self.began, dict[str, float]()
        for (role, process), before in zip(self._processes, self._before, strict=True):
            spent[role] = spent.get(role, 0.0) + cpu_seconds(process) - before
        return Used(seconds, spent)


def cpu_seconds(process: psutil.Process) -> float:
    """Return the CPU seconds a process has used, in user and kernel mode."""
    times = process.cpu_times()
    return float(times.user + times.system)


def partitions_at(port: int) -> int:
    """Return how many partitions the worker with HTTP port `port` handles; 0 until it answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return sum(map(len, json.load(answer)["partitions"].values()))
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return 0
