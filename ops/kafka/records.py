"""Read Kafka topics: the committed records between given offsets, new records, and the offsets themselves.

Every command that reads a topic does it here. Topics are named without the prefix of the installation.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from threading import Thread
from types import TracebackType
from typing import Any, NamedTuple, TypeAlias, TypeVar

from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError
from confluent_kafka import Consumer, KafkaException
from confluent_kafka import KafkaError as Code
from confluent_kafka import TopicPartition as Asked

from ops.errors import Misconfigured, Unavailable, kafka_error
from ops.kafka.elections import is_electing
from streams.kafka.clients import aiokafka_config, librdkafka_config
from streams.kafka.diagnosis import missing_right
from streams.kafka.library_patches import AIOKafkaConsumer
from streams.runtime.settings import Role, Settings
from streams.topology import group_of

T = TypeVar("T")
Record: TypeAlias = "ConsumerRecord[bytes, bytes]"


class BulkRecord(NamedTuple):
    """A record with the fields that projections read, which takes less than half the memory."""

    key: bytes | None
    value: bytes | None
    partition: int
    offset: int
    timestamp: int


Offsets = Mapping[int, int]  # partition → offset
Span = Mapping[int, tuple[int, int]]  # partition → first offset, and the one after the last
BATCH = 5_000  # records
POLL_SECONDS, ASK_SECONDS = 0.2, 10.0
BUSY_SECONDS = 0.05  # wait for each topic, when several are followed in turn
SILENT_SECONDS = 60.0  # a broker that sends nothing for this long has a problem
FETCH_BYTES = 4 << 20
GROUP = "fulfillment-cli"  # librdkafka requires a group id; the group is never joined
CLOSE_SECONDS = 2.0
RETRY_MS = 10  # between two requests for the partition leaders, which a new consumer does not know
LAST = 100  # records among which the last record of a partition is looked up first
MISSING = (Code.UNKNOWN_TOPIC_OR_PART, Code._UNKNOWN_TOPIC, Code._UNKNOWN_PARTITION)


@contextmanager
def kafka(settings: Settings, name: str = "") -> Iterator[None]:
    """Turn Kafka's errors into `Unavailable`; `name` is the topic or group that is asked about."""
    try:
        yield
    except KafkaException as error:
        what = error.args[0]
        if what.code() in MISSING:
            raise Unavailable(f"Topics are missing at {settings.kafka}: run `fulfillment topics create`.") from error
        raise kafka_error(settings, error, name) from error


# --- records


def read(settings: Settings, topic: str, starts: Offsets, ends: Offsets) -> Iterator[list[Record]]:
    """Yield the records of a topic from `starts` up to `ends` in batches, each partition in order."""
    with Log(settings, topic, starts) as log, kafka(settings):
        yield from log.upto(ends)


def read_all(settings: Settings, topic: str) -> Iterator[Record]:
    """Yield all records that a topic has now, each partition in order."""
    for batch in read(settings, topic, begins(settings, topic), ends(settings, topic)):
        yield from batch


def follow(settings: Settings, starts: Mapping[str, Offsets]) -> Iterator[list[Record]]:
    """Yield new records of topics in batches, without end; `starts`: topic → where each partition begins."""
    with ExitStack() as stack, kafka(settings):
        logs = [stack.enter_context(Log(settings, topic, offsets)) for topic, offsets in starts.items()]
        seconds = POLL_SECONDS if len(logs) == 1 else BUSY_SECONDS
        while True:
            for log in logs:
                yield log.batch(seconds=seconds)


def newest(
    settings: Settings, spans: Mapping[str, Span], count: int, decode: Callable[[list[Record]], Sequence[T]]
) -> list[T]:
    """Return at least the `count` newest items that `decode` finds in `spans`, or all there are; `spans`: by topic.

    How many records a range of offsets holds is only known after reading it, because transaction markers have
    offsets, too. So the range grows until it holds enough.
    """
    reach, found = 2 * count, list[T]()
    while len(found) < count:
        starts = {t: {n: max(begin, end - reach) for n, (begin, end) in span.items()} for t, span in spans.items()}
        found = []
        for topic, span in spans.items():
            for batch in read(settings, topic, starts[topic], ends_of(span)):
                found += decode(batch)
        if all(starts[topic][number] == begin for topic, span in spans.items() for number, (begin, _) in span.items()):
            break
        reach *= 4
    return found


