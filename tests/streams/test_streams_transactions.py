"""One fenced transaction per fetch: whole or not at all, and only by the owner of the partitions."""

import asyncio
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.api import RequestStruct, Response
from aiokafka.protocol.types import Boolean, CompactArray, CompactString, Int8, Int16, Int32, Schema, TaggedFields
from faust.types import TP
from kafka import records
from real_kafka import Broker, create, environment, running_broker, transactional
from system import eventually

from streams.kafka.brokers import Refused, TooOld
from streams.kafka.library_patches import membership_of
from streams.kafka.producer import TransactionalProducer
from streams.kafka.transactions import (
    ANY_PARTITION,
    MARGIN_SECONDS,
    Aborted,
    RefusedByKafka,
    Transactions,
    Unclear,
    Write,
    committed_offsets,
)
from streams.kafka.transport import Member
from streams.kafka.wire import Code
from streams.runtime.settings import Settings

GROUP = "readers"
NOBODY = Member(-1, "")


@asynccontextmanager
async def member(settings: Settings, topic: str, instance: str | None) -> AsyncIterator[AIOKafkaConsumer]:
    """Join the group as Faust's consumer does."""
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=settings.kafka,
        group_id=settings.named(GROUP),
        group_instance_id=instance,
        enable_auto_commit=False,
        session_timeout_ms=60_000,
        heartbeat_interval_ms=300,
    )
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()


def member_of(consumer: AIOKafkaConsumer) -> Member:
    return Member(*membership_of(consumer))


@asynccontextmanager
async def transactions(settings: Settings, instance: str | None = "me") -> AsyncIterator[Transactions]:
    mine = Transactions(settings, settings.named(GROUP), instance)  # type: ignore[arg-type]
    await asyncio.wait_for(mine.start(), 120)
    try:
        yield mine
    finally:
        await mine.stop()


async def claimed(settings: Settings, name: str) -> TransactionalProducer:
    """Return a foreign producer, ready to begin."""
    producer = TransactionalProducer(settings, settings.named(name), 60)
    await asyncio.wait_for(producer.claim(), 120)
    return producer


async def visible(settings: Settings, topic: str) -> list[bytes]:
    return [record.value() for record in await asyncio.to_thread(records, settings, topic)]


async def committed(settings: Settings, tp: TP) -> int:
    return (await asyncio.wait_for(committed_offsets(settings, settings.named(GROUP), [tp]), 120))[tp]


# --- fencing


@pytest.mark.parametrize("instance", [None, "me"])
async def test_the_owner_commits_writes_and_offsets_as_one(settings: Settings, instance: str | None) -> None:
    topic, tp = create(settings, "in", 2), TP(settings.named("in"), 0)
    writes = [Write(topic, 1, b"k", b"v", [("h", b"x")]), Write(topic, ANY_PARTITION, b"boots", None)]
    async with member(settings, topic, instance) as owner, transactions(settings, instance) as mine:
        assert await committed(settings, tp) == 0
        await mine.commit(writes, {tp: 7}, member_of(owner))
        assert await committed(settings, tp) == 7
        await mine.commit([], {tp: 9}, member_of(owner))
        assert await committed(settings, tp) == 9
    found = await asyncio.to_thread(records, settings, topic)
    assert {(record.key(), record.value()) for record in found} == {(b"k", b"v"), (b"boots", None)}
    assert next(record.headers() for record in found if record.key() == b"k") == [("h", b"x")]


async def test_an_older_generation_writes_nothing_and_the_next_commit_works(settings: Settings) -> None:
    topic, tp = create(settings, "in", 2), TP(settings.named("in"), 0)
    async with member(settings, topic, "me") as owner, transactions(settings) as mine:
        old = member_of(owner)
        async with member(settings, topic, "other"):
            await eventually(lambda: asyncio.sleep(0, member_of(owner)), lambda now: now.generation > old.generation)
            with pytest.raises(Aborted):
                await mine.commit([Write(topic, 0, b"k", b"of the old")], {tp: 5}, old)
            assert await visible(settings, topic) == []
            assert await committed(settings, tp) == 0
            await mine.commit([Write(topic, 0, b"k", b"of the new")], {tp: 6}, member_of(owner))
    assert await visible(settings, topic) == [b"of the new"]
    assert await committed(settings, tp) == 6


