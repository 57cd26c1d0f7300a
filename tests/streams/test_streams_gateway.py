"""The gateway while Kafka is unreachable, or cannot be asked at all; with brokers that answer: tests/faults."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import RequestTimedOutError
from aiokafka.protocol.metadata import MetadataResponse_v1
from faust.types import TP
from system import eventually

from domain.orders.commands import Hold
from streams.kafka import failover, gateway, library_patches, lookout
from streams.kafka.gateway import Gateway, GatewayUnavailable
from streams.kafka.import_watch import exists as import_exists
from streams.kafka.metadata import PROBES, check_topics
from streams.kafka.partitions import partition_of
from streams.kafka.pulse import Pulse
from streams.kafka.transactions import committed_offsets
from streams.messages.envelope import CommandMessage, new_id, now
from streams.runtime.settings import Settings
from streams.topics import UNFINISHED_IMPORT, find_topics, largest_batches

NOWHERE = "127.0.0.1:1"
KEY = "o-1"
OTHER_KEY = next(f"o-{n}" for n in range(2, 99) if partition_of(f"o-{n}".encode(), 8) != partition_of(b"o-1", 8))


def command(order: str) -> CommandMessage:
    return CommandMessage(new_id(), order, Hold(reason="test"), now(), "test", "test")


def knows(client: AIOKafkaClient, brokers: int) -> AIOKafkaClient:
    """Let a client know `brokers` brokers, which are unreachable."""
    client.cluster.update_metadata(
        MetadataResponse_v1([(each, "127.0.0.1", 1, None) for each in range(brokers)], 0, [])
    )
    return client


@contextlib.asynccontextmanager
async def disconnected(brokers: int) -> AsyncIterator[Gateway]:
    """A gateway that knew `brokers` brokers, none of which answers any more."""
    it = Gateway(Settings(kafka=NOWHERE, command_timeout=0.05, partitions=8))
    it._producer = it._new_producer()
    knows(it._producer.client, brokers)
    try:
        yield it
    finally:
        await it.stop()


async def refusal(it: Gateway, key: str) -> str:
    with pytest.raises(GatewayUnavailable) as refused:
        await it.send([command(key)])
    return str(refused.value)


async def test_of_several_brokers_only_a_partition_that_did_not_accept_a_command_is_silent(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING, "streams.kafka.gateway")

    async def looks() -> int:
        return caplog.text.count("retrying")

    async with disconnected(brokers=2) as it:
        assert "did not accept it in time" in await refusal(it, KEY)
        await eventually(looks, lambda count: count > 1)
        assert "nothing was sent" in await refusal(it, KEY)
        assert "did not accept it in time" in await refusal(it, OTHER_KEY)


async def test_on_one_broker_all_partitions_are_silent_together() -> None:
    async with disconnected(brokers=1) as it:
        assert "did not accept it in time" in await refusal(it, KEY)
        assert "Kafka does not answer: nothing was sent" in await refusal(it, OTHER_KEY)


@pytest.mark.parametrize(("brokers", "limit"), [(1, 5000), (3, 1000)])
async def test_the_brokers_that_were_known_are_asked_for_leaders(
    monkeypatch: pytest.MonkeyPatch, brokers: int, limit: int
) -> None:
    asked: list[tuple[Any, int]] = []

    class Client(AIOKafkaClient):  # type: ignore[misc]
        async def bootstrap(self) -> None:
            asked.append((sorted(self.hosts), self._request_timeout_ms))
            await super().bootstrap()

    monkeypatch.setattr(lookout, "AIOKafkaClient", Client)
    async with disconnected(brokers) as it:
        it._settings = Settings(kafka="localhost:2", command_timeout=0.05)
        await refusal(it, KEY)
        await eventually(lambda: asyncio.sleep(0, asked), bool)
    hosts, found = asked[0]
    assert {(host, port) for host, port, _ in hosts} == {("localhost", 2), ("127.0.0.1", 1)}
    assert found == limit


async def test_leaders_are_looked_for_while_a_command_waits_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway, "LATE_SECONDS", 0.01)
    looks: list[None] = []

    class Client(AIOKafkaClient):  # type: ignore[misc]
        async def bootstrap(self) -> None:
            looks.append(None)
            await super().bootstrap()

    monkeypatch.setattr(lookout, "AIOKafkaClient", Client)
    async with disconnected(brokers=2) as it:
        it.patience = 600
        waiting = asyncio.create_task(it.send([command(KEY)]))
        await eventually(lambda: asyncio.sleep(0, looks), bool)
        assert not waiting.done()
        waiting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await waiting
        await eventually(lambda: asyncio.sleep(0, it._looking), lambda looking: looking is None)


async def test_a_broker_that_did_not_answer_is_asked_last(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    class Client(AIOKafkaClient):  # type: ignore[misc]
        async def bootstrap(self) -> None:
            knows(self, 3)

        async def send(self, node: int, *_: Any, **__: Any) -> MetadataResponse_v1:
            asked.append(node)
            if node == 1:
                raise RequestTimedOutError
            return MetadataResponse_v1([(each, "127.0.0.1", 1, None) for each in range(3)], 0, [])

    monkeypatch.setattr(lookout, "AIOKafkaClient", Client)
    async with lookout.Lookout(Settings(kafka=NOWHERE), {"order-commands"}, (), 1000) as it:
        while 1 not in asked:
            await it.look()
        for _ in range(50):
            await it.look()
    assert asked.count(1) == 1


async def test_a_broker_that_refuses_the_login_is_asked_last(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    class Client(AIOKafkaClient):  # type: ignore[misc]
        async def bootstrap(self) -> None:
            knows(self, 3)

        async def send(self, node: int, *_: Any, **__: Any) -> MetadataResponse_v1:
            asked.append(node)
            known = [] if node == 1 else [(each, "127.0.0.1", 1, None) for each in range(3)]
            return MetadataResponse_v1(known, 0, [])

    monkeypatch.setattr(lookout, "AIOKafkaClient", Client)
    async with lookout.Lookout(Settings(kafka=NOWHERE), {"order-commands"}, (), 1000) as it:
        while 1 not in asked:
            assert (await it.look()).brokers
        for _ in range(50):
            assert (await it.look()).brokers
    assert asked.count(1) == 1


async def test_a_producer_that_does_not_start_in_time_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway, "START_SECONDS", 0.05)
    async with disconnected(brokers=1) as it:
        spent = it._producer
        assert spent is not None
        monkeypatch.setattr(type(spent), "start", lambda _: asyncio.sleep(3600))
        renewing = asyncio.create_task(it._renew(spent, refused=False))
        await asyncio.wait({renewing}, timeout=30)
        assert renewing.done()
        assert isinstance(renewing.exception(), TimeoutError)
        assert (it._producer, it._renewing.locked()) == (spent, False)


async def test_kafka_is_reached_after_an_unexpected_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway, "RETRY_SECONDS", 0.0)
    it, attempts = Gateway(Settings(kafka=NOWHERE)), list[None]()
    reached = it._new_producer()

    async def started() -> Any:
        attempts.append(None)
        if len(attempts) == 1:
            raise LookupError("unexpected")
        return reached

    monkeypatch.setattr(it, "_started", started)
    await it.start()
    await eventually(lambda: asyncio.sleep(0, it._producer), lambda producer: producer is reached)
    await it.stop()


async def test_leaders_are_looked_for_again_after_an_unexpected_error(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[None] = []

    class Broken(AIOKafkaClient):  # type: ignore[misc]
        async def bootstrap(self) -> None:
            looks.append(None)
            raise RuntimeError("unexpected")

    monkeypatch.setattr(lookout, "AIOKafkaClient", Broken)
    async with disconnected(brokers=1) as it:
        await refusal(it, KEY)
        await eventually(lambda: asyncio.sleep(0, it._looking), lambda looking: looking is None)
        await refusal(it, KEY)
        await eventually(lambda: asyncio.sleep(0, len(looks)), lambda count: count == 2)


async def test_a_partition_that_failed_is_not_accepted_with_the_producer_it_failed_with(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another call has replaced the producer that failed first, and the partition failed with the new one, too."""
    async with disconnected(brokers=2) as it:
        first, second = it._producer, it._new_producer()
        assert first is not None
        monkeypatch.setattr(type(first), "start", lambda _: asyncio.sleep(0))  # there is no Kafka to connect to
        it._silent = {("order-commands", 0): first, ("order-commands", 1): second}
        await first.stop()
        it._producer = second
        await it._accept(it._silent.keys() & {("order-commands", 0)})
        assert (it._producer, list(it._silent)) == (second, [("order-commands", 1)])
        await it._accept(set(it._silent))
        assert it._producer is not second
        assert it._silent == {}


