"""A fetch is handled as a whole: no record is lost, whatever happens to the group or to Faust's queues."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from real_kafka import create, environment, transactional
from system import PATIENCE_SECONDS, free_ports, wait_until

from streams.runtime.process import EX_SOFTWARE
from streams.runtime.settings import Settings

WORKER = Path(__file__).with_name("tiny_worker.py")


class Worker:
    """A process of the tiny worker."""

    def __init__(self, settings: Settings, folder: Path, instance: str, *behaviour: str, **more: str) -> None:
        self.journal, self.port = folder / f"journal-{instance}", free_ports(1)
        self.log = folder / f"log-{instance}"
        mine = {"INSTANCE": instance, "WORKER_PORT": str(self.port), "TRANSACTION_TIMEOUT": "4"} | more
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(WORKER), str(self.journal), *behaviour],
                env=environment(settings, **{f"FULFILLMENT_{name}": value for name, value in mine.items()}),
                stdout=log,
                stderr=log,
            )

    def ask(self, page: str) -> Any:
        """Return what a page says; None while it does not answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/{page}", timeout=10) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            return json.load(error)
        except OSError:
            return None

    def partitions(self) -> int:
        """Return how many partitions it handles."""
        assert self.process.poll() is None, self.log.read_text()[-3000:]
        return sum(map(len, (self.ask("readyz") or {"partitions": {}})["partitions"].values()))

    def reasons(self) -> list[str] | None:
        """Return why it is not ready; None while it does not answer."""
        return (self.ask("readyz") or {}).get("reasons")

    def arm(self) -> None:
        """Let its watchdog begin."""
        self.journal.with_suffix(".armed").touch()

    def lag(self) -> int | None:
        """Return the number of messages left to handle; None while it is unknown."""
        answer = self.ask("lag")
        return answer["lag"].get("total", sum(answer["lag"].values())) if answer and answer.get("lag") else None

    def lines(self) -> list[Any]:
        """Return the journal; the last line may not be written whole yet."""
        text = self.journal.read_text() if self.journal.exists() else ""
        return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]

    def values(self) -> list[str]:
        """Return the handled values, including repeated ones."""
        return [value for line in self.lines() if "records" in line for _, value in line["records"]]


@contextmanager
def worker(settings: Settings, folder: Path, instance: str = "0", *behaviour: str, **more: str) -> Iterator[Worker]:
    running = Worker(settings, folder, instance, *behaviour, **more)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.process.kill()
        running.process.wait(120)


def produce(settings: Settings, first: int, count: int, partitions: int = 4) -> list[str]:
    producer = Producer({"bootstrap.servers": settings.kafka, "linger.ms": 0})
    values = [str(number) for number in range(first, first + count)]
    for number, value in enumerate(values):
        producer.produce(settings.named("in"), value=value, partition=number % partitions)
    assert producer.flush(120) == 0
    return values