@pytest.mark.parametrize("instance", [None, "me"])
@pytest.mark.parametrize(("later", "name"), [(0, "nobody"), (1, None), (-1, None), (0, "")])
async def test_a_foreign_producer_writes_nothing(
    settings: Settings, instance: str | None, later: int, name: str | None
) -> None:
    topic, tp = create(settings, "in"), TP(settings.named("in"), 0)
    async with member(settings, topic, instance) as owner, transactions(settings, instance) as mine:
        real = member_of(owner)
        stranger = Member(real.generation + later, real.member_id if name is None else name)
        with pytest.raises(Aborted):
            await mine.commit([Write(topic, 0, b"k", b"v")], {tp: 5}, stranger)
        assert await visible(settings, topic) == []
        await mine.commit([Write(topic, 0, b"k", b"w")], {tp: 6}, real)
    assert await visible(settings, topic) == [b"w"]
    assert await committed(settings, tp) == 6


async def test_a_restarted_instance_fences_its_predecessor(settings: Settings) -> None:
    """A paused worker whose replacement has the same static id: the broker knows the member by its new name only."""
    topic, tp = create(settings, "in"), TP(settings.named("in"), 0)
    async with member(settings, topic, "me") as owner, transactions(settings) as mine:
        old = member_of(owner)
        async with member(settings, topic, "me") as replacement:
            assert member_of(replacement).member_id != old.member_id
            with pytest.raises((Aborted, Unclear)):
                await mine.commit([Write(topic, 0, b"k", b"old")], {tp: 5}, old)
            assert await visible(settings, topic) == []
            assert await committed(settings, tp) == 0


async def test_a_process_that_lost_its_transactional_id_must_exit(settings: Settings) -> None:
    topic, tp = create(settings, "in"), TP(settings.named("in"), 0)
    async with (
        member(settings, topic, "me") as owner,
        transactions(settings) as zombie,
        transactions(settings) as replacement,
    ):
        with pytest.raises(Unclear):
            await zombie.commit([Write(topic, 0, b"k", b"zombie")], {tp: 5}, member_of(owner))
        await replacement.commit([Write(topic, 0, b"k", b"v")], {tp: 6}, member_of(owner))
    assert await visible(settings, topic) == [b"v"]


async def test_a_lost_answer_is_requested_again(settings: Settings) -> None:
    topic = create(settings, "in")
    mine = await claimed(settings, "asking")
    await mine.produce([Write(topic, 0, b"k", b"once")])
    before = mine._me
    await mine.end(commit=True)
    after, mine._me = mine._me, before
    await mine.end(commit=True)
    assert mine._me == after != before
    await mine.produce([Write(topic, 0, b"k", b"next")])
    await mine.end(commit=True)
    await mine.close()
    assert await visible(settings, topic) == [b"once", b"next"]


@pytest.mark.parametrize("commit", [True, False])
async def test_a_late_write_does_not_join_a_later_transaction(settings: Settings, commit: bool) -> None:
    topic = create(settings, "in")
    mine = await claimed(settings, "late")
    await mine.produce([Write(topic, 0, b"k", b"in time")])
    before = mine._me
    await mine.end(commit=commit)
    await mine.produce([Write(topic, 0, b"k", b"next")])  # waits until the last one is marked
    after, mine._me = mine._me, before
    with pytest.raises(Refused, match="INVALID_PRODUCER_EPOCH"):
        await mine.produce([Write(topic, 0, b"k", b"late")])
    mine._me = after
    await mine.end(commit=True)
    await mine.close()
    assert await visible(settings, topic) == ([b"in time"] if commit else []) + [b"next"]


async def test_a_cancelled_commit_leaves_nothing_half_done(settings: Settings) -> None:
    topic, tp = create(settings, "in", 2), TP(settings.named("in"), 0)
    async with member(settings, topic, "me") as owner, transactions(settings) as mine:
        for number in range(1, 6):
            cancelled = asyncio.create_task(
                mine.commit([Write(topic, 1, b"k", b"%d" % number)], {tp: number}, member_of(owner))
            )
            await asyncio.sleep(number / 1000)
            cancelled.cancel()
            with suppress(asyncio.CancelledError):
                await cancelled
        await mine.commit([Write(topic, 1, b"k", b"last")], {tp: 9}, member_of(owner))
    assert await visible(settings, topic) == [b"1", b"2", b"3", b"4", b"5", b"last"]
    assert await committed(settings, tp) == 9


async def test_writes_larger_than_a_batch_are_still_one_transaction(settings: Settings) -> None:
    topic = create(settings, "in", 2)
    values = [bytes([number]) * 300_000 for number in range(8)]
    async with transactions(settings) as mine:
        await mine.commit([Write(topic, number % 2, b"k", v) for number, v in enumerate(values)], {}, NOBODY)
    assert set(await visible(settings, topic)) == set(values)


