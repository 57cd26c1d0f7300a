"""A transactional producer over aiokafka's connections: all partitions in one request, on the caller's loop.

Every call repeats its request until the answer is clear, so the caller limits the time. `Refused` is raised if a repeat
cannot help.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from aiokafka.client import CoordinationType
from faust.types import TP

from streams.kafka.batches import Producer, Request, Write, record_count, requests
from streams.kafka.brokers import REQUEST_SECONDS, Again, Brokers
from streams.kafka.wire import NO_TAGS, Code, EndTxn, InitProducerId, Produce, TxnOffsetCommit
from streams.runtime.settings import Settings

NOBODY = Producer(-1, -1)
ALL_REPLICAS, NO_LEADER_EPOCH, NO_METADATA = -1, -1, ""
WRITTEN = frozenset({Code.NONE, Code.DUPLICATE_SEQUENCE_NUMBER})  # a duplicate means that the first answer was lost


class TransactionalProducer:
    """Writes one transaction at a time: any number of `produce` and `send_offsets`, then `end`."""

    def __init__(self, settings: Settings, transactional_id: str, timeout_seconds: float) -> None:
        self.transactional_id, self.timeout_seconds = transactional_id, timeout_seconds
        self.brokers = Brokers(settings)
        self._me = NOBODY

    async def claim(self) -> None:
        """Claim the transactional id, which aborts an earlier owner's open transaction; raise `TooOld` if it must."""
        await self.brokers.until_clear(self.brokers.connect)
        await self._renew(InitProducerId(self.transactional_id, int(self.timeout_seconds * 1000), *NOBODY, NO_TAGS))

    async def produce(self, writes: Iterable[Write], *, singly: bool = False) -> dict[TP, int]:
        """Send messages in as few requests as possible; `singly` sends each in a batch of its own.

        Return the offsets behind them by partition, as far as the broker has told: not if an answer was lost.
        """
        writes, ends = list(writes), dict[TP, int]()
        counts = {topic: await self.brokers.partitions(topic) for topic in {write.topic for write in writes}}
        for request in requests(writes, counts, self._me, singly=singly):
            await self.brokers.until_clear(partial(self._send, request, ends))
        return ends

    async def send_offsets(
        self, group: str, member: tuple[int, str], instance: str | None, offsets: Mapping[TP, int]
    ) -> None:
        """Make consumed offsets part of the transaction, if `member` (generation, id) is still in the group."""
        topics = defaultdict(list)
        for tp, offset in offsets.items():
            topics[tp.topic].append((tp.partition, offset, NO_LEADER_EPOCH, NO_METADATA, NO_TAGS))
        who = (self.transactional_id, group, *self._me, *member, instance)
        if offsets:
            request = TxnOffsetCommit(*who, _tagged(topics), NO_TAGS)
            await self.brokers.until_clear(partial(self._send_offsets, group, request))

    async def end(self, *, commit: bool) -> None:
        """Commit or abort; if an answer is lost, the request is repeated, which Kafka recognises."""
        await self._renew(EndTxn(self.transactional_id, *self._me, commit, NO_TAGS))

    async def close(self) -> None:
        """Close the connections; an open transaction ends with the next owner's claim or its time-out."""
        await self.brokers.close()

    # --- one attempt each

    async def _renew(self, request: InitProducerId | EndTxn) -> None:
        self._me = await self.brokers.until_clear(partial(self._asked, request))

    async def _asked(self, request: InitProducerId | EndTxn) -> Producer:
        coordinator = CoordinationType.TRANSACTION, self.transactional_id
        answer = await self.brokers.ask_coordinator(*coordinator, request)
        self.brokers.judge_coordinator(*coordinator, answer.error_code)
        return Producer(answer.producer_id, answer.producer_epoch)

    async def _send_offsets(self, group: str, request: TxnOffsetCommit) -> None:
        answer = await self.brokers.ask_coordinator(CoordinationType.GROUP, group, request)
        for _, partitions, _ in answer.topics:
            for _, code, _ in partitions:
                self.brokers.judge_coordinator(CoordinationType.GROUP, group, code)

    async def _send(self, left: Request, ends: dict[TP, int]) -> None:
        """Send the rest of a request to the partitions' leaders, and move the batches that were written to `ends`."""
        nodes = await self.brokers.by_leader(left)
        sent = [self._send_to(node, batches, left, ends) for node, batches in nodes.items()]
        troubles = [each for each in await asyncio.gather(*sent, return_exceptions=True) if each]
        for trouble in sorted(troubles, key=lambda each: isinstance(each, Again)):
            raise trouble  # refusals first, because a repeat cannot help

    async def _send_to(self, node: int, batches: Request, left: Request, ends: dict[TP, int]) -> None:
        topics = defaultdict(list)
        for tp, batch in batches.items():
            topics[tp.topic].append((tp.partition, batch, NO_TAGS))
        who = (self.transactional_id, ALL_REPLICAS, int(REQUEST_SECONDS * 1000))
        answer = await self.brokers.ask_node(node, Produce(*who, _tagged(topics), NO_TAGS))
        troubles = []
        for topic, partitions, _ in answer.topics:
            for partition, code, offset, *_, about, _ in partitions:
                tp = TP(topic, partition)
                if code in WRITTEN:
                    count = record_count(left.pop(tp))
                    if offset >= 0:  # a duplicate may be too old for the broker to know its offset
                        ends[tp] = offset + count
                else:
                    troubles.append((tp, code, about))
        for trouble in troubles:
            await self.brokers.judge(*trouble)


def _tagged(topics: Mapping[str, list[Any]]) -> list[tuple[str, list[Any], dict[int, bytes]]]:
    return [(topic, partitions, NO_TAGS) for topic, partitions in topics.items()]
