"""Keys go where Kafka's Java client puts them."""

import random

import pytest
from aiokafka.partitioner import murmur2 as aiokafka_murmur2

from streams.partitions import murmur2, partition_of


@pytest.mark.parametrize(
    ("key", "signed"),
    [(b"21", -973932308), (b"foobar", -790332482), (b"a-little-bit-long-string", -985981536), (b"abc", 479470107)],
)
def test_hashes_are_those_of_kafkas_own_tests(key: bytes, signed: int) -> None:
    """org.apache.kafka.common.utils.UtilsTest.testMurmur2."""
    assert murmur2(key) == signed & 0xFFFFFFFF


def test_random_keys_hash_as_aiokafka_has_them() -> None:
    draw = random.Random(2)
    for length in [*range(64)] * 30:
        key = draw.randbytes(length)
        assert murmur2(key) == aiokafka_murmur2(key) & 0xFFFFFFFF
        assert partition_of(key, 7) == (aiokafka_murmur2(key) & 0x7FFFFFFF) % 7
