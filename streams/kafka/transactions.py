"""One Kafka transaction per fetch, fenced by the generation of the worker's consumer group (KIP-447).

Aborted                        the transaction was aborted whole; read again from the committed offsets
└── RefusedByKafka             and the broker will not accept it, however often it is sent
Unclear                        its outcome is unknown: the process must end, and its restart finds out
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn

from confluent_kafka import Consumer, KafkaException, TopicPartition
from faust.types import TP
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_random_exponential

from streams.kafka.batches import ANY_PARTITION as ANY_PARTITION
from streams.kafka.batches import Write as Write
from streams.kafka.brokers import Refused
from streams.kafka.clients import librdkafka_config
from streams.kafka.diagnosis import diagnose
from streams.kafka.failover import failover_seconds
from streams.kafka.library_patches import SILENT_SECONDS
from streams.kafka.producer import TransactionalProducer
from streams.kafka.transport import Member
from streams.kafka.wire import Code
from streams.runtime.faults import fault
from streams.runtime.settings import Settings

log = logging.getLogger(__name__)

MARGIN_SECONDS = 2.0  # that a worker waits longer than the broker, which has aborted the transaction by then

# After these errors the transaction can be aborted, and the same one may succeed later.
ABORTABLE = frozenset({
    Code.ILLEGAL_GENERATION, Code.UNKNOWN_MEMBER_ID, Code.FENCED_INSTANCE_ID, Code.STALE_MEMBER_EPOCH,
    Code.REBALANCE_IN_PROGRESS, Code.OUT_OF_ORDER_SEQUENCE_NUMBER, Code.UNKNOWN_PRODUCER_ID, Code.TRANSACTION_ABORTABLE,
})  # fmt: skip

# After these errors the producer cannot abort: it may no longer write.
FENCED = frozenset({
    Code.INVALID_PRODUCER_EPOCH, Code.PRODUCER_FENCED, Code.INVALID_PRODUCER_ID_MAPPING, Code.INVALID_TXN_STATE,
})  # fmt: skip
TOO_LARGE = frozenset({Code.MESSAGE_TOO_LARGE, Code.RECORD_LIST_TOO_LARGE})
# These errors are about the installation, not about the messages.
NOT_ALLOWED = frozenset({
    Code.TOPIC_AUTHORIZATION_FAILED, Code.GROUP_AUTHORIZATION_FAILED, Code.CLUSTER_AUTHORIZATION_FAILED,
    Code.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, Code.INVALID_TIMESTAMP, Code.UNSUPPORTED_FOR_MESSAGE_FORMAT,
})  # fmt: skip


class Aborted(Exception):
    """The transaction was aborted: nothing of it ever becomes visible."""


class RefusedByKafka(Aborted):
    """The broker refuses the messages, however often they are sent; the transaction was aborted."""

    def __init__(self, why: Refused) -> None:
        super().__init__(str(why))
        self.code, self.topic = why.code, why.topic


class Unclear(Exception):
    """The transaction's outcome is unknown, or its producer cannot continue."""


