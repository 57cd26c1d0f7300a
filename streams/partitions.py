"""Which partition a key belongs to, as Kafka's Java client has it."""

from functools import lru_cache

from aiokafka.partitioner import murmur2


@lru_cache(maxsize=65_536)
def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition of `key` among `partitions` (murmur2); librdkafka, kcat and sarama hash differently."""
    return int((murmur2(key) & 0x7FFFFFFF) % partitions)
