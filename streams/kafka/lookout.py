"""Looks who leads partitions, while commands wait for a leader.

A client of aiokafka finds out that a broker is silent when a request to it has timed out, and may then ask the same
broker who replaced it. A lookout has connections of its own, and asks the brokers last that did not answer before. So
it finds a new leader a moment after its election.
"""

from collections.abc import Collection, Iterable
from types import TracebackType
from typing import Any, Self

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import IllegalSaslStateError, KafkaConnectionError, KafkaError

from streams.kafka.clients import aiokafka_config
from streams.kafka.ends import led
from streams.kafka.library_patches import hang_up
from streams.kafka.metadata import in_any_order, request_for
from streams.runtime.settings import Settings

Partition = tuple[str, int]  # the topic has its full name


class Lookout:
    """Asks the brokers for the leaders of some topics; `known` are brokers besides the configured ones."""

    def __init__(self, settings: Settings, topics: Collection[str], known: Iterable[Any], limit_ms: int) -> None:
        self._topics, self._silent = topics, set[int]()
        self._client = AIOKafkaClient(**aiokafka_config(settings, known), request_timeout_ms=limit_ms)

    async def __aenter__(self) -> Self:
        try:
            await self._client.bootstrap()
        except BaseException:
            await self._client.close()
            raise
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        await self._client.close()

    async def look(self) -> Any:
        """Return the metadata that some broker has; raise `KafkaError` if none answers."""
        error: KafkaError = KafkaConnectionError("no broker is known")
        for node in in_any_order(self._client, self._silent):
            try:
                answer = await self._client.send(node, request_for(self._topics))
                if not answer.brokers:
                    raise IllegalSaslStateError("the broker has refused the login")
            except KafkaError as trouble:
                self._silent.add(node)
                error = trouble
            else:
                self._silent.discard(node)
                self._client.cluster.update_metadata(answer)
                return answer
        raise error

    async def led(self, partitions: Collection[Partition]) -> set[Partition]:
        """Return the partitions whose leader answers, by the metadata of the last look."""
        return await led(self._client, partitions)


def tell(client: AIOKafkaClient, metadata: Any) -> None:
    """Let another client know what a lookout saw, and give up its requests to brokers that the cluster has given up."""
    client.cluster.update_metadata(metadata)
    hang_up(client)
