"""The partition of a key, as in Kafka's Java client: murmur2 of the key."""

from functools import lru_cache
from struct import Struct

SEED, FACTOR, BITS = 0x9747B28C, 0x5BD1E995, 0xFFFFFFFF
REMEMBERED = 16_384  # keys; the keys of an order and its products occur several times within a fetch
WORDS = tuple(Struct(f"<{count}I") for count in range(65))  # by the number of words: a UUID has 36 bytes, 9 words


@lru_cache(maxsize=REMEMBERED)
def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition of `key` among `partitions`; librdkafka hashes differently unless configured."""
    return (_murmur2(key) & 0x7FFFFFFF) % partitions


def _murmur2(key: bytes) -> int:
    """Return the hash as an unsigned number; aiokafka's function reads single bytes and takes twice as long."""
    count = len(key) // 4
    words = WORDS[count] if count < len(WORDS) else Struct(f"<{count}I")
    result = SEED ^ len(key)
    for word in words.unpack_from(key):
        word = word * FACTOR & BITS
        result = (result * FACTOR ^ (word ^ word >> 24) * FACTOR) & BITS
    if rest := key[4 * count :]:
        result = (result ^ int.from_bytes(rest, "little")) * FACTOR & BITS
    result = (result ^ result >> 13) * FACTOR & BITS
    return result ^ result >> 15