# --- refused by the broker


@pytest.mark.parametrize("innocent", [True, False])
async def test_a_refused_transaction_is_aborted_and_the_next_one_works(settings: Settings, innocent: bool) -> None:
    """This includes the very first write, when no partition is part of the transaction yet."""
    topic = create(settings, "in", 2, {"max.message.bytes": "1000"})
    first = [Write(topic, 1, b"k", b"v")] if innocent else []
    async with transactions(settings) as mine:
        for _ in range(3):
            with pytest.raises(RefusedByKafka, match=r"MESSAGE_TOO_LARGE.*in/0.*raise the topic's max") as refused:
                await mine.commit([*first, Write(topic, 0, b"k", b"v" * 5_000)], {}, NOBODY)
            assert (refused.value.code, refused.value.topic) == (Code.MESSAGE_TOO_LARGE, topic)
            await mine.commit([Write(topic, number, b"k", b"next") for number in (0, 1)], {}, NOBODY)
    assert await visible(settings, topic) == [b"next"] * 6


async def test_messages_too_large_together_are_taken_singly(settings: Settings) -> None:
    topic = create(settings, "in", 1, {"max.message.bytes": "1000"})
    writes = [Write(topic, 0, b"k", b"%d" % number * 600) for number in range(5)]
    async with transactions(settings) as mine:
        with pytest.raises(RefusedByKafka):
            await mine.commit(writes, {}, NOBODY)
        await mine.commit(writes, {}, NOBODY, singly=True)
    assert await visible(settings, topic) == [write.value for write in writes]


async def test_a_record_without_a_key_in_a_compacted_topic_is_refused_for_good(settings: Settings) -> None:
    topic = create(settings, "in", 1, {"cleanup.policy": "compact"})
    async with transactions(settings) as mine:
        with pytest.raises(RefusedByKafka, match="INVALID_RECORD"):
            await mine.commit([Write(topic, 0, None, b"v")], {}, NOBODY)
        await mine.commit([Write(topic, 0, b"k", b"v")], {}, NOBODY)
    assert await visible(settings, topic) == [b"v"]


# --- transactions left open


@pytest.mark.parametrize("commit", [True, False])
async def test_committed_offsets_wait_for_pending_transactions(settings: Settings, commit: bool) -> None:
    topic, tp = create(settings, "in"), TP(settings.named("in"), 0)
    async with member(settings, topic, "me") as owner:
        async with transactions(settings) as mine:
            await mine.commit([], {tp: 3}, member_of(owner))
        earlier = await claimed(settings, "earlier")
        await earlier.send_offsets(settings.named(GROUP), member_of(owner), "me", {tp: 8})
        waiting = asyncio.create_task(committed(settings, tp))
        await asyncio.sleep(1.5)
        assert not waiting.done()
        await earlier.end(commit=commit)
        assert await waiting == (8 if commit else 3)
        await earlier.close()


async def test_no_partitions_have_no_committed_offsets(settings: Settings) -> None:
    assert await committed_offsets(settings, settings.named(GROUP), []) == {}


HALF_DONE = """
import asyncio, sys
from streams.runtime.settings import Settings
from streams.kafka.transactions import Transactions, Write

async def main():
    settings = Settings()
    mine = Transactions(settings, settings.named("readers"), "me")
    await mine.start()
    await mine.producer.produce([Write(sys.argv[1], 0, b"k", b"half done")])
    print("open", flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


async def test_a_restart_aborts_a_transaction_left_open(settings: Settings) -> None:
    topic, tp = create(settings, "in"), TP(settings.named("in"), 0)
    killed = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HALF_DONE, topic, stdout=subprocess.PIPE,
        env=environment(settings, FULFILLMENT_TRANSACTION_TIMEOUT="600"),
    )  # fmt: skip
    assert killed.stdout is not None
    assert await asyncio.wait_for(killed.stdout.readline(), 120) == b"open\n"
    killed.send_signal(signal.SIGKILL)
    await killed.wait()
    started = time.monotonic()
    async with member(settings, topic, "me") as owner, transactions(settings) as mine:
        await mine.commit([Write(topic, 0, b"k", b"again")], {tp: 1}, member_of(owner))
        assert await visible(settings, topic) == [b"again"]
    assert time.monotonic() - started < 300  # long before the time-out of what was left


async def test_an_abandoned_transaction_is_aborted_by_its_time_out(settings: Settings) -> None:
    topic = create(settings, "in")
    abandoned = transactional(settings, "abandoned", seconds=1)
    abandoned.begin_transaction()
    abandoned.produce(topic, value=b"abandoned", partition=0)
    abandoned.flush(120)
    assert await visible(settings, topic) == []
    async with member(settings, topic, "me") as owner, transactions(settings) as mine:
        await mine.commit([Write(topic, 0, b"k", b"behind it")], {}, member_of(owner))
    await eventually(lambda: visible(settings, topic), lambda found: found == [b"behind it"])


# --- an unreachable broker


async def test_a_broker_that_pauses_is_waited_for(broker: Broker, settings: Settings) -> None:
    topic, tp = create(settings, "in"), TP(settings.named("in"), 0)
    async with member(settings, topic, "me") as owner, transactions(settings) as mine:
        await mine.commit([], {tp: 1}, member_of(owner))
        with broker.stopped():
            waiting = asyncio.create_task(mine.commit([Write(topic, 0, b"k", b"v")], {tp: 2}, member_of(owner)))
            await asyncio.sleep(1.5)
            assert not waiting.done()
        with suppress(Aborted):  # the pause may have cost the member its place
            await waiting
            assert await visible(settings, topic) == [b"v"]
            assert await committed(settings, tp) == 2


GIVING_UP = """
import asyncio, os, sys, time
from faust.types import TP
from streams.runtime.settings import Settings
from streams.kafka.transactions import Aborted, Transactions, Unclear, Write
from streams.kafka.transport import Member
from streams.kafka.wire import Code

