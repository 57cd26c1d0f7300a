"""Asks a broker about our own topics: not about the whole cluster's, and without creating any."""

import random
from collections.abc import Collection
from typing import Any

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaConnectionError, KafkaError, TopicAuthorizationFailedError
from aiokafka.protocol.metadata import MetadataRequest

from streams.kafka.wire import Code

PROBES = "probes"  # the name of a connection in aiokafka's client: one without an answer is closed


async def metadata_of(client: AIOKafkaClient, topics: Collection[str], **options: Any) -> Any:
    """Return the metadata of topics (full names) from any broker of a connected client; raise `KafkaError`."""
    nodes = [broker.nodeId for broker in client.cluster.brokers()]
    random.shuffle(nodes)
    error: KafkaError = KafkaConnectionError("no broker is known")
    for node in nodes:
        try:
            return await client.send(node, request_for(topics), **options)
        except KafkaError as trouble:
            error = trouble
    raise error


async def check_topics(client: AIOKafkaClient, topics: Collection[str]) -> None:
    """Return if a broker answers; raise `KafkaError`, also if this service may not know of a topic.

    Other requests of `client` are not disturbed: if there is no answer, only the connection for such checks is closed.
    """
    if denied := denied_in(await metadata_of(client, topics, group=PROBES)):
        raise TopicAuthorizationFailedError(denied)


def request_for(topics: Collection[str]) -> MetadataRequest:
    """Return the request for the metadata of topics."""
    return MetadataRequest(sorted(topics), allow_auto_topic_creation=False)


def denied_in(answer: Any) -> str | None:
    """Return the first topic that this service may not know of."""
    return next((topic for code, topic, *_ in answer.topics if code == Code.TOPIC_AUTHORIZATION_FAILED), None)