class Transactions:
    """The transactional producer of one worker."""

    def __init__(self, settings: Settings, group: str, instance: str) -> None:
        self.group, self.instance = group, instance
        self._settings, self._patience = settings, settings.transaction_timeout + MARGIN_SECONDS
        transactional_id = f"{group}-{settings.instance}"
        self.producer = TransactionalProducer(settings, transactional_id, settings.transaction_timeout)
        self._turn = asyncio.Lock()
        self._unclear: Unclear | None = None

    async def start(self) -> None:
        """Claim the transactional id, which aborts an earlier owner's open transaction; wait for the broker."""
        await self.producer.claim()
        failover = await failover_seconds(self._settings, self.producer.brokers.client)
        if failover > self._settings.transaction_timeout:  # a transaction must survive the death of a broker
            self.producer.timeout_seconds = failover
            await self.producer.claim()
        self._patience = max(self._patience, failover + MARGIN_SECONDS)

    async def commit(
        self, writes: Iterable[Write], offsets: Mapping[TP, int], member: Member, *, singly: bool = False
    ) -> dict[TP, int]:
        """Send `writes` and commit `offsets` in one transaction; raise `Aborted` or `Unclear`.

        Return the offsets behind `writes` by partition, as far as the broker has told. `singly` puts each write into a
        batch of its own. If the caller is cancelled, the transaction continues.
        """
        transaction = asyncio.ensure_future(self._in_turn(list(writes), dict(offsets), member, singly))
        transaction.add_done_callback(_log_unawaited_error)
        return await asyncio.shield(transaction)

    async def _in_turn(
        self, writes: list[Write], offsets: dict[TP, int], member: Member, singly: bool
    ) -> dict[TP, int]:
        async with self._turn:
            if self._unclear:
                raise self._unclear
            if not writes and not offsets:
                return {}
            try:
                async with asyncio.timeout(self._patience):
                    return await self._transact(writes, offsets, member, singly)
            except TimeoutError:
                trouble = self.producer.brokers.last_trouble
                self._end(f"no answer from Kafka within {self._patience:.0f} s" + (f": {trouble}" if trouble else ""))

    async def _transact(
        self, writes: list[Write], offsets: dict[TP, int], member: Member, singly: bool
    ) -> dict[TP, int]:
        asked = False  # whether a commit was requested: then a refusal may follow a success whose answer was lost
        try:
            fault("begun")
            ends = await self.producer.produce(writes, singly=singly)
            fault("produced")
            await self.producer.send_offsets(self.group, member, self.instance, offsets)
            fault("offsets-sent")
            fault("commit-asked")
            asked = True
            await self.producer.end(commit=True)
            fault("committed")
        except Refused as refused:
            await self._abort(refused, asked)
        return ends

    async def _abort(self, why: Refused, asked: bool) -> NoReturn:
        if why.code in FENCED or (asked and why.code not in ABORTABLE):
            self._end(str(why))
        try:
            await self.producer.end(commit=False)
        except Refused as refused:
            self._end(f"{why}; and aborting: {refused}")
        raise Aborted(str(why)) if why.code in ABORTABLE else RefusedByKafka(why)

    def _end(self, reason: str) -> NoReturn:
        """Refuse this and all later transactions: sent messages may still be part of a transaction."""
        self._unclear = Unclear(reason)
        raise self._unclear from None

    async def stop(self) -> None:
        """Wait for the transaction under way; one that stays open ends with the next owner's claim or its time-out."""
        async with self._turn:
            await self.producer.close()


def _log_unawaited_error(transaction: "asyncio.Future[dict[TP, int]]") -> None:
    if not transaction.cancelled() and (exc := transaction.exception()):
        log.debug("a transaction ended with %r", exc)


async def committed_offsets(
    settings: Settings, group: str, inputs: Iterable[TP], say: Callable[[str | None], None] = lambda _: None
) -> dict[TP, int]:
    """Return the *stable* committed offset of each input partition, 0 if nothing was committed.

    With `read_committed`, librdkafka's `committed` waits until no transaction of an earlier owner is pending (KIP-447).
    """
    wanted = [TopicPartition(tp.topic, tp.partition) for tp in inputs]
    if not wanted:
        return {}
    reader: Any = None
    try:
        async for attempt in _while_broker_is_unreachable(settings, say):
            with attempt:
                if reader is None:
                    reader = await asyncio.to_thread(_reader, settings, group, wanted[0].topic)
                found = await asyncio.to_thread(reader.committed, wanted, settings.transaction_timeout + 5)
        return {TP(tp.topic, tp.partition): max(tp.offset, 0) for tp in found}
    finally:
        say(None)
        if reader is not None:
            await asyncio.to_thread(reader.close)


def _reader(settings: Settings, group: str, topic: str) -> Consumer:
    """Return a consumer that asks another of several brokers soon if one is silent; it may wait for a token."""
    reading = {"group.id": group, "isolation.level": "read_committed"}
    reader = Consumer(librdkafka_config(settings) | reading)
    try:
        brokers = reader.list_topics(topic, settings.transaction_timeout + 5).brokers
    except BaseException:
        reader.close()
        raise
    if len(brokers) < 2:
        return reader
    reader.close()
    return Consumer(librdkafka_config(settings) | reading | {"socket.timeout.ms": int(SILENT_SECONDS * 1000)})


def _while_broker_is_unreachable(settings: Settings, say: Callable[[str | None], None]) -> AsyncRetrying:
    async def unreachable(state: RetryCallState) -> None:
        if state.outcome is not None:
            trouble = await diagnose(settings) or f"Kafka is unreachable: {state.outcome.exception()}"
            say(str(trouble))
            log.warning("%s; retrying", trouble)

    return AsyncRetrying(
        retry=retry_if_exception(lambda exc: isinstance(exc, KafkaException) and not exc.args[0].fatal()),
        wait=wait_random_exponential(multiplier=0.1, max=5),
        before_sleep=unreachable,
    )
