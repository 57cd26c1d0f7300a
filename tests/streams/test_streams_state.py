"""Tables on disk and their changelog: whatever happens to the directory, the table is what the changelog says."""

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from faust.types import TP
from real_kafka import create, environment
from state_owner import STEPS, Owner, Raw
from system import eventually, wait_until

from streams.kafka.producer import TransactionalProducer
from streams.kafka.transactions import Write
from streams.kafka.wire import Code
from streams.runtime.settings import Settings
from tables import databases, restore, standby
from tables.restore import MARKER, OLDEST_SECONDS
from tables.rows import Checkpoint, MemoryRows

COMPACT = {"cleanup.policy": "compact"}
HERE = Path(__file__).parent


@pytest.fixture
def topic(settings: Settings) -> str:
    return create(settings, "states", 1, COMPACT)


@asynccontextmanager
async def owner_of(settings: Settings, topic: str, folder: Path, instance: str = "0") -> AsyncIterator[Owner]:
    owner = await Owner(settings, topic, folder, instance).begin()
    try:
        yield owner
    finally:
        await owner.close()


async def truth(settings: Settings, topic: str) -> dict[bytes, bytes]:
    """Return the table in a changelog."""
    found = await asyncio.wait_for(restore.restore(settings, topic, [0], Raw()), 120)
    return dict(found[0].rows.items())


async def check(owner: Owner) -> dict[bytes, bytes]:
    """Check the table of an owner, and return it."""
    found = dict(owner.rows.items())
    assert found == await truth(owner.settings, owner.topic)
    assert all(owner.entries.get(key) == row for key, row in found.items())
    return found


async def test_only_the_tail_is_restored(settings: Settings, topic: str, tmp_path: Path) -> None:
    async with owner_of(settings, topic, tmp_path) as first:
        await first.commit({b"a": b"1", b"b": b"1"})
        await first.commit({b"a": b"2", b"c": b"1"})
        assert await first.assign() == 0
        assert await check(first) == {b"a": b"2", b"b": b"1", b"c": b"1"}
    async with owner_of(settings, topic, tmp_path) as again:
        assert await again.assign() == 0
        await check(again)
        first_state = again.rows.checkpoint
        assert first_state is not None
        again.entries.detach()  # as if it were killed after the commit
        await again.commit({b"a": b"3", b"b": None})
        assert again.rows.checkpoint == first_state
    async with owner_of(settings, topic, tmp_path) as last:
        assert await check(last) == {b"a": b"3", b"c": b"1"}
        assert last.rows.checkpoint is not None
        assert last.rows.checkpoint.offset == first_state.offset + 2 + MARKER


def run(settings: Settings, topic: str, folder: Path, step: str, count: int) -> int:
    script = [sys.executable, str(HERE / "state_owner.py"), topic, str(folder), step, str(count)]
    return subprocess.run(script, env=environment(settings), timeout=180, check=False).returncode


async def test_killed_at_any_step_it_becomes_what_the_changelog_says(
    settings: Settings, topic: str, tmp_path: Path
) -> None:
    async with owner_of(settings, topic, tmp_path, "other") as other:
        for number in range(40):
            await other.commit({b"%d" % (number % 30): b"%d" % number, b"%d" % (number % 7): None})
    for step in STEPS:
        for count in (1, 4) if step in ("restoring", "committed") else (1,):
            ended = await asyncio.to_thread(run, settings, topic, tmp_path, step, count)
            assert ended == -signal.SIGKILL, (step, count)
    async with owner_of(settings, topic, tmp_path) as owner:
        assert len(await check(owner)) > 25


async def test_a_partition_comes_back_after_others_changed_it(settings: Settings, topic: str, tmp_path: Path) -> None:
    async with (
        owner_of(settings, topic, tmp_path / "one") as mine,
        owner_of(settings, topic, tmp_path / "two") as other,
    ):
        await other.transactions.start()
        await other.commit({b"a": b"1", b"b": b"1"})
        await mine.transactions.start()
        await mine.assign()
        await mine.commit({b"c": b"1", b"b": b"2"})
        await other.transactions.start()
        await other.assign()
        await other.commit({b"a": None, b"b": None, b"d": b"1"})
        assert mine.entries.get(b"a") == b"1"
        assert await mine.assign() == 3
        assert await check(mine) == {b"c": b"1", b"d": b"1"}


