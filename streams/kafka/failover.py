"""How long a cluster may need until another broker has taken over from one that died or is silent.

The controller fences a broker that sends no heartbeat for `broker.session.timeout.ms`. Until then, the partitions that
it leads have no leader that answers, and other partitions wait for its replicas. On a single broker nothing takes over,
so there is no reason to wait.
"""

import asyncio
from collections.abc import Iterable
from contextlib import suppress

from aiokafka.client import AIOKafkaClient
from confluent_kafka import KafkaException
from confluent_kafka.admin import ConfigResource, ResourceType

from streams.kafka.library_patches import SILENT_SECONDS
from streams.runtime.settings import Settings
from streams.topics import admin

DEFAULT_SESSION_SECONDS = 9.0  # Kafka's default, assumed if the brokers do not tell
ASK_SECONDS = 2.0
SESSION = "broker.session.timeout.ms"
# Then a request that went to the silent broker ends, and so may the next one, which asks it for the new leader.
NOTICED_SECONDS = 2 * SILENT_SECONDS + 1.0


def may_fail_over(settings: Settings, client: AIOKafkaClient) -> bool:
    """Return whether another broker can take over: the cluster has several, although perhaps only one is running."""
    return len(client.cluster.brokers()) > 1 or "," in settings.kafka


async def failover_seconds(settings: Settings, client: AIOKafkaClient) -> float:
    """Return how long it may take until a broker's partitions have another leader; 0 if there is no other broker."""
    if not may_fail_over(settings, client):
        return 0.0
    brokers = [broker.nodeId for broker in client.cluster.brokers()]
    return await asyncio.to_thread(_session_seconds, settings, brokers) + NOTICED_SECONDS


def _session_seconds(settings: Settings, brokers: Iterable[int]) -> float:
    """Return after how many seconds of silence a broker is fenced, as the first one says that answers.

    If none of them tells, perhaps because this service may not ask, return Kafka's default.
    """
    for broker in brokers:
        resource = ConfigResource(ResourceType.BROKER, str(broker))
        with suppress(KafkaException, KeyError, TypeError, TimeoutError):
            client = admin(settings)
            future = client.describe_configs([resource], request_timeout=ASK_SECONDS)[resource]
            return int(future.result(ASK_SECONDS)[SESSION].value) / 1000
    return DEFAULT_SESSION_SECONDS
