"""One fenced Kafka transaction a fetch (KIP-447): our producer writes, the generation of Faust's consumer group fences.

Aborted                        thrown away whole; read again from what is committed
Unclear                        nobody knows whether it was committed: the process must end, its restart finds out
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import NoReturn

from confluent_kafka import Consumer, KafkaException, TopicPartition
from faust.types import TP
from tenacity import AsyncRetrying, RetryCallState, before_sleep_log, retry_if_exception, wait_random_exponential

from .batches import ANY_PARTITION as ANY_PARTITION
from .batches import Write as Write
from .brokers import Refused
from .faults import fault
from .producer import TransactionalProducer
from .settings import Settings
from .transport import Member
from .wire import Code

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 12.0  # the whole transaction: by then the broker has aborted it

# After these the transaction can be aborted, and the next one begun. Anything else is about the producer itself.
ABORTABLE = frozenset({
    Code.ILLEGAL_GENERATION, Code.UNKNOWN_MEMBER_ID, Code.FENCED_INSTANCE_ID, Code.STALE_MEMBER_EPOCH,
    Code.REBALANCE_IN_PROGRESS, Code.OUT_OF_ORDER_SEQUENCE_NUMBER, Code.UNKNOWN_PRODUCER_ID, Code.TRANSACTION_ABORTABLE,
})  # fmt: skip


class Aborted(Exception):
    """The transaction was aborted: nothing of it was or will be seen."""


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

    async def commit(self, writes: Iterable[Write], offsets: Mapping[TP, int], member: Member) -> None:
        """Send `writes` and commit `offsets` as one; raise `Aborted` when nothing happened, `Unclear` when unknown.

        Who is cancelled while it waits leaves a transaction that goes on to its end.
        """
        transaction = asyncio.ensure_future(self._in_turn(list(writes), dict(offsets), member))
        transaction.add_done_callback(_say_what_nobody_waits_for)
        await asyncio.shield(transaction)

    async def _in_turn(self, writes: list[Write], offsets: dict[TP, int], member: Member) -> None:
        async with self._turn:
            if self._unclear:
                raise self._unclear
            if not writes and not offsets:
                return
            try:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await self._transact(writes, offsets, member)
            except TimeoutError:
                trouble = self.producer.brokers.last_trouble
                self._end(f"no answer from Kafka within {PATIENCE_SECONDS:.0f} s" + (f": {trouble}" if trouble else ""))

    async def _transact(self, writes: list[Write], offsets: dict[TP, int], member: Member) -> None:
        try:
            fault("begun")
            await self.producer.produce(writes)
            fault("produced")
            await self.producer.send_offsets(self.group, member, self.instance, offsets)
            fault("offsets-sent")
            fault("commit-asked")
            await self.producer.end(commit=True)
            fault("committed")
        except Refused as refused:
            await self._abort(refused)

    async def _abort(self, why: Refused) -> NoReturn:
        if why.code not in ABORTABLE:
            self._end(str(why))
        try:
            await self.producer.end(commit=False)
        except Refused as refused:
            self._end(f"{why}; and aborting: {refused}")
        raise Aborted(str(why))

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
