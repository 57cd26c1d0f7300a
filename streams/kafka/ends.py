"""The ends of partitions: for readers of committed records, and with records of open transactions."""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import NamedTuple

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError, LeaderNotAvailableError, for_code
from aiokafka.protocol.offset import OffsetRequest
from aiokafka.structs import TopicPartition

ANY_CLIENT, LATEST = -1, -1
UNCOMMITTED, COMMITTED = 0, 1  # isolation levels


class Ends(NamedTuple):
    """The end of a partition. An open transaction holds back everything between the two offsets.

    `stable`: the last stable offset, up to which readers of committed records get; `high`: the high watermark.
    """

    stable: int
    high: int

    @property
    def held(self) -> int:
        """The number of offsets that an open transaction holds back."""
        return self.high - self.stable


async def ends_of(client: AIOKafkaClient, partitions: Collection[tuple[str, int]]) -> dict[tuple[str, int], Ends]:
    """Return the ends of partitions, with two requests to their leaders; raise `KafkaError` if one does not answer."""
    nodes = by_leader(client, partitions)
    # The high watermark first, so that a transaction committed in between does not look open.
    high, stable = await asyncio.gather(*(_ends(client, nodes, level) for level in (UNCOMMITTED, COMMITTED)))
    return {at: Ends(min(stable[at], high[at]), high[at]) for at in high}


def by_leader(
    client: AIOKafkaClient, partitions: Collection[tuple[str, int]]
) -> dict[int, dict[str, list[int]]]:  # fmt: skip
    """Return node → topic → partitions; raise `LeaderNotAvailableError` if `client` knows no leader of one."""
    nodes: dict[int, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for topic, partition in sorted(partitions):
        leader = client.cluster.leader_for_partition(TopicPartition(topic, partition))
        if leader is None or leader < 0:
            client.force_metadata_update()
            raise LeaderNotAvailableError(f"{topic}/{partition}")
        nodes[leader][topic].append(partition)
    return nodes


async def _ends(
    client: AIOKafkaClient, nodes: Mapping[int, Mapping[str, list[int]]], level: int
) -> dict[tuple[str, int], int]:
    found = {}
    for node, topics in nodes.items():
        asked = [(topic, [(number, LATEST) for number in numbers]) for topic, numbers in topics.items()]
        answer = await client.send(node, OffsetRequest(ANY_CLIENT, level, asked))
        for topic, partitions in answer.topics:
            for partition, code, _, offset, *_ in partitions:
                if code:
                    client.force_metadata_update()  # another broker may lead it now
                    raise for_code(code)(f"{topic}/{partition}")
                found[topic, partition] = offset
    return found


async def led(client: AIOKafkaClient, partitions: Collection[tuple[str, int]]) -> set[tuple[str, int]]:
    """Return the partitions whose leader answers, as far as `client` knows the leaders."""
    nodes: dict[int, list[tuple[str, int]]] = defaultdict(list)
    for topic, partition in partitions:
        leader = client.cluster.leader_for_partition(TopicPartition(topic, partition))
        if leader is not None and leader >= 0:
            nodes[leader].append((topic, partition))
    found = await asyncio.gather(*(_answered(client, node, asked) for node, asked in nodes.items()))
    return set().union(*found)


async def _answered(client: AIOKafkaClient, node: int, partitions: list[tuple[str, int]]) -> set[tuple[str, int]]:
    asked: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for topic, partition in partitions:
        asked[topic].append((partition, LATEST))
    try:
        answer = await client.send(node, OffsetRequest(ANY_CLIENT, UNCOMMITTED, list(asked.items())))
    except KafkaError:
        return set()
    return {(topic, partition) for topic, found in answer.topics for partition, code, *_ in found if not code}
