"""A silent broker among several: requests have limits of their own, so that another broker is asked soon."""

import asyncio
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.group import HeartbeatRequest, JoinGroupRequest, SyncGroupRequest
from aiokafka.protocol.metadata import MetadataResponse_v1
from aiokafka.protocol.produce import ProduceRequest
from certificates import authority

from streams.kafka import library_patches
from streams.kafka.library_patches import BYTES_PER_SECOND, FETCH_SECONDS, SILENT_SECONDS, hang_up
from streams.kafka.wire import NO_TAGS, Produce

LONGEST = 30.0
HEARTBEAT = HeartbeatRequest("group", 1, "member")
BATCH = bytes(BYTES_PER_SECOND)
LARGE_FETCH = FetchRequest(1500, 1, 12 * BYTES_PER_SECOND, 1, [("topic", [(0, 0, 40 * BYTES_PER_SECOND)])])
REQUESTS = [
    (HEARTBEAT, SILENT_SECONDS),
    (FetchRequest(1500, 1, 1, 1, []), FETCH_SECONDS + 1.5),
    (LARGE_FETCH, SILENT_SECONDS + 12 + 1.5),
    (ProduceRequest(None, -1, 1, [("topic", [(0, BATCH), (1, BATCH)])]), SILENT_SECONDS + 2),
    (Produce("me", -1, 1, [("topic", [(0, BATCH, NO_TAGS)], NO_TAGS)], NO_TAGS), SILENT_SECONDS + 1),
    (JoinGroupRequest("group", 1, 1, "member", "instance", "consumer", []), LONGEST),
    (SyncGroupRequest("group", 1, "member", "instance", []), LONGEST),
]


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time limits that requests were sent with."""
    found: list[float] = []
    monkeypatch.setattr(
        library_patches.Connection.__base__, "send", lambda connection, *_: found.append(connection._request_timeout)
    )
    return found


def connection_to(
    host: str = "127.0.0.1", port: int = 1, *, seconds: float = LONGEST, brokers: int = 2, **options: Any
) -> Any:
    """Return a connection of a client that knows `brokers` brokers."""
    client = AIOKafkaClient()
    client.cluster.update_metadata(MetadataResponse_v1([(each, host, port, None) for each in range(brokers)], 0, []))
    return library_patches.Connection(
        host, port, request_timeout_ms=int(seconds * 1000), on_close=client._on_connection_closed, **options
    )


@contextmanager
def silent_server() -> Iterator[int]:
    """Return the port of a server that accepts connections and says nothing, like a suspended process."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@contextmanager
def full_server() -> Iterator[int]:
    """Return the port of a server that never accepts, like a host that is gone."""
    with ExitStack() as sockets:
        server = sockets.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        port = server.getsockname()[1]
        while True:
            try:
                sockets.enter_context(socket.create_connection(("127.0.0.1", port), timeout=0.5))
            except TimeoutError:
                break
        yield port


@pytest.mark.parametrize(("request_", "limit"), REQUESTS)
async def test_only_a_rebalance_may_take_long(limits: list[float], request_: Any, limit: float) -> None:
    connection = connection_to()
    connection.send(request_)
    assert (limits, connection._request_timeout) == ([limit], LONGEST)


@pytest.mark.parametrize("request_", [request for request, _ in REQUESTS])
async def test_on_one_broker_the_limit_of_the_client_stays(limits: list[float], request_: Any) -> None:
    connection_to(brokers=1).send(request_)
    assert limits == [LONGEST]


async def test_a_shorter_limit_of_the_client_stays(limits: list[float]) -> None:
    connection_to(seconds=1.0).send(HEARTBEAT)
    assert limits == [1.0]


async def test_a_server_that_accepts_connections_and_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library_patches, "SILENT_SECONDS", 0.05)
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    connection = connection_to(*server.sockets[0].getsockname())
    with pytest.raises(asyncio.TimeoutError):
        await connection.connect()
    connection.close()
    server.close()


async def test_a_host_that_is_gone_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library_patches, "SILENT_SECONDS", 0.05)
    with full_server() as port:
        connection = connection_to(port=port, seconds=600)
        async with asyncio.timeout(60):
            with pytest.raises(asyncio.TimeoutError):
                await connection.connect()
    assert connection._request_timeout == 600


async def test_while_brokers_are_looked_for_a_host_that_is_gone_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library_patches, "SILENT_SECONDS", 0.05)
    with full_server() as port:
        client = AIOKafkaClient(bootstrap_servers=[f"127.0.0.1:{port}"] * 2, request_timeout_ms=600_000)
        async with asyncio.timeout(60):
            with pytest.raises(KafkaConnectionError):
                await client.bootstrap()


async def test_on_one_broker_connecting_may_take_as_long_as_the_client_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library_patches, "SILENT_SECONDS", 0.05)
    with full_server() as port:
        client = AIOKafkaClient(bootstrap_servers=f"127.0.0.1:{port}", request_timeout_ms=600_000)
        for connect in (connection_to(port=port, brokers=1, seconds=600).connect, client.bootstrap):
            connecting = asyncio.ensure_future(connect())
            done, _ = await asyncio.wait([connecting], timeout=0.5)
            assert not done
            connecting.cancel()
            with suppress(asyncio.CancelledError):
                await connecting


@pytest.mark.parametrize("server", [silent_server, full_server])
async def test_connecting_to_a_broker_that_the_cluster_has_given_up_ends(server: Any) -> None:
    with server() as port:
        connection = connection_to(port=port)
        connecting = asyncio.ensure_future(connection.connect())
        done, _ = await asyncio.wait([connecting], timeout=0.2)
        assert not done
        hang_up(connection.owner)
        await asyncio.sleep(0)
        assert not connecting.done(), "the cluster still lists it"
        connection.owner.cluster.update_metadata(MetadataResponse_v1([(7, "127.0.0.1", 1, None)], 7, []))
        hang_up(connection.owner)
        with pytest.raises(KafkaConnectionError, match="given up"):
            await connecting


async def test_connecting_can_be_cancelled() -> None:
    with silent_server() as port:
        connecting = asyncio.ensure_future(connection_to(port=port).connect())
        await asyncio.wait([connecting], timeout=0.2)
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting


async def test_closing_a_tls_connection_does_not_wait_for_a_silent_server(
    processes: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library_patches, "SILENT_SECONDS", 5.0)
    mine = authority(tmp_path).issue("broker")
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs.load_cert_chain(mine.certificate, mine.key)
    ours = ssl.create_default_context(cafile=tmp_path / "authority.pem")
    accepted: list[ssl.SSLSocket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = Thread(target=lambda: accepted.append(theirs.wrap_socket(server.accept()[0], server_side=True)))
        thread.start()
        connection = connection_to(port=server.getsockname()[1], security_protocol="SSL", ssl_context=ours)
        with pytest.raises(asyncio.TimeoutError):
            await connection.connect()  # the server says nothing
        await asyncio.to_thread(thread.join)
        async with asyncio.timeout(15):  # asyncio waits for 30 s
            await connection.close()
        accepted[0].close()
