from collections.abc import Iterator
from itertools import count

import pytest
from real_kafka import Broker, running_broker
from secured_kafka import Secured, secured_broker

from streams.runtime.settings import Settings

LOOKS_OFTEN = "log.retention.check.interval.ms=500\nlog.initial.task.delay.ms=0\n"
_numbers = count(1)


@pytest.fixture(scope="session")
def broker(processes: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """One broker for all tests here; it looks twice a second for records that it may delete."""
    with running_broker(tmp_path_factory.mktemp("broker"), LOOKS_OFTEN) as broker:
        yield broker


@pytest.fixture
def settings(broker: Broker) -> Settings:
    """An installation of its own on that broker."""
    return Settings(kafka=broker.address, prefix=f"t{next(_numbers)}-", partitions=4, data=broker.folder / "workers")


@pytest.fixture(scope="session")
def secured(processes: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """One broker for all tests here that log in."""
    with secured_broker(tmp_path_factory.mktemp("secured")) as secured:
        yield secured