async def test_changes_from_before_an_assignment_are_not_merged_after_it(
    settings: Settings, topic: str, tmp_path: Path
) -> None:
    async with owner_of(settings, topic, tmp_path) as owner:
        held = owner.entries
        await owner.commit({b"a": b"1"})
        await owner.assign()
        checkpoint = owner.rows.checkpoint
        held.merge({b"a": b"0", b"b": b"0"}, {b"a": b"0", b"b": b"0"}, Checkpoint(0, 0.0))
        assert (await check(owner), owner.rows.checkpoint) == ({b"a": b"1"}, checkpoint)


async def test_a_standby_copy_follows_the_owner(
    settings: Settings, topic: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standby, "FOLLOW_SECONDS", 0.05)
    async with owner_of(settings, topic, tmp_path, "0") as owner, owner_of(settings, topic, tmp_path, "1") as other:
        copy, following = other.rows, standby.Standby(settings, topic)
        following.follow(lambda: other.databases.rows({0}, copy.topic_id, other.said.append))  # type: ignore[attr-defined]
        for number in range(20):
            await owner.commit({b"%d" % number: b"1", b"%d" % (number - 1): None})
        await eventually(lambda: asyncio.to_thread(lambda: dict(copy.items())), lambda found: found == {b"19": b"1"})
        await owner.commit({b"last": b"1"})
        await following.stop()
        assert await other.assign() <= 3  # the last transaction, and the one before it if it came during a round
        assert await check(other) == {b"19": b"1", b"last": b"1"}


# --- a directory that does not fit its changelog


async def test_a_topic_that_was_created_again_is_restored_from_its_beginning(
    settings: Settings, topic: str, tmp_path: Path
) -> None:
    async with owner_of(settings, topic, tmp_path) as owner:
        await owner.commit({b"a": b"1"})
    client = AdminClient({"bootstrap.servers": settings.kafka})
    client.delete_topics([topic])[topic].result(120)
    wait_until(lambda: topic not in client.list_topics(timeout=60).topics, "the topic to be gone")
    create(settings, "states", 1, COMPACT)
    async with owner_of(settings, topic, tmp_path) as owner:
        assert await check(owner) == {}


@pytest.mark.parametrize(
    ("checkpoint", "said"),
    [
        (lambda end: Checkpoint(end + 1, time.time()), "and the changelog ends at"),
        (lambda end: Checkpoint(end - MARKER - 1, time.time() - OLDEST_SECONDS - 60), "the local copy is 12 hours old"),
        (lambda end: Checkpoint(end - MARKER - 1, time.time() + OLDEST_SECONDS + 60), "the local copy is 12 hours old"),
    ],
)
async def test_rows_that_the_changelog_cannot_complete_are_discarded(
    settings: Settings,
    topic: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    checkpoint: Callable[[int], Checkpoint],
    said: str,
) -> None:
    async with owner_of(settings, topic, tmp_path) as owner:
        await owner.commit({b"a": b"1"})
        await owner.assign()
        assert owner.rows.checkpoint is not None
        owner.rows.write({b"a": b"0", b"undead": b"1"}, checkpoint(owner.rows.checkpoint.offset))
        assert await owner.assign() == 1
        assert await check(owner) == {b"a": b"1"}
    assert said in caplog.text


async def test_an_old_copy_without_a_tail_is_used(settings: Settings, topic: str, tmp_path: Path) -> None:
    async with owner_of(settings, topic, tmp_path) as owner:
        await owner.commit({b"a": b"1"})
        checkpoint = owner.rows.checkpoint
        assert checkpoint is not None
        owner.rows.write({}, checkpoint._replace(time=1.0))
        assert await owner.assign() == 0
        assert owner.rows.checkpoint is not None
        assert owner.rows.checkpoint.time > time.time() - 600


