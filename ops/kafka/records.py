"""Topics read in bulk: what was committed, from and up to given offsets."""

import asyncio
import logging
import time
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager, suppress
from threading import Thread
from types import TracebackType
from typing import Any, TypeAlias, TypeVar

from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError
from confluent_kafka import Consumer, KafkaException
from confluent_kafka import KafkaError as Code
from confluent_kafka import TopicPartition as Asked

from ops.errors import Misconfigured, Unavailable
from streams.kafka.library_patches import AIOKafkaConsumer
from streams.runtime.settings import Settings

T = TypeVar("T")
Record: TypeAlias = "ConsumerRecord[bytes, bytes]"

Offsets = Mapping[int, int]  # partition → offset
BATCH = 5_000  # records
POLL_SECONDS, ASK_SECONDS = 0.2, 10.0
SILENT_SECONDS = 60.0  # a broker that says nothing for so long will not
FETCH_BYTES = 4 << 20
GROUP = "fulfillment-cli"  # asked for by librdkafka, and never joined
CLOSE_SECONDS = 2.0
RETRY_MS = 10  # between two looks who leads the partitions: a new consumer does not know
MISSING = (Code.UNKNOWN_TOPIC_OR_PART, Code._UNKNOWN_TOPIC, Code._UNKNOWN_PARTITION)


@contextmanager
def kafka(settings: Settings) -> Iterator[None]:
    """Turn what Kafka cannot do into a sentence."""
    try:
        yield
    except KafkaException as error:
        what = error.args[0]
        if what.code() in MISSING:
            raise Unavailable(f"Topics are missing at {settings.kafka}: run `fulfillment topics create`.") from error
        raise Unavailable(f"Kafka at {settings.kafka} does not answer: {what.str()}.") from error


def begins(settings: Settings, topic: str) -> dict[int, int]:
    """Return the first offset of each partition of a topic (its name without prefix)."""
    return {number: low for number, (low, _) in watermarks(settings, topic).items()}


def ends(settings: Settings, topic: str) -> dict[int, int]:
    """Return the offset behind the last record of each partition, be it committed yet or not."""
    return {number: high for number, (_, high) in watermarks(settings, topic).items()}


def watermarks(settings: Settings, topic: str) -> dict[int, tuple[int, int]]:
    """Return the first offset of each partition of a topic, and the one behind its last record."""
    consumer = Consumer(
        {
            "bootstrap.servers": settings.kafka,
            "group.id": settings.named(GROUP),
            "isolation.level": "read_uncommitted",
            "log_level": 0,
        }
    )
    try:
        with kafka(settings):
            name = settings.named(topic)
            there = len(consumer.list_topics(name, timeout=ASK_SECONDS).topics[name].partitions)
            if there and there != settings.partitions:
                raise Misconfigured(f"FULFILLMENT_PARTITIONS is {settings.partitions}, and topic {name} has {there}.")
            partitions = [Asked(name, number) for number in range(settings.partitions)]
            return {tp.partition: _watermarks(consumer, tp) for tp in partitions}
    finally:
        consumer.close()


def _watermarks(consumer: Consumer, at: Asked) -> tuple[int, int]:
    until = time.monotonic() + ASK_SECONDS
    while True:
        try:
            low, high = consumer.get_watermark_offsets(at, timeout=ASK_SECONDS)
            return low, high
        except KafkaException as error:  # a new topic's leader has just been elected
            if error.args[0].code() != Code.NOT_LEADER_FOR_PARTITION or time.monotonic() > until:
                raise
        time.sleep(RETRY_MS / 1000)


class Log:
    """Some partitions of a topic, read on from where the last reading ended. Blocks; a context that closes it.

    Reads with aiokafka, in a thread of its own: librdkafka does not survive every damaged batch, and may end the
    process. What nothing can read comes as an `Unreadable`, in its place.
    """

    def __init__(self, settings: Settings, topic: str, start: Offsets) -> None:
        self.topic, self._kafka = settings.named(topic), settings.kafka
        self.positions = dict(start)  # partition → the offset that comes next, transaction markers left behind
        self._ahead: list[Record] = []  # read already, but behind what was asked for
        self._reached = dict(start)  # partition → where the consumer is
        self._consumer: AIOKafkaConsumer | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name=f"reading {self.topic}", daemon=True)
        self._thread.start()
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what matters is said in our words

    def __enter__(self) -> "Log":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        if self._consumer is not None:
            with suppress(KafkaError, TimeoutError):
                self._await(asyncio.wait_for(self._consumer.stop(), CLOSE_SECONDS))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def upto(self, ends: Offsets) -> Iterator[list[Record]]:
        """Yield batches of records until all before `ends` were; waits where a transaction is still open."""
        heard = time.monotonic()
        while any(self.positions[number] < end for number, end in ends.items()):
            before = dict(self.positions)
            yield self.batch(ends)
            heard = time.monotonic() if before != self.positions else heard
            if time.monotonic() - heard > SILENT_SECONDS:
                raise Unavailable(
                    f"{self.topic} cannot be read on: nothing came for {SILENT_SECONDS:.0f} s. "
                    "If a transaction is open there, `fulfillment transactions list` names it."
                )

    def batch(self, ends: Offsets | None = None, seconds: float = POLL_SECONDS) -> list[Record]:
        """Return the next records, of those before `ends`; none when there are none for some time."""
        came, self._ahead = [*self._ahead, *self._fetched(seconds)], []
        wanted = [record for record in came if self._is_wanted(record, ends)]
        waiting = {record.partition for record in self._ahead}
        for number, reached in self._reached.items():  # behind the markers that come next, too
            if number not in waiting:
                end = reached if ends is None else min(reached, ends.get(number, reached))
                self.positions[number] = max(self.positions[number], end)
        return wanted

    def _fetched(self, seconds: float) -> list[Record]:
        """Return what is there, once there is something."""
        try:
            return self._await(self._fetch(seconds))
        except KafkaError as error:
            if not error.retriable:
                raise Unavailable(f"{self.topic} cannot be read: {error}.") from error
            time.sleep(seconds)  # unreachable for now; how long that may be, the caller knows
            return []

    async def _fetch(self, seconds: float) -> list[Record]:
        if self._consumer is None:
            self._consumer = await self._open()
        fetched = await self._consumer.getmany(timeout_ms=int(seconds * 1000), max_records=BATCH)
        for at in self._consumer.assignment():
            self._reached[at.partition] = await self._consumer.position(at)
        return [record for records in fetched.values() for record in records]

    async def _open(self) -> AIOKafkaConsumer:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._kafka,
            enable_auto_commit=False,
            isolation_level="read_committed",
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=FETCH_BYTES,
            fetch_max_wait_ms=100,
            retry_backoff_ms=RETRY_MS,
        )
        try:
            await consumer.start()
        except BaseException:
            await consumer.stop()
            raise
        consumer.assign([TopicPartition(self.topic, number) for number in self.positions])
        for number, offset in self.positions.items():
            consumer.seek(TopicPartition(self.topic, number), offset)
        return consumer

    def _await(self, doing: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(doing, self._loop).result()

    def _is_wanted(self, record: Record, ends: Offsets | None) -> bool:
        number, behind = record.partition, record.offset + 1
        if ends is not None and behind > ends[number]:
            self._ahead.append(record)
            self.positions[number] = max(self.positions[number], ends[number])  # nothing was between
            return False
        self.positions[number] = max(self.positions[number], behind)
        return True
