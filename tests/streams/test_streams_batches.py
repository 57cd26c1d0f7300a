"""Messages are encoded as Kafka's record batches, as a broker would read them."""

import struct
from collections.abc import Iterable
from itertools import accumulate
from typing import Any

import pytest
from aiokafka.record.default_records import DefaultRecordBatch
from faust.types import TP

from streams.kafka.batches import ANY_PARTITION, BATCH_BYTES, REQUEST_BYTES, Producer, Request, Write, requests
from streams.kafka.partitions import partition_of
from streams.kafka.unreadable import batch_at, records_of
from streams.kafka.wire import NO_TAGS, Code, Produce

ME = Producer(4711, 3)
PARTITIONS = {"a": 8, "b": 3}


def packed(writes: Iterable[Write]) -> list[Request]:
    return list(requests(writes, PARTITIONS, ME))


def read(batch: bytearray) -> tuple[DefaultRecordBatch, list[Any]]:
    found = DefaultRecordBatch(bytes(batch))
    assert found.validate_crc()
    return found, list(found)


def test_all_partitions_go_in_one_request() -> None:
    writes = [Write("a", 0, b"k", b"v"), Write("b", 2, None, b"w"), Write("a", 0, b"l", None, [("h", b"x")])]
    (request,) = packed(writes)
    assert list(request) == [TP("a", 0), TP("b", 2)]
    batch, records = read(request[TP("a", 0)])
    assert batch.is_transactional
    assert (batch.producer_id, batch.producer_epoch, batch.base_sequence) == (*ME, 0)
    assert [(r.offset, r.key, r.value, r.headers) for r in records] == [
        (0, b"k", b"v", []),
        (1, b"l", None, [("h", b"x")]),
    ]


def test_no_messages_need_no_request() -> None:
    assert packed([]) == []


@pytest.mark.parametrize("key", [b"order-1", b"", None])
def test_any_partition_given_must_be_that_of_the_key(key: bytes | None) -> None:
    (request,) = packed([Write("b", ANY_PARTITION, key, b"v")])
    assert list(request) == [TP("b", partition_of(key or b"", 3))]


def test_a_full_batch_is_followed_by_another_one_that_continues_the_numbering() -> None:
    values = [bytes([number]) * (BATCH_BYTES // 3) for number in range(7)]
    made = packed([Write("a", 1, b"k", value) for value in values] + [Write("b", 0, b"k", b"v")])
    batches = [read(request[TP("a", 1)]) for request in made]
    sizes = [len(records) for _, records in batches]
    assert [batch.base_sequence for batch, _ in batches] == [0, *accumulate(sizes[:-1])]
    assert [record.value for _, records in batches for record in records] == values
    assert all(len(request[TP("a", 1)]) <= BATCH_BYTES for request in made)
    assert sum(TP("b", 0) in request for request in made) == 1


def test_a_message_larger_than_a_batch_is_one_of_its_own() -> None:
    sizes = [1, 2 * BATCH_BYTES, 1]
    made = packed([Write("a", 1, b"k", b"v" * size) for size in sizes])
    assert [[len(r.value) for r in read(request[TP("a", 1)])[1]] for request in made] == [[1], [2 * BATCH_BYTES], [1]]


def test_a_request_is_no_larger_than_a_broker_accepts() -> None:
    made = packed([Write("a", partition, b"k", b"v" * (REQUEST_BYTES // 2)) for partition in range(4)])
    assert [list(request) for request in made] == [[TP("a", partition)] for partition in range(4)]


def test_an_error_kafka_may_add_later_has_a_name() -> None:
    assert Code(9999).name == "Kafka's error 9999"
    assert Code(9999) == 9999
    assert Code(22).name == "ILLEGAL_GENERATION"


def test_a_header_name_that_is_not_utf8_is_copied_byte_for_byte() -> None:
    name = b"M\xfcnchen".decode("utf-8", "surrogateescape")
    headers = [[], [(name, b"x"), ("n", None)], [("h", b"y")], [(name, None)]]
    made = packed([Write("a", 0, b"k", b"%d" % number, each) for number, each in enumerate(headers)])
    batches = [batch_at(bytes(request[TP("a", 0)]), 0) for request in made]
    found = [record for batch in batches if batch for record in records_of(batch, "a", 0)]
    assert [(record.value, list(record.headers)) for record in found] == [
        (b"%d" % number, each) for number, each in enumerate(headers)
    ]
    sequences = [struct.unpack_from(">i", request[TP("a", 0)], 53)[0] for request in made]
    assert sequences == [0, 1, 3]  # gapless


@pytest.mark.parametrize("sizes", [[], [[0]], [[1, 20_000], [127, 128, 300]]])
def test_a_produce_request_is_encoded_as_its_schema_says(sizes: list[list[int]]) -> None:
    topics = [
        (f"topic-{number}", [(partition, bytearray(size), NO_TAGS) for partition, size in enumerate(batches)], NO_TAGS)
        for number, batches in enumerate(sizes)
    ]
    request = Produce("orders-0", -1, 5_000, topics, NO_TAGS)
    assert request.encode() == super(Produce, request).encode()
