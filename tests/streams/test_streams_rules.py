"""How a worker handles a fetch when group, broker or database have changed meanwhile."""

import asyncio
import os
import signal
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from faust.types import TP
from kafka import records
from real_kafka import create, environment, transactional
from system import eventually, wait_until
from test_streams_transport import produce, worker

from agents.deciding import Decided
from agents.orders import ORDER
from agents.projector import Projecting
from agents.worker import TransactionalWorker
from domain.orders.commands import Hold
from streams.kafka.library_patches import membership_of
from streams.kafka.taking import Taken
from streams.kafka.transactions import Transactions, Write, committed_offsets
from streams.kafka.transport import Fetch, Member, Part, Progress, handle_fetches
from streams.messages.envelope import CommandMessage, Outcome
from streams.runtime.app import create_app
from streams.runtime.process import EX_SOFTWARE
from streams.runtime.settings import Settings
from tables.entries import Position
from tables.store import Entries
from web.commands.outcome_reader import OutcomeReader, Waiting

KEY = b"/in"


async def joined(settings: Settings, topic: str, instance: str, stack: AsyncExitStack) -> AIOKafkaConsumer:
    """Join the group of the orders role as a worker's consumer does."""
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=settings.kafka,
        group_id=settings.named("orders"),
        group_instance_id=f"{settings.named('orders')}-{instance}",
        enable_auto_commit=False,
        heartbeat_interval_ms=300,
    )
    await stack.enter_async_context(consumer)
    return consumer


def member_of(consumer: AIOKafkaConsumer) -> Member:
    return Member(*membership_of(consumer))


def decided(settings: Settings, table: Any, offset: int) -> tuple[Decided, Entries[Any]]:
    """Return the result of a fetch that moves the position to `offset` and writes one message."""
    entries: Entries[Any] = Entries(table.codec)
    table.data.replace({0: entries})
    changes = table.data.changes(0)
    changes.put(KEY, Position(offset, "topic"))
    changes.encode()
    writes = [Write(settings.named("in"), 1, b"k", b"up to %d" % offset)]
    handled = {TP(settings.named("in"), 0): Part(offset, [])}
    place = TP(settings.named("orders-states-changelog"), 0)
    return Decided(handled, writes=writes, changes={place: changes}), entries


async def test_records_fetched_before_a_rejoin_are_not_committed_after_it(settings: Settings) -> None:
    """The generation belongs to the records, not to the time of the commit; a refused commit leaves no trace in the
    table."""
    topic, tp = create(settings, "in", 2), TP(settings.named("in"), 0)
    processing = TransactionalWorker(create_app("orders", settings), settings, ORDER)
    table = processing.preparing.table
    await asyncio.wait_for(processing.transactions.start(), 120)
    async with AsyncExitStack() as stack:
        owner = await joined(settings, topic, "0", stack)
        old = member_of(owner)
        await joined(settings, topic, "1", stack)
        await eventually(lambda: asyncio.sleep(0, member_of(owner)), lambda now: now.generation > old.generation)
        for member, done in ((old, False), (member_of(owner), True)):
            fetch = Fetch(1, member, {tp: Part(0, [])})
            leads_to, entries = decided(settings, table, 5)
            handled = await asyncio.wait_for(processing.commit(fetch, leads_to), 120)
            assert handled == ({tp: 5} if done else None)
            assert (KEY in entries) is done
            assert len(await asyncio.to_thread(records, settings, topic)) == int(done)
            assert await committed_offsets(settings, settings.named("orders"), [tp]) == {tp: 5 * done}
    await processing.transactions.stop()


class Rejoining:
    """Faust's consumer thread, whose member rejoins the group while a fetch is under way."""

    def __init__(self, tp: TP, rejoins: bool) -> None:
        self.group = SimpleNamespace(generation=1, member_id="m")
        self.kafka, self.rejoins = SimpleNamespace(_coordinator=self.group), rejoins
        record = ConsumerRecord(tp.topic, tp.partition, 0, 0, 0, None, b"v", None, 0, 1, ())
        self.records = {TopicPartition(*tp): [record]}

    async def take(self, _: Any, seconds: float) -> Taken:
        self.group.generation += self.rejoins
        self.waited = seconds
        return Taken(self.records)

    def handled(self) -> None:
        """Do nothing: fetches do not take turns."""


def a_consumer(rejoins: bool, due: dict[int, float], partitions: int = 1) -> Any:
    """Return a consumer of partitions that are prepared; `due`: seconds until the next timer of some."""
    tps = [TP("in", number) for number in range(partitions)]
    app = create_app("orders", Settings())
    app.work = SimpleNamespace(due=lambda: due)  # type: ignore[assignment]
    app.consumer._thread = Rejoining(tps[0], rejoins)
    at = dict.fromkeys(tps, 0)
    app.consumer.progress = Progress(1, Member(1, "m"), dict(at), dict(at), dict(at))
    app.consumer._prepared.set()
    return app.consumer