class Producing(threading.Thread):
    """Produces one record after the other until it is told to stop."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(daemon=True)
        self.settings, self.sent, self.stopping = settings, 0, threading.Event()

    def run(self) -> None:
        producer = Producer({"bootstrap.servers": self.settings.kafka, "linger.ms": 0})
        while not self.stopping.wait(0.004):
            producer.produce(self.settings.named("in"), value=str(self.sent), partition=self.sent % 4)
            self.sent += 1
            producer.poll(0)
        assert producer.flush(120) == 0


def stop_when_handled(producing: Producing, handling: Worker) -> None:
    """Stop producing; return once everything produced is handled."""
    producing.stopping.set()
    producing.join(PATIENCE_SECONDS)
    everything = {str(number) for number in range(producing.sent)}
    wait_until(lambda: set(handling.values()) >= everything, "everything to be handled")


def assert_contiguous(lines: list[Any]) -> None:
    """Per epoch and partition, each part begins where the one before it ended, and has every record of it."""
    ended: dict[tuple[int, int], int] = {}
    for line in lines:
        key = line["epoch"], line["partition"]
        assert line["began"] == ended.get(key, line["began"]), f"a hole before {line}"
        offsets = [offset for offset, _ in line["records"]]
        assert offsets == list(range(line["began"], line["ended"])), f"a hole in {line}"
        ended[key] = line["ended"]


@pytest.mark.parametrize("sign", [signal.SIGTERM, pytest.param(signal.SIGKILL, marks=pytest.mark.long)])
def test_no_record_is_swallowed_while_members_come_and_go(
    settings: Settings, tmp_path: Path, sign: signal.Signals
) -> None:
    """A fetch in flight when partitions are sought took the records made available by the seek: a record was lost."""
    create(settings, "in", 4)
    producing, journals = Producing(settings), []
    with worker(settings, tmp_path) as first:
        journals.append(first)
        wait_until(lambda: first.partitions() == 4, "the first worker")
        producing.start()
        for number in range(3):
            with worker(settings, tmp_path, f"s{number}", SESSION_TIMEOUT="3", HEARTBEAT_INTERVAL="1") as second:
                journals.append(second)
                wait_until(lambda: 0 < second.partitions() < 4, "the second to have a share")
                time.sleep(0.5)
                second.process.send_signal(sign)
                second.process.wait(PATIENCE_SECONDS)
            wait_until(lambda: first.partitions() == 4, "the first to have all again")
        producing.stopping.set()
        producing.join(PATIENCE_SECONDS)
        everything = {str(number) for number in range(producing.sent)}
        handed = lambda: {value for each in journals for value in each.values()}  # noqa: E731
        wait_until(lambda: handed() >= everything, "everything to be handled")
    for each in journals:
        assert_contiguous(each.lines())
    times = defaultdict(int)
    for value in (value for each in journals for value in each.values()):
        times[value] += 1
    print(f"{producing.sent} records, {sum(times.values()) - len(times)} handed out again")


def test_records_fetched_under_an_ended_assignment_are_read_again(settings: Settings, tmp_path: Path) -> None:
    """A suspended worker resumes after it was expelled: its commit is refused, and it prepares again."""
    create(settings, "in", 4)
    with worker(settings, tmp_path, "0", "slow", SESSION_TIMEOUT="2", HEARTBEAT_INTERVAL="0.5") as first:
        wait_until(lambda: first.partitions() == 4, "the worker")
        before = produce(settings, 0, 400)
        wait_until(lambda: len(first.lines()) > 0, "a fetch")
        first.process.send_signal(signal.SIGSTOP)
        time.sleep(4)
        meanwhile = produce(settings, 400, 400)
        first.process.send_signal(signal.SIGCONT)
        wait_until(lambda: set(first.values()) >= {*before, *meanwhile}, "everything to be handled")
        wait_until(lambda: first.lag() == 0, "no lag")
        assert_contiguous(first.lines())


def test_a_fetch_that_was_dropped_is_read_again(settings: Settings, tmp_path: Path) -> None:
    create(settings, "in", 4)
    producing = Producing(settings)
    with worker(settings, tmp_path, "0", "drop") as dropping:
        wait_until(lambda: dropping.partitions() == 4, "the worker")
        producing.start()
        wait_until(lambda: sum("dropped" in line for line in dropping.lines()) == 2, "two dropped fetches")
        stop_when_handled(producing, dropping)
        lines = [line for line in dropping.lines() if "dropped" not in line]
        assert_contiguous(lines)
        assert len({line["epoch"] for line in lines}) >= 3  # each drop was followed by a new preparation
        wait_until(lambda: dropping.lag() == 0, "no lag")


def test_records_taken_from_the_consumer_elsewhere_are_read_again(settings: Settings, tmp_path: Path) -> None:
    """Offsets do not show that something was skipped: transactions leave markers between records."""
    create(settings, "in", 4)
    producing = Producing(settings)
    with worker(settings, tmp_path, "0", "steal") as robbed:
        wait_until(lambda: robbed.partitions() == 4, "the worker")
        producing.start()
        wait_until(lambda: sum("stolen" in line for line in robbed.lines()) == 3, "three thefts")
        stop_when_handled(producing, robbed)
        assert "instead of" in robbed.log.read_text()


def test_a_stopped_partition_stops_no_other(settings: Settings, tmp_path: Path) -> None:
    create(settings, "in", 4)
    with worker(settings, tmp_path, "0", "stop", WATCHDOG="5") as stopping:
        wait_until(lambda: stopping.partitions() == 4, "the worker")
        sent = produce(settings, 0, 8)
        wait_until(lambda: set(stopping.values()) >= {value for value in sent if int(value) % 4}, "the others")
        sent += produce(settings, 8, 400)
        wait_until(lambda: set(stopping.values()) >= {value for value in sent if int(value) % 4}, "the others")
        wait_until(lambda: stopping.reasons() == ["partition 0 stands"], "the reason")
        assert stopping.ask("readyz")["ready"] is False
        wait_until(lambda: stopping.lag() == 101, "the lag of the one that stands: 102 but for the first")
        stopping.arm()
        time.sleep(7)
        assert stopping.process.poll() is None, "to stand for a reason is not to hang"


def test_idle_means_no_lag_although_transactions_leave_markers(settings: Settings, tmp_path: Path) -> None:
    topic = create(settings, "in", 4)
    producer = transactional(settings, "elsewhere")
    for number in range(5):
        producer.begin_transaction()
        for partition in range(4):
            producer.produce(topic, value=str(4 * number + partition), partition=partition)
        producer.commit_transaction(120)
    with worker(settings, tmp_path) as reading:
        wait_until(lambda: len(set(reading.values())) == 20, "the earlier records")
        wait_until(lambda: reading.lag() == 0, "no lag")
        for commit in (True, False):
            producer.begin_transaction()
            producer.produce(topic, value="later", partition=0)
            producer.flush(120)
            producer.commit_transaction(120) if commit else producer.abort_transaction(120)
        wait_until(lambda: reading.lag() == 0, "no lag")
        assert reading.values().count("later") == 1
    with worker(settings, tmp_path, "again") as restarted:
        wait_until(lambda: restarted.lag() == 0, "no lag after a restart at the markers")
        assert restarted.values() == []


def test_a_worker_stops_when_it_is_told_to(settings: Settings, tmp_path: Path) -> None:
    create(settings, "in", 4)
    with worker(settings, tmp_path) as first:
        wait_until(lambda: first.partitions() == 4, "the worker")
        produce(settings, 0, 40)
        wait_until(lambda: first.lag() == 0, "no lag")
        os.kill(first.process.pid, signal.SIGTERM)
        assert first.process.wait(PATIENCE_SECONDS) == 0


# --- the watchdog


def test_a_worker_without_progress_is_killed(settings: Settings, tmp_path: Path) -> None:
    create(settings, "in", 4)
    produce(settings, 0, 40)
    with worker(settings, tmp_path, "0", "hang", WATCHDOG="2") as hanging:
        wait_until(lambda: len(hanging.lines()) > 0, "a fetch")
        hanging.arm()
        assert hanging.process.wait(PATIENCE_SECONDS) == 70
        assert len({line["epoch"] for line in hanging.lines()}) == 1
        said = hanging.log.read_text()
        assert "no progress for" in said
        assert "messages wait" in said


@pytest.mark.parametrize("behaviour", ["away", ""])
def test_a_worker_that_waits_or_is_idle_is_not_killed(settings: Settings, tmp_path: Path, behaviour: str) -> None:
    create(settings, "in", 4)
    produce(settings, 0, 40)
    with worker(settings, tmp_path, "0", behaviour, WATCHDOG="5") as waiting:
        wait_until(lambda: len(waiting.lines()) > 0, "a fetch")
        waiting.arm()
        time.sleep(7)
        assert waiting.process.poll() is None, waiting.log.read_text()[-2000:]
        wait_until(lambda: waiting.reasons() == (["Kafka is unreachable"] if behaviour else []), "its reasons")


def test_records_held_back_by_an_open_transaction_count_as_lag_and_kill_no_worker(
    settings: Settings, tmp_path: Path
) -> None:
    topic = create(settings, "in", 4)
    with worker(settings, tmp_path, "0", WATCHDOG="5", OPEN_TRANSACTION="0.5") as waiting:
        wait_until(lambda: waiting.partitions() == 4, "the worker")
        foreign = transactional(settings, "foreign", 300)
        foreign.begin_transaction()
        foreign.produce(topic, b"never committed", partition=2)
        foreign.flush(120)
        sent = produce(settings, 0, 40)
        wait_until(lambda: waiting.lag() == 11, "held back records to be counted, and nothing else")
        named = f"{topic}/2 is blocked at offset 0 by a transaction of '{settings.named('foreign')}'"
        wait_until(lambda: named in str(waiting.reasons()), "the transaction to be named")
        waiting.arm()
        time.sleep(7)
        assert waiting.process.poll() is None, "to be held back by others is not to hang"
        foreign.abort_transaction(120)
        wait_until(lambda: set(waiting.values()) == set(sent) and waiting.lag() == 0, "all to be handled")
        wait_until(lambda: waiting.reasons() == [], "it to be ready again")


def test_a_worker_without_partitions_is_not_killed(settings: Settings, tmp_path: Path) -> None:
    """A spare worker has no partition and no work, which is not an error."""
    create(settings, "in", 1)
    patient = {"WATCHDOG": "5", "HEARTBEAT_INTERVAL": "0.5"}  # joining takes a heartbeat of the first one
    with worker(settings, tmp_path, "0", **patient) as first, worker(settings, tmp_path, "1", **patient) as spare:
        wait_until(lambda: first.partitions() + spare.partitions() == 1, "one of them to have it")
        wait_until(lambda: first.reasons() == spare.reasons() == [], "both to have prepared")
        first.arm()
        spare.arm()
        time.sleep(8)
        assert first.process.poll() is None, first.log.read_text()[-2000:]
        assert spare.process.poll() is None, spare.log.read_text()[-2000:]
        produce(settings, 0, 4, partitions=1)
        wait_until(lambda: len({*first.values(), *spare.values()}) == 4, "it to be handled")


def test_a_worker_that_cannot_stop_exits_anyway_and_says_why(settings: Settings, tmp_path: Path) -> None:
    create(settings, "in", 4)
    with worker(settings, tmp_path, "0", "cling") as clinging:
        wait_until(lambda: clinging.partitions() == 4, "the worker")
        produce(settings, 0, 1)
        wait_until(lambda: len(clinging.lines()) > 0, "a fetch")
        clinging.process.send_signal(signal.SIGTERM)
        assert clinging.process.wait(PATIENCE_SECONDS) == EX_SOFTWARE
        said = clinging.log.read_text()
        assert "it was asked to stop, and had not after 8 s" in said
        assert "Agent._execute_actor" in said
