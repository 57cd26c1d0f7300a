"""Which partition a key belongs to, as Kafka's Java client has it."""

from functools import lru_cache
from struct import iter_unpack

SEED, MULTIPLIER, MASK = 0x9747B28C, 0x5BD1E995, 0xFFFFFFFF


def murmur2(data: bytes) -> int:
    """Return the unsigned hash of `data` as org.apache.kafka.common.utils.Utils.murmur2 has it."""
    whole = len(data) & ~3
    h = SEED ^ len(data)
    for (k,) in iter_unpack("<I", data[:whole]):
        k = k * MULTIPLIER & MASK
        h = h * MULTIPLIER & MASK ^ (k ^ k >> 24) * MULTIPLIER & MASK
    if whole < len(data):
        h = (h ^ int.from_bytes(data[whole:], "little")) * MULTIPLIER & MASK
    h = (h ^ h >> 13) * MULTIPLIER & MASK
    return h ^ h >> 15


@lru_cache(maxsize=65_536)
def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition of `key` among `partitions` (murmur2); librdkafka, kcat and sarama hash differently."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions
