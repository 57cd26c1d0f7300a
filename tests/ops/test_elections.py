"""Errors that end with a leader's election."""

import pytest
from confluent_kafka import KafkaError, KafkaException

from ops.kafka.elections import is_electing


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (KafkaError.NOT_LEADER_FOR_PARTITION, True),
        (KafkaError.UNKNOWN_LEADER_EPOCH, True),  # the topic was created a moment ago
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, False),
        (KafkaError.INVALID_REPLICATION_FACTOR, False),
    ],
)
def test_only_requests_that_may_succeed_are_repeated(code: int, expected: bool) -> None:
    assert is_electing(KafkaException(KafkaError(code))) is expected


def test_errors_of_other_kinds_are_not_repeated() -> None:
    assert not is_electing(TimeoutError())
