"""Errors of a partition whose leader has just been elected, or whose client has not heard of it yet."""

from confluent_kafka import KafkaError, KafkaException

ELECTING = (
    KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE, KafkaError.REPLICA_NOT_AVAILABLE,
    KafkaError.UNKNOWN_LEADER_EPOCH, KafkaError.FENCED_LEADER_EPOCH, KafkaError.OFFSET_NOT_AVAILABLE,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
)  # fmt: skip


def is_electing(error: BaseException) -> bool:
    """Return whether a request succeeds when it is repeated after the election."""
    return isinstance(error, KafkaException) and error.args[0].code() in ELECTING
