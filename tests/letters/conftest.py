"""A system whose deciding roles are run by the tests: first with a bug, then with the bug fixed."""

import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from system import FULFILLMENT, PATIENT, System, free_ports, wait_until

PORTS: dict[str, int] = {}  # Faust requires that a static member keeps its address


class Worker:
    """A worker process that a test runs."""

    def __init__(self, system: System, role: str, log: Path, **env: str) -> None:
        self.port = PORTS.setdefault(role, free_ports(1))
        self.log = log
        environment = system.env | {"FULFILLMENT_WORKER_PORT": str(self.port)} | env
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [*FULFILLMENT, "worker", role], env=environment, stdout=output, stderr=output
            )

    def ask(self, page: str) -> tuple[int, Any]:
        """Return the status and the JSON of a page; status 0 if it does not answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/{page}", timeout=120) as answer:
                return answer.status, orjson.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, orjson.loads(error.read())
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return 0, None

    def parked(self) -> dict[str, int] | None:
        """Return how many commands of each topic are parked; None if it does not answer."""
        return (self.ask("readyz")[1] or {}).get("parked")

    def reason(self) -> str:
        """Return why it is not ready; an empty text if it is, or does not answer."""
        return " ".join((self.ask("readyz")[1] or {}).get("reasons", ()))

    def text(self, page: str) -> str:
        """Return a page as text."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/{page}", timeout=120) as answer:
            return str(answer.read().decode())

    def is_ready(self) -> bool:
        return self.ask("readyz")[0] == 200

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(120)


@pytest.fixture(scope="module")
def system(processes: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """The whole system without the roles that the tests run."""
    few = {"FULFILLMENT_ROLES": "api", "FULFILLMENT_PARTITIONS": "2"}
    system = System(tmp_path_factory.mktemp("letters"), **few, **PATIENT)
    system.up()
    try:
        yield system
    finally:
        system.down()


@pytest.fixture
def worker(system: System, tmp_path: Path) -> Any:
    """Return a context manager that runs a worker."""

    @contextmanager
    def run(role: str, ready: bool = True, **env: str) -> Iterator[Worker]:
        worker = Worker(system, role, tmp_path / f"{role}.log", **env)
        try:
            if ready:
                wait_until(worker.is_ready, f"the {role} worker to be ready")
            yield worker
        finally:
            worker.process.kill()
            worker.process.wait()

    return run
