"""Requests that librdkafka loses, because it forgets their broker while a cluster starts, are repeated."""

import pytest
from confluent_kafka import KafkaError, KafkaException

from streams.topics import again_if_lost


def test_a_lost_request_is_repeated() -> None:
    errors = [KafkaError._DESTROY_BROKER, KafkaError._DESTROY_BROKER]

    @again_if_lost
    def ask() -> str:
        if errors:
            raise KafkaException(KafkaError(errors.pop()))
        return "answered"

    assert ask() == "answered"
    assert errors == []


def test_another_error_is_not() -> None:
    asked = 0

    @again_if_lost
    def ask() -> None:
        nonlocal asked
        asked += 1
        raise KafkaException(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))

    with pytest.raises(KafkaException, match="authorization"):
        ask()
    assert asked == 1