async def next_fetch(consumer: Any, handled: bool = True) -> Fetch | None:
    """Return what the consumer hands out, and handle it."""
    found = [message.value async for _, message in consumer.getmany(0.1)]
    if not found:
        return None
    (fetch,) = found
    if handled:
        consumer.finish(fetch, {tp: part.ended for tp, part in fetch.parts.items()})
    return cast(Fetch, fetch)


@pytest.mark.parametrize("rejoins", [True, False])
async def test_a_fetch_across_a_rejoin_is_discarded(rejoins: bool) -> None:
    fetch = await next_fetch(a_consumer(rejoins, {}))
    assert (None if fetch is None else fetch.member) == (None if rejoins else Member(1, "m"))


async def test_due_timers_and_commands_take_turns() -> None:
    """However many there are of either."""
    consumer = a_consumer(False, {0: -1.0})
    fetches = []
    for offset in range(6):
        if (fetch := await next_fetch(consumer)) is not None:
            assert consumer.take(
                Fetch(1, Member(1, "m"), {tp: Part(part.ended, ()) for tp, part in fetch.parts.items()})
            )
            fetches.append((fetch.timers, len(fetch)))
        record = ConsumerRecord("in", 0, 1 + offset, 0, 0, None, b"v", None, 0, 1, ())
        consumer._thread.records = {TopicPartition("in", 0): [record]}
    assert fetches == [(True, 0), (False, 1)] * 3


async def test_due_timers_do_not_wait_for_commands() -> None:
    consumer = a_consumer(False, {0: -1.0})
    consumer._thread.records = {}
    fetches = [await next_fetch(consumer) for _ in range(4)]
    assert [None if fetch is None else fetch.timers for fetch in fetches] == [True, None, True, None]
    assert consumer._thread.waited == 0


@pytest.mark.parametrize(
    ("due", "wait"), [({}, 0.5), ({0: 3.0}, 0.5), ({0: 0.25}, 0.25), ({0: 9.0, 1: 0.125}, 0.125), ({7: -1.0}, 0.5)]
)
async def test_a_fetch_waits_for_commands_until_a_timer_is_due(due: dict[int, float], wait: float) -> None:
    consumer = a_consumer(False, due, partitions=2)
    fetch = await next_fetch(consumer)
    assert fetch is not None
    assert not fetch.timers
    assert consumer._thread.waited == wait


async def test_timers_of_a_blocked_partition_wait() -> None:
    """A later command may have ended what they are about, and is not known yet."""
    consumer = a_consumer(False, {0: -2.0, 1: -1.0}, partitions=2)
    consumer.progress.stopped[TP("in", 0)] = "why"
    fetch = await next_fetch(consumer)
    assert fetch is not None
    assert (fetch.timers, fetch.parts) == (True, {TP("in", 1): Part(0, ())})


async def test_no_timers_are_handed_out_before_a_fetch_is_handled() -> None:
    consumer = a_consumer(False, {0: -1.0})
    assert await next_fetch(consumer, handled=False) is not None
    consumer.progress.taken = True
    assert await next_fetch(consumer) is None


class OneFetch:
    """Faust's stream, with one fetch in it."""

    def __init__(self, consumer: Any, fetch: Fetch) -> None:
        self.app, self.event = SimpleNamespace(consumer=consumer), SimpleNamespace(value=fetch)
        self.acknowledged = 0

    def noack(self) -> Any:
        return self

    async def events(self) -> Any:
        yield self.event

    async def ack(self, _: Any) -> None:
        self.acknowledged += 1


@pytest.mark.parametrize(("began", "continues"), [(3, True), (5, False), (2, False)])
async def test_a_fetch_that_does_not_continue_the_last_one_is_dropped_and_read_again(
    began: int, continues: bool
) -> None:
    tp = TP("in", 0)
    consumer = create_app("orders", Settings()).consumer
    consumer._thread, consumer.flow_active = Rejoining(tp, False), False
    consumer.progress = Progress(1, Member(1, "m"), {tp: 9}, {tp: 3})
    consumer._prepared.set()
    stream = OneFetch(consumer, Fetch(1, Member(1, "m"), {tp: Part(began, [])}))
    handed = 0

    async def handle(fetch: Fetch) -> dict[TP, int]:
        nonlocal handed
        handed += 1
        return {tp: began}

    await handle_fetches(stream, handle)
    assert (handed, stream.acknowledged) == (int(continues), 1)
    assert consumer.prepared is continues, "dropped records are prepared again"


UNCLEAR = """
import asyncio, sys
from faust.types import TP
from agents.deciding import Decided
from agents.orders import ORDER
from agents.worker import TransactionalWorker
from streams.runtime.app import create_app
from streams.runtime.settings import Settings
from streams.kafka.transactions import Write
from streams.kafka.transport import Fetch, Member

async def main():
    settings = Settings()
    processing = TransactionalWorker(create_app("orders", settings), settings, ORDER)
    await processing.transactions.start()
    print("claimed", flush=True)
    sys.stdin.readline()
    await processing.commit(Fetch(1, Member(1, "m"), {}), Decided(writes=[Write(sys.argv[1], 0, b"k", b"v")]))
    print("continued", flush=True)

asyncio.run(main())
"""


