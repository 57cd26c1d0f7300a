"""The bare loop on librdkafka, whose threads fetch and send while Python decides."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition
from msgspec.structs import astuple

from bench.bare import FETCH_BYTES, TRANSACTION_SECONDS, Loop
from streams.kafka.clients import librdkafka_config
from streams.runtime.settings import Settings

MOST = 2_000  # records per consume call
PATIENCE_SECONDS = 30


class Record:
    """A record as our decisions expect it; librdkafka's messages have methods instead of attributes."""

    __slots__ = ("headers", "key", "offset", "partition", "timestamp", "timestamp_type", "topic", "value")

    def __init__(self, message: Any) -> None:
        self.topic, self.partition, self.offset = message.topic(), message.partition(), message.offset()
        self.key, self.value, self.headers = message.key(), message.value(), message.headers() or ()
        self.timestamp_type, self.timestamp = (
            message.timestamp()[0] - 1,
            message.timestamp()[1],
        )  # librdkafka counts from 1


def run(loop: Loop, settings: Settings) -> None:
    """Decide until the process is stopped."""
    consumer = Consumer(
        librdkafka_config(settings)
        | {"group.id": loop.group, "auto.offset.reset": "earliest", "enable.auto.commit": False}
        | {"isolation.level": "read_committed", "max.partition.fetch.bytes": FETCH_BYTES}
    )
    producer = Producer(
        librdkafka_config(settings)
        | {"transactional.id": loop.group, "partitioner": "murmur2_random", "linger.ms": 5, "batch.size": 1 << 20}
        | {"queue.buffering.max.messages": 2_000_000, "queue.buffering.max.kbytes": 1 << 20, "retry.backoff.ms": 1}
    )
    producer.init_transactions(PATIENCE_SECONDS)
    consumer.subscribe([loop.topic])
    while True:
        _transaction(loop, consumer, producer)


def _transaction(loop: Loop, consumer: Any, producer: Any) -> None:
    batches = _batches(consumer.consume(MOST, 1.0))  # avoids empty transactions
    if not batches:
        return
    producer.begin_transaction()
    end, offsets = time.monotonic() + TRANSACTION_SECONDS, dict[int, int]()
    while True:
        if batches:
            decided = loop.decide(batches)
            for topic, partition, key, value, headers in map(astuple, decided.writes):
                producer.produce(topic, value, key, partition, headers=headers)
            offsets |= {tp.partition: ended for tp, ended in decided.offsets.items()}
        if (left := end - time.monotonic()) <= 0:
            break
        batches = _batches(consumer.consume(MOST, min(left, 0.01)))
    positions = [TopicPartition(loop.topic, partition, offset) for partition, offset in offsets.items()]
    producer.send_offsets_to_transaction(positions, consumer.consumer_group_metadata(), PATIENCE_SECONDS)
    producer.commit_transaction(PATIENCE_SECONDS)


def _batches(messages: Sequence[Any]) -> Mapping[int, Sequence[Record]]:
    batches: dict[int, list[Record]] = {}
    for message in messages:
        assert message.error() is None, message.error()
        batches.setdefault(message.partition(), []).append(Record(message))
    return batches
