from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers_ops import some_ports

from ops.stack.down import down
from streams.runtime.settings import Settings


@pytest.fixture
def stack_settings(processes: None, tmp_path: Path) -> Iterator[Settings]:
    """A stack of Kafka and MongoDB without workers, in its own directory; stopped after the test."""
    kafka, mongo, http, *_ = some_ports(10)  # Kafka's controller takes another one of them
    settings = Settings(
        kafka=f"127.0.0.1:{kafka}",
        mongo=f"mongodb://127.0.0.1:{mongo}",
        http_port=http,
        data=tmp_path / "data",
        roles=(),
    )
    yield settings
    down(settings)
