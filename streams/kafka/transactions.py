"""One fenced Kafka transaction a fetch (KIP-447): our producer writes, the generation of Faust's consumer group fences.

Aborted                        thrown away whole; read again from what is committed
└── RefusedByKafka             and the broker will not take it, however often it is sent
Unclear                        nobody knows whether it was committed: the process must end, its restart finds out
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import NoReturn

from confluent_kafka import Consumer, KafkaException, TopicPartition
from faust.types import TP
from tenacity import AsyncRetrying, RetryCallState, before_sleep_log, retry_if_exception, wait_random_exponential

from streams.kafka.batches import ANY_PARTITION as ANY_PARTITION
from streams.kafka.batches import Write as Write
from streams.kafka.brokers import Refused
from streams.kafka.producer import TransactionalProducer
from streams.kafka.transport import Member
from streams.kafka.wire import Code
from streams.runtime.faults import fault
from streams.runtime.settings import Settings

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 12.0  # the whole transaction: by then the broker has aborted it

# After these the transaction can be aborted, and the same one may succeed later.
ABORTABLE = frozenset({
    Code.ILLEGAL_GENERATION, Code.UNKNOWN_MEMBER_ID, Code.FENCED_INSTANCE_ID, Code.STALE_MEMBER_EPOCH,
    Code.REBALANCE_IN_PROGRESS, Code.OUT_OF_ORDER_SEQUENCE_NUMBER, Code.UNKNOWN_PRODUCER_ID, Code.TRANSACTION_ABORTABLE,
})  # fmt: skip

# After these there is nothing to abort with: the producer itself is no longer the one that may write.
FENCED = frozenset({
    Code.INVALID_PRODUCER_EPOCH, Code.PRODUCER_FENCED, Code.INVALID_PRODUCER_ID_MAPPING, Code.INVALID_TXN_STATE,
})  # fmt: skip
TOO_LARGE = frozenset({Code.MESSAGE_TOO_LARGE, Code.RECORD_LIST_TOO_LARGE})
# These are about the installation, whatever is sent.
NOT_ALLOWED = frozenset({
    Code.TOPIC_AUTHORIZATION_FAILED, Code.GROUP_AUTHORIZATION_FAILED, Code.CLUSTER_AUTHORIZATION_FAILED,
    Code.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, Code.INVALID_TIMESTAMP, Code.UNSUPPORTED_FOR_MESSAGE_FORMAT,
})  # fmt: skip


class Aborted(Exception):
    """The transaction was aborted: nothing of it was or will be seen."""


class RefusedByKafka(Aborted):
    """The broker will not take what was sent, however often it is sent; the transaction was aborted."""

    def __init__(self, why: Refused) -> None:
        super().__init__(str(why))
        self.code, self.topic = why.code, why.topic


class Unclear(Exception):
    """The transaction's fate is unknown, or its producer cannot go on."""


class Transactions:
    """The transactional producer of one worker."""

    def __init__(self, settings: Settings, group: str, instance: str) -> None:
        self.group, self.instance = group, instance
        transactional_id = f"{group}-{settings.instance}"
        self.producer = TransactionalProducer(settings.kafka, transactional_id, settings.transaction_timeout)
        self._turn = asyncio.Lock()
        self._unclear: Unclear | None = None

    async def start(self) -> None:
        """Claim the transactional id: what an earlier owner left open is aborted. Waits while the broker is away."""
        await self.producer.claim()

    async def commit(
        self, writes: Iterable[Write], offsets: Mapping[TP, int], member: Member, *, singly: bool = False
    ) -> None:
        """Send `writes` and commit `offsets` as one; raise `Aborted` when nothing happened, `Unclear` when unknown.

        `singly`: each write in a batch of its own. When the caller is cancelled, the transaction still goes on.
        """
        transaction = asyncio.ensure_future(self._in_turn(list(writes), dict(offsets), member, singly))
        transaction.add_done_callback(_say_what_nobody_waits_for)
        await asyncio.shield(transaction)

    async def _in_turn(self, writes: list[Write], offsets: dict[TP, int], member: Member, singly: bool) -> None:
        async with self._turn:
            if self._unclear:
                raise self._unclear
            if not writes and not offsets:
                return
            try:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await self._transact(writes, offsets, member, singly)
            except TimeoutError:
                trouble = self.producer.brokers.last_trouble
                self._end(f"no answer from Kafka within {PATIENCE_SECONDS:.0f} s" + (f": {trouble}" if trouble else ""))

    async def _transact(self, writes: list[Write], offsets: dict[TP, int], member: Member, singly: bool) -> None:
        asked = False  # to commit: from then on, a refusal may come after a success whose answer was lost
        try:
            fault("begun")
            await self.producer.produce(writes, singly=singly)
            fault("produced")
            await self.producer.send_offsets(self.group, member, self.instance, offsets)
            fault("offsets-sent")
            fault("commit-asked")
            asked = True
            await self.producer.end(commit=True)
            fault("committed")
        except Refused as refused:
            await self._abort(refused, asked)

    async def _abort(self, why: Refused, asked: bool) -> NoReturn:
        if why.code in FENCED or (asked and why.code not in ABORTABLE):
            self._end(str(why))
        try:
            await self.producer.end(commit=False)
        except Refused as refused:
            self._end(f"{why}; and aborting: {refused}")
        raise Aborted(str(why)) if why.code in ABORTABLE else RefusedByKafka(why)

    def _end(self, reason: str) -> NoReturn:
        """Go on with nothing, whoever asks: what was sent may still be part of a transaction."""
        self._unclear = Unclear(reason)
        raise self._unclear from None

    async def stop(self) -> None:
        """Wait for the transaction under way; one that is left open is the next owner's, or its time-out's."""
        async with self._turn:
            await self.producer.close()


def _say_what_nobody_waits_for(transaction: "asyncio.Future[None]") -> None:
    if not transaction.cancelled() and (exc := transaction.exception()):
        log.debug("a transaction ended with %r", exc)


async def committed_offsets(
    settings: Settings, group: str, inputs: Iterable[TP], say: Callable[[str | None], None] = lambda _: None
) -> dict[TP, int]:
    """Return the *stable* committed offset of each input partition, 0 where nothing was committed.

    librdkafka's `committed` under read_committed waits until no transaction of an earlier owner is pending (KIP-447).
    """
    wanted = [TopicPartition(tp.topic, tp.partition) for tp in inputs]
    if not wanted:
        return {}
    reader = Consumer({"bootstrap.servers": settings.kafka, "group.id": group, "isolation.level": "read_committed"})
    try:
        async for attempt in _while_broker_is_away(say):
            with attempt:
                found = await asyncio.to_thread(reader.committed, wanted, settings.transaction_timeout + 5)
        return {TP(tp.topic, tp.partition): max(tp.offset, 0) for tp in found}
    finally:
        say(None)
        await asyncio.to_thread(reader.close)


def _while_broker_is_away(say: Callable[[str | None], None]) -> AsyncRetrying:
    warn = before_sleep_log(log, logging.WARNING)

    def away(state: RetryCallState) -> None:
        if state.outcome is not None:
            say(f"Kafka is away: {state.outcome.exception()}")
        warn(state)

    return AsyncRetrying(
        retry=retry_if_exception(lambda exc: isinstance(exc, KafkaException) and not exc.args[0].fatal()),
        wait=wait_random_exponential(multiplier=0.1, max=5),
        before_sleep=away,
    )
