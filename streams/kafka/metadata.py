"""Asks a broker about our own topics: not about the whole cluster's, and without creating any."""

import random
from collections.abc import Collection, Iterable
from typing import Any

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import (
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaError,
    TopicAuthorizationFailedError,
)
from aiokafka.protocol.metadata import MetadataRequest

from streams.kafka.wire import Code

PROBES = "probes"  # the name of a connection in aiokafka's client: one without an answer is closed


async def metadata_of(client: AIOKafkaClient, topics: Collection[str], **options: Any) -> Any:
    """Return the metadata of topics (full names) from any broker of a connected client; raise `KafkaError`."""
    error: KafkaError = KafkaConnectionError("no broker is known")
    for node in in_any_order(client):
        try:
            return await client.send(node, request_for(topics), **options)
        except KafkaError as trouble:
            error = trouble
    raise error


def in_any_order(client: AIOKafkaClient, last: Collection[int] = ()) -> Iterable[int]:
    """Return the ids of the brokers that a client knows; those in `last` come last."""
    nodes = [broker.nodeId for broker in client.cluster.brokers()]
    random.shuffle(nodes)
    return sorted(nodes, key=lambda node: node in last)


async def check_topics(client: AIOKafkaClient, topics: Collection[str]) -> None:
    """Return if a broker answers; raise `KafkaError`, also if this service may not know of a topic.

    Other requests of `client` are not disturbed: if there is no answer, only the connection for such checks is closed.
    """
    answer = await metadata_of(client, topics, group=PROBES)
    if not answer.brokers:
        raise IllegalSaslStateError("the broker has refused the login")
    if denied := denied_in(answer):
        raise TopicAuthorizationFailedError(denied)


def request_for(topics: Collection[str]) -> MetadataRequest:
    """Return the request for the metadata of topics."""
    return MetadataRequest(sorted(topics), allow_auto_topic_creation=False)


def denied_in(answer: Any) -> str | None:
    """Return the first topic that this service may not know of."""
    return next((topic for code, topic, *_ in answer.topics if code == Code.TOPIC_AUTHORIZATION_FAILED), None)
