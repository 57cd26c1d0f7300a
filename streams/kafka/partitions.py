"""Which partition a key belongs to, as Kafka's Java client has it."""

from ctypes import PyDLL, c_char_p, c_int32, c_size_t, c_void_p

from confluent_kafka import cimpl

# In Python it takes 5 µs, for each outcome and each command. Part of librdkafka's API: topic, key, its length, how many
# partitions, and two pointers for whoever needs them; this one needs neither them nor the topic.
_murmur2 = PyDLL(cimpl.__file__).rd_kafka_msg_partitioner_murmur2
_murmur2.argtypes = (c_void_p, c_char_p, c_size_t, c_int32, c_void_p, c_void_p)
_murmur2.restype = c_int32


def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition of `key` among `partitions` (murmur2); other clients hash otherwise unless told."""
    return int(_murmur2(None, key, len(key), partitions, None, None))