async def test_a_worker_that_cannot_know_whether_it_committed_exits(settings: Settings) -> None:
    topic = create(settings, "in")
    pipes = {"stdin": asyncio.subprocess.PIPE, "stdout": asyncio.subprocess.PIPE}
    start = [sys.executable, "-c", UNCLEAR, topic]
    process = await asyncio.create_subprocess_exec(*start, env=environment(settings), **pipes)  # type: ignore[arg-type]
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.readline(), 150) == b"claimed\n"
    replacement = Transactions(settings, settings.named("orders"), f"{settings.named('orders')}-0")
    await asyncio.wait_for(replacement.start(), 120)
    said, _ = await asyncio.wait_for(process.communicate(b"\n"), 150)
    assert (process.returncode, said) == (EX_SOFTWARE, b"")
    assert await asyncio.to_thread(records, settings, topic) == []
    await replacement.stop()


def test_a_restore_that_outlasts_the_session_does_not_cost_the_place_in_the_group(
    settings: Settings, tmp_path: Path
) -> None:
    create(settings, "in", 4)
    with worker(settings, tmp_path, "0", "restoring", SESSION_TIMEOUT="8", HEARTBEAT_INTERVAL="0.5") as first:
        wait_until(lambda: first.partitions() == 4, "the worker")
        sent = produce(settings, 0, 40)
        wait_until(lambda: set(first.values()) >= set(sent), "everything to be handled")
        prepared = [line["generation"] for line in first.lines() if "generation" in line]
        assert prepared == [1], "it was expelled while it restored"


def test_a_restart_after_a_kill_has_its_partitions_back_long_before_its_session_ends(
    settings: Settings, tmp_path: Path
) -> None:
    create(settings, "in", 4)
    patient = {"SESSION_TIMEOUT": "400", "HEARTBEAT_INTERVAL": "1"}
    with worker(settings, tmp_path, "0", **patient) as first:
        wait_until(lambda: first.partitions() == 4, "the worker")
        first.process.send_signal(signal.SIGKILL)
        first.process.wait(120)
    with worker(settings, tmp_path, "0", **patient) as again:
        wait_until(lambda: again.partitions() == 4, "its partitions")


async def test_offsets_that_we_did_not_commit_are_not_committed_by_faust(settings: Settings, tmp_path: Path) -> None:
    """Faust commits acknowledged offsets when it stops; here only transactions commit."""
    topic = create(settings, "in", 4)
    produce(settings, 0, 40)
    with worker(settings, tmp_path, "0", "undone") as reading:
        await asyncio.to_thread(wait_until, lambda: len(set(reading.values())) >= 10, "some to be handed out")
        os.kill(reading.process.pid, signal.SIGTERM)
        await asyncio.to_thread(reading.process.wait, 120)
    inputs = [TP(topic, partition) for partition in range(4)]
    assert set((await committed_offsets(settings, settings.named("orders"), inputs)).values()) == {0}


async def test_no_client_is_told_an_outcome_that_was_aborted(settings: Settings) -> None:
    topic, waiting = create(settings, "command-outcomes", settings.partitions), Waiting()
    reading = OutcomeReader(settings, waiting)
    await reading.start()
    await eventually(lambda: asyncio.sleep(0, reading.ready), bool)
    producer = transactional(settings, "aggregate")

    def tell(version: int, commit: bool) -> None:
        time_of_it = "2026-11-23T10:00:00.000Z"
        outcome = Outcome("c", "Hold", "order", "o", "accepted", time_of_it, "c", version)
        producer.begin_transaction()
        producer.produce(topic, key=b"c", value=outcome.encode())
        producer.flush(120)
        time.sleep(0.5)  # longer than its reader's fetch: it would see it
        producer.commit_transaction(120) if commit else producer.abort_transaction(120)

    command = CommandMessage("c", "o", Hold(reason="?"), "2026-11-23T10:00:00.000Z", "web", "c")
    async with waiting.of(command) as future:
        await asyncio.to_thread(tell, 1, False)
        await asyncio.to_thread(tell, 2, True)
        assert (await asyncio.wait_for(future, 120)).version == 2
    await reading.stop()


async def test_a_projector_that_lost_its_partitions_stops_waiting_for_the_database() -> None:
    settings = Settings(mongo="mongodb://127.0.0.1:9")
    projecting, tp = Projecting(create_app("projector", settings), settings), TP("order-events", 0)
    record = ConsumerRecord(tp.topic, tp.partition, 0, 0, 0, None, b"v", None, 0, 1, ())
    fetch = Fetch(1, Member(1, "m"), {tp: Part(0, [record])})
    assert await asyncio.wait_for(projecting.handle(fetch), 120) is None