async def test_stopping_leaves_no_task() -> None:
    before = asyncio.all_tasks()
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)  # it accepts connections and says nothing
    host, port = server.sockets[0].getsockname()
    it = Gateway(Settings(kafka=f"{host}:{port}"))
    await it.start()
    await asyncio.sleep(0)
    await it.stop()
    assert {each for each in asyncio.all_tasks() - before if "Gateway" in str(each)} == set()
    server.close()


# --- a client that cannot be made


@pytest.fixture
def unusable(tmp_path: Path) -> Settings:
    """Settings with which librdkafka's clients cannot be made."""
    (tmp_path / "ca.pem").write_text("not a certificate")
    return Settings(kafka=NOWHERE, kafka_security_protocol="SSL", kafka_ca=tmp_path / "ca.pem")


async def test_settings_of_the_cluster_that_cannot_be_asked_for_have_defaults(unusable: Settings) -> None:
    assert largest_batches(unusable, ["order-commands"]) == {}
    found = await failover.failover_seconds(unusable, knows(AIOKafkaClient(), 2))
    assert found == failover.DEFAULT_SESSION_SECONDS + failover.NOTICED_SECONDS


async def test_a_worker_waits_until_a_client_can_be_made(unusable: Settings) -> None:
    reasons: asyncio.Queue[str | None] = asyncio.Queue()
    asking = asyncio.create_task(committed_offsets(unusable, "orders", [TP("order-commands", 0)], reasons.put_nowait))
    async with asyncio.timeout(60):
        assert await reasons.get()
        assert await reasons.get(), "it tries again"
    assert not asking.done()
    asking.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asking