async def main():
    settings = Settings()
    mine = Transactions(settings, settings.named("readers"), "me")
    await mine.start()
    print("started", flush=True)
    sys.stdin.readline()
    started = time.monotonic()
    try:
        await mine.commit([Write(sys.argv[1], 0, b"k", b"v")], {TP(sys.argv[1], 0): 2}, Member(1, "m"))
    except (Aborted, Unclear) as given_up:
        print(time.monotonic() - started, given_up, sep=chr(10), flush=True)
    os._exit(0)  # as a worker ends: the client's thread may hang for ever

asyncio.run(main())
"""


@pytest.mark.usefixtures("processes")
@pytest.mark.long
def test_a_dead_broker_is_given_up_within_the_given_time(tmp_path: Path) -> None:
    with running_broker(tmp_path) as own_broker:
        settings = Settings(kafka=own_broker.address, partitions=1)
        patience = settings.transaction_timeout + MARGIN_SECONDS
        start = [sys.executable, "-c", GIVING_UP, create(settings, "in")]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with subprocess.Popen(start, env=environment(settings), text=True, **pipes) as worker:  # type: ignore[call-overload]
            assert worker.stdout.readline() == "started\n"
            with own_broker.stopped():
                took, said, *_ = worker.communicate("continue\n", timeout=patience + 120)[0].splitlines()
                assert said.startswith(f"no answer from Kafka within {patience:.0f} s")
                assert float(took) > patience - 1, "it waited for all of that time"


class UpdateFeaturesResponse(Response):
    API_KEY, API_VERSION = 57, 1
    RESULTS = CompactArray(
        ("feature", CompactString()), ("code", Int16), ("message", CompactString()), ("tags", TaggedFields)
    )
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        ("message", CompactString()),
        ("results", RESULTS),
        ("tags", TaggedFields),
    )


class UpdateFeatures(RequestStruct):
    API_KEY, API_VERSION, RESPONSE_TYPE, FLEXIBLE_VERSION = 57, 1, UpdateFeaturesResponse, True
    UPDATES = CompactArray(("feature", CompactString()), ("level", Int16), ("kind", Int8), ("tags", TaggedFields))
    SCHEMA = Schema(("timeout_ms", Int32), ("updates", UPDATES), ("validate_only", Boolean), ("tags", TaggedFields))

    def prepare(self, versions: object) -> "UpdateFeatures":
        return self


@pytest.mark.usefixtures("processes")
async def test_a_cluster_without_the_needed_features_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with running_broker(tmp_path) as own_broker:
        settings = Settings(kafka=own_broker.address, partitions=1)
        client = AIOKafkaClient(bootstrap_servers=settings.kafka)
        await client.bootstrap()
        answer = await client.send(
            client.get_random_node(), UpdateFeatures(5000, [("transaction.version", 1, 3, {})], False, {})
        )
        assert answer.error_code == 0
        await client.close()

        async def refusal() -> str:
            try:
                async with transactions(settings):
                    return ""  # the broker has confirmed the older version, and does not apply it yet
            except TooOld as refused:
                return str(refused)

        said = await eventually(refusal, bool)
        assert re.search(r"transaction\.version 1, this needs 2: .*kafka-features\.sh", said)
