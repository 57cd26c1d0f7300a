"""Topics read in bulk with librdkafka: what was committed, from and up to given offsets."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from ops.errors import Unavailable
from streams.settings import Settings

Offsets = Mapping[int, int]  # partition → offset
BATCH = 5_000  # records
POLL_SECONDS, ASK_SECONDS = 0.2, 10.0
SILENT_SECONDS = 60.0  # a broker that says nothing for so long will not
FETCH_BYTES = 4 << 20
GROUP = "fulfillment-cli"  # asked for by librdkafka, and never joined
MISSING = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION)
TRANSIENT = (KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT, KafkaError._RESOLVE, KafkaError._TIMED_OUT)


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
            partitions = [TopicPartition(settings.named(topic), number) for number in range(settings.partitions)]
            return {tp.partition: consumer.get_watermark_offsets(tp, timeout=ASK_SECONDS) for tp in partitions}
    finally:
        consumer.close()


class Log:
    """Some partitions of a topic, read on from where the last reading ended. Blocks; a context that closes it."""

    def __init__(self, settings: Settings, topic: str, start: Offsets) -> None:
        self.topic = settings.named(topic)
        self.positions = dict(start)  # partition → the offset that comes next, transaction markers left behind
        self._ahead: list[Any] = []  # read already, but behind what was asked for
        self._consumer = Consumer(
            {
                "bootstrap.servers": settings.kafka,
                "group.id": settings.named(GROUP),
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "fetch.message.max.bytes": FETCH_BYTES,
                "fetch.wait.max.ms": 100,
                "log_level": 0,
            }
        )
        self._consumer.assign([TopicPartition(self.topic, number, offset) for number, offset in start.items()])

    def __enter__(self) -> "Log":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._consumer.close()

    def upto(self, ends: Offsets) -> Iterator[list[Any]]:
        """Yield batches of records until all before `ends` were; waits where a transaction is still open."""
        heard = time.monotonic()
        while any(self.positions[number] < end for number, end in ends.items()):
            before = dict(self.positions)
            yield self.batch(ends)
            heard = time.monotonic() if before != self.positions else heard
            if time.monotonic() - heard > SILENT_SECONDS:
                raise Unavailable(f"{self.topic} cannot be read on: nothing came for {SILENT_SECONDS:.0f} s.")

    def batch(self, ends: Offsets | None = None, seconds: float = POLL_SECONDS) -> list[Any]:
        """Return the next records, of those before `ends`; none when there are none for some time."""
        came, self._ahead = [*self._ahead, *self._fetched(seconds)], []
        return [message for message in came if self._is_wanted(message, ends)]

    def _fetched(self, seconds: float) -> list[Any]:
        """Return what is there once there is something; `consume` alone would wait until a batch is full."""
        first = self._consumer.poll(seconds)
        return [] if first is None else [first, *self._consumer.consume(BATCH, 0)]

    def _is_wanted(self, message: Any, ends: Offsets | None) -> bool:
        number, offset, error = message.partition(), message.offset(), message.error()
        if error is not None and error.code() != KafkaError._PARTITION_EOF:
            if error.fatal() or error.code() not in TRANSIENT:
                raise KafkaException(error)
            return False
        behind = offset + 1 if error is None else offset  # the end of a partition is no record
        if ends is not None and behind > ends[number]:
            self._ahead.append(message)
            self.positions[number] = max(self.positions[number], ends[number])  # nothing was between
            return False
        self.positions[number] = max(self.positions[number], behind)
        return error is None
