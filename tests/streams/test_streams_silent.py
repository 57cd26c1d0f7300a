"""A silent broker: requests have a limit of their own, so that another broker is asked soon."""

import asyncio
from typing import Any

import pytest
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.group import HeartbeatRequest, JoinGroupRequest, SyncGroupRequest

from streams.kafka import library_patches
from streams.kafka.library_patches import FETCH_SECONDS, SILENT_SECONDS

LONGEST = 30.0


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time limits that requests were sent with."""
    found: list[float] = []
    monkeypatch.setattr(
        library_patches.Connection.__base__, "send", lambda connection, *_: found.append(connection._request_timeout)
    )
    return found


def connection_to(host: str = "127.0.0.1", port: int = 1, seconds: float = LONGEST) -> Any:
    return library_patches.Connection(host, port, request_timeout_ms=int(seconds * 1000))


@pytest.mark.parametrize(
    ("request_", "limit"),
    [
        (HeartbeatRequest("group", 1, "member"), SILENT_SECONDS),
        (FetchRequest(1500, 1, 1, 1, []), FETCH_SECONDS + 1.5),
        (JoinGroupRequest("group", 1, 1, "member", "instance", "consumer", []), LONGEST),
        (SyncGroupRequest("group", 1, "member", "instance", []), LONGEST),
    ],
)
async def test_only_a_rebalance_may_take_long(limits: list[float], request_: Any, limit: float) -> None:
    connection = connection_to()
    connection.send(request_)
    assert (limits, connection._request_timeout) == ([limit], LONGEST)


async def test_a_shorter_limit_of_the_client_stays(limits: list[float]) -> None:
    connection_to(seconds=1.0).send(HeartbeatRequest("group", 1, "member"))
    assert limits == [1.0]


async def test_a_server_that_accepts_connections_and_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library_patches, "SILENT_SECONDS", 0.05)
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    connection = connection_to(host, port)
    with pytest.raises(asyncio.TimeoutError):
        await connection.connect()
    connection.close()
    server.close()
