"""Keys go where Kafka's Java client puts them."""

import random

import pytest
from aiokafka.partitioner import murmur2

from streams.kafka.partitions import partition_of


@pytest.mark.parametrize("partitions", [1, 8, 512, 1_000_003])
@pytest.mark.parametrize(
    ("key", "signed"),
    [(b"21", -973932308), (b"foobar", -790332482), (b"a-little-bit-long-string", -985981536), (b"abc", 479470107)],
)
def test_hashes_are_those_of_kafkas_own_tests(key: bytes, signed: int, partitions: int) -> None:
    """org.apache.kafka.common.utils.UtilsTest.testMurmur2."""
    assert partition_of(key, partitions) == (signed & 0x7FFFFFFF) % partitions


def test_random_keys_hash_as_aiokafka_has_them() -> None:
    draw = random.Random(2)
    for length in [*range(64)] * 30:
        key = draw.randbytes(length)
        for partitions in (7, 1_000_003):
            assert partition_of(key, partitions) == (murmur2(key) & 0x7FFFFFFF) % partitions