async def test_rows_before_the_beginning_of_the_changelog_are_discarded(
    settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Records can be deleted only from topics that are not just compacted."""
    topic = create(settings, "states", 1, {"cleanup.policy": "compact,delete", "retention.ms": "-1"})
    async with owner_of(settings, topic, tmp_path) as owner:
        await owner.commit({b"a": b"1"})
        early = owner.rows.checkpoint
        assert early is not None
        await owner.commit({b"b": b"1"})
        last = early._replace(offset=early.offset + 2)
        await owner.commit({b"c": b"1"})
        client = AdminClient({"bootstrap.servers": settings.kafka})
        at = TopicPartition(topic, 0, last.offset)
        client.delete_records([at])[at].result(120)
        owner.rows.write({}, early)
        await owner.assign()
        assert await check(owner) == {b"c": b"1"}
    assert "and the changelog begins at" in caplog.text


# --- two processes


@pytest.mark.parametrize("waits", [True, False])
async def test_a_paused_process_with_the_directory_is_waited_for_and_then_done_without(
    settings: Settings, topic: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, waits: bool
) -> None:
    async with owner_of(settings, topic, tmp_path) as owner:
        await owner.commit({b"a": b"1"})
        folder = owner.databases.folder
    held = "import sys, time, rocksdict as r; d = r.Rdict(sys.argv[1], r.Options(raw_mode=True)); print(flush=True)"
    script = [sys.executable, "-c", f"{held}; time.sleep(600)", str(folder / "0")]
    monkeypatch.setattr(databases, "IN_USE_SECONDS", 60.0 if waits else 0.5)
    with await asyncio.to_thread(subprocess.Popen, script, stdout=subprocess.PIPE) as paused:
        try:
            assert paused.stdout is not None
            await asyncio.to_thread(paused.stdout.readline)
            paused.send_signal(signal.SIGSTOP)
            mine = Owner(settings, topic, tmp_path)
            starting = asyncio.create_task(mine.begin())
            await asyncio.to_thread(wait_until, lambda: bool(mine.said), "the process to be noticed")
            assert f"another process uses {folder / '0'}" in (mine.said[0] or "")
            if waits:
                paused.kill()
            await asyncio.wait_for(starting, 120)
            assert isinstance(mine.rows, MemoryRows) is not waits
            assert await check(mine) == {b"a": b"1"}
            await mine.commit({b"b": b"1"})
            paused.kill()
            await asyncio.to_thread(paused.wait, 60)
            await mine.assign()
            assert not isinstance(mine.rows, MemoryRows)
            assert await check(mine) == {b"a": b"1", b"b": b"1"}
            await mine.close()
        finally:
            paused.kill()


# --- where a transaction ends


async def test_a_commit_tells_where_it_ends_in_each_partition(settings: Settings) -> None:
    topic = create(settings, "log", 2)
    producer = TransactionalProducer(settings, settings.named("me"), 60)
    await asyncio.wait_for(producer.claim(), 120)
    writes = [Write(topic, number % 2, b"%d" % number, b"x" * 400_000) for number in range(8)]  # two in a batch
    assert await producer.produce(writes) == {TP(topic, 0): 4, TP(topic, 1): 4}
    await producer.end(commit=True)
    assert await producer.produce(writes[:3], singly=True) == {TP(topic, 0): 7, TP(topic, 1): 6}
    await producer.end(commit=True)
    await producer.close()


async def test_no_end_is_told_if_its_offset_is_unknown(settings: Settings) -> None:
    """An answer was lost, and the broker has only remembered that the batch is a duplicate."""
    topic = create(settings, "log", 1)
    producer = TransactionalProducer(settings, settings.named("me"), 60)
    await asyncio.wait_for(producer.claim(), 120)
    ask = producer.brokers.ask_node

    async def forgetful(node: int, request: object) -> object:
        answer = await ask(node, request)  # type: ignore[arg-type]
        for _, partitions, _ in answer.topics:
            number, code, _, *others = partitions[0]
            if code == Code.NONE:  # a new topic may have no leader at first
                partitions[0] = (number, int(Code.DUPLICATE_SEQUENCE_NUMBER), -1, *others)
        return answer

    producer.brokers.ask_node = forgetful  # type: ignore[method-assign,assignment]
    assert await producer.produce([Write(topic, 0, b"k", b"v")]) == {}
    await producer.end(commit=True)
    await producer.close()