async def test_the_loop_does_not_wait_for_a_client_that_waits_for_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[bool] = []

    def admin(_: Settings) -> Any:
        with contextlib.suppress(RuntimeError):
            asyncio.get_running_loop()
            threads.append(True)
        raise LookupError

    monkeypatch.setattr("streams.topics.admin", admin)
    with pytest.raises(LookupError):
        await find_topics(Settings(), [])
    assert threads == []


# --- imports

BROKER = [(0, "127.0.0.1", 1, None)]


@pytest.mark.parametrize(
    ("brokers", "code", "unfinished"),
    [(BROKER, 0, True), (BROKER, 3, False), (BROKER, 29, False), (BROKER, 5, None), ([], 0, None), ([], 3, None)],
)
def test_only_an_answer_that_is_clear_says_whether_an_import_is_unfinished(
    brokers: list[Any], code: int, unfinished: bool | None
) -> None:
    answer = MetadataResponse_v1(brokers, 0, [(code, UNFINISHED_IMPORT, False, [])])
    if unfinished is None:
        with pytest.raises(library_patches.KafkaError):
            import_exists(answer)
    else:
        assert import_exists(answer) is unfinished


# --- readiness


async def test_a_check_uses_a_connection_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    client, groups = knows(AIOKafkaClient(), 1), []

    async def ready(_: Any, *, group: Any) -> bool:
        groups.append(group)
        return False

    monkeypatch.setattr(client, "ready", ready)
    with pytest.raises(library_patches.KafkaError):
        await check_topics(client, ["order-commands"])
    assert groups == [PROBES]


async def test_a_request_without_an_answer_is_silence_and_no_refusal() -> None:
    async def ask() -> None:
        raise RequestTimedOutError

    assert await Pulse(Settings(kafka=NOWHERE), ask).beats()
