"""Sends requests to the right broker over aiokafka's connections, and repeats them until the answer is clear.

Again                          not now: to be asked again
Refused                        the broker will not have it, however often it is asked
TooOld                         the cluster does not speak transactions of version 2
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

from aiokafka.client import AIOKafkaClient, CoordinationType
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition
from faust.types import TP

from streams.kafka.batches import Request
from streams.kafka.clients import aiokafka_config
from streams.kafka.wire import NO_TAGS, ApiVersions, Code
from streams.runtime.settings import Settings

log = logging.getLogger(__name__)

T = TypeVar("T")

REQUEST_SECONDS = 5.0  # time limit of one request; then it is repeated
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.001, 1.0  # the markers of the last transaction take a millisecond or two

# The one that was asked is the right one, but busy …
BUSY = frozenset({Code.CONCURRENT_TRANSACTIONS, Code.COORDINATOR_LOAD_IN_PROGRESS})
# … or perhaps it is not the right one any more.
ASK_AGAIN = BUSY | {
    Code.UNKNOWN_TOPIC_OR_PARTITION, Code.LEADER_NOT_AVAILABLE, Code.NOT_LEADER_OR_FOLLOWER, Code.REQUEST_TIMED_OUT,
    Code.NETWORK_EXCEPTION, Code.COORDINATOR_NOT_AVAILABLE, Code.NOT_COORDINATOR, Code.NOT_ENOUGH_REPLICAS,
    Code.NOT_ENOUGH_REPLICAS_AFTER_APPEND, Code.KAFKA_STORAGE_ERROR,
}  # fmt: skip

MEANINGS = {
    Code.ILLEGAL_GENERATION: "the group has a newer generation, its partitions may be another worker's",
    Code.UNKNOWN_MEMBER_ID: "the group does not know this worker any more, its partitions are another's",
    Code.FENCED_INSTANCE_ID: "another process has joined the group as this instance",
    Code.INVALID_PRODUCER_EPOCH: "another process has claimed this transactional id, or the transaction took too long",
    Code.PRODUCER_FENCED: "another process has claimed this transactional id",
    Code.MESSAGE_TOO_LARGE: "raise the topic's max.message.bytes",
    Code.RECORD_LIST_TOO_LARGE: "raise the topic's segment.bytes",
    Code.INVALID_TIMESTAMP: "compare this machine's clock with the broker's",
    Code.TOPIC_AUTHORIZATION_FAILED: "allow this service to write to the topic and to describe it",
    Code.GROUP_AUTHORIZATION_FAILED: "allow this service to read as its consumer group",
    Code.CLUSTER_AUTHORIZATION_FAILED: "allow this service idempotent writes",
    Code.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: "allow this service to write with its transactional id",
}


class Again(Exception):
    """The broker cannot do it now: repeat the request."""


class Refused(Exception):
    """The broker refuses the request, however often it is repeated."""

    def __init__(self, code: Code, about: str | None = None, topic: str | None = None) -> None:
        super().__init__(": ".join(filter(None, (code.name, about, MEANINGS.get(code)))))
        self.code, self.topic = code, topic


class TooOld(Exception):
    """The cluster does not support version 2 of transactions."""


class Brokers:
    """The connections of one producer."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self.last_trouble = settings, ""
        self._client: AIOKafkaClient | None = None
        self._coordinators: dict[tuple[CoordinationType, str], int] = {}

    async def connect(self) -> None:
        """Find the brokers; raise `TooOld` if the cluster is."""
        if self._client is not None:
            return
        client = AIOKafkaClient(**aiokafka_config(self._settings), request_timeout_ms=int(REQUEST_SECONDS * 1000))
        try:
            await client.bootstrap()
            found = await client.send(client.get_random_node(), ApiVersions("order-fulfillment", "1", NO_TAGS))
            if (level := found.level("transaction.version")) < 2:
                raise TooOld(
                    f"Kafka at {self._settings.kafka} has transaction.version {level}, this needs 2: run Kafka 4.0 or "
                    f"newer, and `kafka-features.sh --bootstrap-server {self._settings.kafka} upgrade --feature "
                    "transaction.version=2`"
                )
        except BaseException:
            await client.close()
            raise
        self._client = client

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.close()

    async def until_clear(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Repeat `attempt` while it raises `Again`, and return its result; the caller limits the time."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                return await attempt()
            except (Again, KafkaError) as exc:
                self.last_trouble = str(exc) or type(exc).__name__
            if pause >= LONGEST_PAUSE_SECONDS:
                log.warning("repeating a request to Kafka: %s", self.last_trouble)
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    # --- leaders

    async def partitions(self, topic: str) -> int:
        """Return the number of partitions of a topic; wait until the topic exists."""
        if not self.client.cluster.partitions_for_topic(topic):
            await self.until_clear(partial(self._learn, topic))
        return len(self.client.cluster.partitions_for_topic(topic))

    async def _learn(self, topic: str) -> None:
        self.client.add_topic(topic)
        await self.refresh()
        if topic in self.client.cluster.unauthorized_topics:
            raise Refused(Code.TOPIC_AUTHORIZATION_FAILED, topic)
        if not self.client.cluster.partitions_for_topic(topic):
            raise Again(f"Kafka has no topic {topic}")

    async def by_leader(self, request: Request) -> dict[int, Request]:
        """Return node → batches for it; raise `Again` while a partition has no leader."""
        nodes: dict[int, Request] = defaultdict(dict)
        for tp, batch in request.items():
            leader = self.client.cluster.leader_for_partition(TopicPartition(*tp))
            if leader is None or leader < 0:
                await self.refresh()
                raise Again(f"{tp.topic}/{tp.partition} has no leader")
            nodes[leader][tp] = batch
        return nodes

    async def ask_node(self, node: int, request: Any) -> Any:
        """Send a request to a node; raise `Again` if it does not answer."""
        try:
            return await self.client.send(node, request)
        except KafkaError as exc:
            await self.refresh()
            raise Again(f"{type(exc).__name__}: {exc}") from exc

    async def judge(self, tp: TP, code: int, about: str | None) -> None:
        """Raise `Again` or `Refused`, depending on a partition's error code."""
        where = f"{tp.topic}/{tp.partition}"
        if code not in ASK_AGAIN:
            raise Refused(Code(code), f"{where}: {about}" if about else where, tp.topic)
        if code not in BUSY:
            await self.refresh()
        raise Again(f"{where}: {Code(code).name}")

    async def refresh(self) -> None:
        """Ask again which broker leads which partition."""
        await self.client.force_metadata_update()

    # --- coordinators

    async def ask_coordinator(self, kind: CoordinationType, key: str, request: Any) -> Any:
        """Send a request to the coordinator of a transactional id or a group; raise `Again` if it does not answer."""
        node = self._coordinators.get((kind, key))
        if node is None:
            node = self._coordinators[kind, key] = await self.client.coordinator_lookup(kind, key)
        try:
            return await self.client.send(node, request)
        except KafkaError as exc:
            self._coordinators.pop((kind, key), None)
            raise Again(f"{type(exc).__name__}: {exc}") from exc

    def judge_coordinator(self, kind: CoordinationType, key: str, code: int) -> None:
        """Raise `Again` or `Refused`, depending on a coordinator's error code; return if there is no error."""
        if code == Code.NONE:
            return
        if code not in ASK_AGAIN:
            raise Refused(Code(code))
        if code not in BUSY:
            self._coordinators.pop((kind, key), None)
        raise Again(Code(code).name)

    @property
    def client(self) -> AIOKafkaClient:
        """The client that is connected."""
        assert self._client is not None, "connect() comes first"
        return self._client