class Log:
    """Some partitions of a topic; each read continues where the last one ended. Blocks; a context manager.

    It reads with aiokafka, in its own thread, because librdkafka may end the process at a damaged batch. A batch that
    cannot be read is returned as an `Unreadable` in its place.
    """

    def __init__(self, settings: Settings, topic: str, start: Offsets) -> None:
        self.topic, self._settings = settings.named(topic), settings
        self.positions = dict(start)  # partition → the next offset, after any transaction markers
        self._ahead: list[Record] = []  # already fetched, but after the end that was asked for
        self._reached = dict(start)  # partition → the consumer's position
        self._consumer: AIOKafkaConsumer | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name=f"reading {self.topic}", daemon=True)
        self._thread.start()
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # errors are reported as `Unavailable`

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
        """Yield batches of records until all before `ends` were read; wait for open transactions."""
        heard = time.monotonic()
        while any(self.positions[number] < end for number, end in ends.items()):
            before = dict(self.positions)
            yield self.batch(ends)
            heard = time.monotonic() if before != self.positions else heard
            if time.monotonic() - heard > SILENT_SECONDS:
                raise Unavailable(
                    f"Reading {self.topic} is blocked: Kafka sent nothing for {SILENT_SECONDS:.0f} s. "
                    "Check for an open transaction with `fulfillment transactions list`."
                )

    def batch(self, ends: Offsets | None = None, seconds: float = POLL_SECONDS) -> list[Record]:
        """Return the next records before `ends`; an empty list if none arrive within `seconds`."""
        came, self._ahead = [*self._ahead, *self._fetched(seconds)], []
        wanted = [record for record in came if self._is_wanted(record, ends)]
        waiting = {record.partition for record in self._ahead}
        for number, reached in self._reached.items():  # also moves past transaction markers
            if number not in waiting:
                end = reached if ends is None else min(reached, ends.get(number, reached))
                self.positions[number] = max(self.positions[number], end)
        return wanted

    def _fetched(self, seconds: float) -> list[Record]:
        """Return the next fetch."""
        try:
            return self._await(self._fetch(seconds))
        except KafkaError as error:
            if not error.retriable:
                raise self._unreadable(error) from error
            time.sleep(seconds)  # the broker is unreachable for now; the caller limits how long
            return []

    def _unreadable(self, error: KafkaError) -> Unavailable:
        if missing_right(error) is not None:
            return kafka_error(self._settings, error, self.topic)
        return Unavailable(f"{self.topic} cannot be read: {error}.")

    async def _fetch(self, seconds: float) -> list[Record]:
        if self._consumer is None:
            self._consumer = await self._open()
        fetched = await self._consumer.getmany(timeout_ms=int(seconds * 1000), max_records=BATCH)
        for at in self._consumer.assignment():
            self._reached[at.partition] = await self._consumer.position(at)
        return [record for records in fetched.values() for record in records]

    async def _open(self) -> AIOKafkaConsumer:
        consumer = AIOKafkaConsumer(
            **aiokafka_config(self._settings),
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
        number, after = record.partition, record.offset + 1
        if ends is not None and after > ends[number]:
            self._ahead.append(record)
            self.positions[number] = max(self.positions[number], ends[number])  # there are no records in between
            return False
        self.positions[number] = max(self.positions[number], after)
        return True


# --- offsets


def begins(settings: Settings, topic: str) -> dict[int, int]:
    """Return the first offset of each partition of a topic."""
    return {number: low for number, (low, _) in watermarks(settings, topic).items()}


def ends(settings: Settings, topic: str) -> dict[int, int]:
    """Return the offset after the last record of each partition, whether it is committed or not."""
    return ends_of(watermarks(settings, topic))


def ends_of(span: Span) -> dict[int, int]:
    """Return where the partitions of a span end."""
    return {number: end for number, (_, end) in span.items()}


def watermarks(settings: Settings, topic: str) -> dict[int, tuple[int, int]]:
    """Return the first offset of each partition of a topic, and the offset after its last record."""
    name = settings.named(topic)
    with _consumer(settings, about=name) as consumer:
        described = consumer.list_topics(name, timeout=ASK_SECONDS).topics[name]
        if described.error is not None:
            raise KafkaException(described.error)
        found = len(described.partitions)
        if found and found != settings.partitions:
            raise Misconfigured(
                f"Topic {name} has {found} partitions, and FULFILLMENT_PARTITIONS is {settings.partitions}: set it to "
                f"{found}."
            )
        return {tp.partition: _watermarks(consumer, tp) for tp in _partitions(settings, topic)}


def last_records(settings: Settings, topic: str) -> dict[int, int]:
    """Return the offset after the last committed record of each partition, 0 if it has none."""
    span, found, reach = watermarks(settings, topic), dict[int, int](), LAST
    while left := {number: end for number, (_, end) in span.items() if number not in found}:
        starts = {number: max(span[number][0], end - reach) for number, end in left.items()}
        for batch in read(settings, topic, starts, left):
            found |= {record.partition: record.offset + 1 for record in batch}
        found |= {n: 0 for n in left if n not in found and starts[n] == span[n][0]}
        reach *= 100
    return found


def offsets_at(settings: Settings, topic: str, milliseconds: int) -> dict[int, int]:
    """Return each partition's first offset at a time or later; partitions without later records are left out."""
    asked = [Asked(tp.topic, tp.partition, milliseconds) for tp in _partitions(settings, topic)]
    with _consumer(settings, about=settings.named(topic)) as consumer:
        found = consumer.offsets_for_times(asked, ASK_SECONDS)
    return {at.partition: at.offset for at in found if at.offset >= 0}


def committed(settings: Settings, role: Role, topic: str) -> dict[int, int]:
    """Return the offset that a role's group has committed for each partition; 0 if it has committed none."""
    group = group_of(role, settings)
    with _consumer(settings, group, group) as consumer:
        found = consumer.committed(_partitions(settings, topic), ASK_SECONDS)
    return {at.partition: max(at.offset, 0) for at in found}


def _partitions(settings: Settings, topic: str) -> list[Asked]:
    return [Asked(settings.named(topic), number) for number in range(settings.partitions)]


@contextmanager
def _consumer(settings: Settings, group: str | None = None, about: str = "") -> Iterator[Consumer]:
    """Give a consumer to ask for offsets of the topic or group `about`; it reads nothing and joins no group."""
    consumer = Consumer(
        librdkafka_config(settings)
        | {"group.id": group or settings.named(GROUP), "isolation.level": "read_uncommitted"}
    )
    try:
        with kafka(settings, about):
            yield consumer
    finally:
        consumer.close()


def _watermarks(consumer: Consumer, at: Asked) -> tuple[int, int]:
    until = time.monotonic() + ASK_SECONDS
    while True:
        try:
            low, high = consumer.get_watermark_offsets(at, timeout=ASK_SECONDS)
            return low, high
        except KafkaException as error:  # the leader of a new topic has just been elected
            if error.args[0].code() in MISSING or not is_electing(error) or time.monotonic() > until:
                raise
        time.sleep(RETRY_MS / 1000)
