"""A recorded installation, with today's code running on it."""

import gzip
import json
import signal
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from system import PATIENT, free_ports, status_of
from upgrade_installation import PARTITIONS, Installation

from ops.stack import kafka, mongod
from streams.runtime.settings import Settings

sys.path += [str(Path(__file__).parents[1] / folder) for folder in ("faults", "outages")]

from servers import Server  # needs the line above

RECORDED = Path(__file__).parent / "recorded"
ROOT = Path(__file__).parents[2]
# By default the servers delete what is older than a week: the recorded commands, outcomes, keys and offsets. Kafka
# looks for it half a minute after its start, and then at each interval.
KEEP = """
log.initial.task.delay.ms=86400000
log.retention.check.interval.ms=86400000
offsets.retention.check.interval.ms=86400000
"""


class Today(Installation):
    """An installation that today's code runs."""

    def status(self) -> dict[str, Any]:
        """Return what `fulfillment status --json` says, without starting a process for it."""
        return status_of(Settings(kafka=self.kafka, mongo=self.mongo, data=self.data, partitions=PARTITIONS))


@pytest.fixture(scope="module", params=sorted(path.name for path in RECORDED.iterdir()))
def recording(request: pytest.FixtureRequest) -> Path:
    """The folder of a recording; its name is the commit of the code that was recorded."""
    return RECORDED / str(request.param)


@pytest.fixture(scope="module")
def recorded(recording: Path) -> dict[str, Any]:
    """The record of the older code: its `answers` by path, its `audit`, and its `commit`."""
    with gzip.open(recording / "answers.json.gz") as file:
        return dict(json.load(file))


@pytest.fixture(scope="module")
def it(processes: None, recording: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """The recorded installation under today's code, with nothing left to handle."""
    folder, port = tmp_path_factory.mktemp("upgrade"), free_ports(20)
    with tarfile.open(recording / "installation.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    it = Today(ROOT, Path(sys.executable), folder, port)
    it.env |= PATIENT
    servers = _servers(it, port)
    try:
        for server in servers:
            server.start()
        it.run("up", "--detach")
        it.quiet()
        yield it
    finally:
        it.run("down", check=False)
        for server in servers:
            server.stop(signal.SIGKILL)


def _servers(it: Installation, port: int) -> tuple[Server, Server]:
    broker = kafka.command(it.data / "kafka", it.kafka, port + 19)
    with (it.data / "kafka/server.properties").open("a") as properties:
        properties.write(KEEP)
    store = (*mongod.command(it.data / "mongo", "127.0.0.1", port + 1), "--setParameter", "ttlMonitorEnabled=false")
    return (
        Server("Kafka", broker, lambda: kafka.answers(Settings(kafka=it.kafka)), it.data / "kafka.log"),
        Server("MongoDB", store, lambda: mongod.answers(it.mongo), it.data / "mongod.log"),
    )
