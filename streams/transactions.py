"""One fenced Kafka transaction a fetch (KIP-447): librdkafka writes, the generation of Faust's consumer group fences.

Aborted                        thrown away whole; read again from what is committed
Unclear                        nobody knows whether it was committed: the process must end, its restart finds out
"""

import asyncio
import logging
import struct
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from faust.types import TP
from tenacity import AsyncRetrying, before_sleep_log, retry_if_exception, wait_random_exponential

from .faults import fault
from .settings import Settings
from .topics import LARGEST_LETTER
from .transport import Member

log = logging.getLogger(__name__)

ANY_PARTITION = -1  # by the key, as Kafka's Java client does (murmur2)
COMMIT_SECONDS = 5.0  # each of a transaction's calls; asked again while the error is retriable
PATIENCE_SECONDS = 12.0  # the whole transaction: by then the broker has aborted it


class Aborted(Exception):
    """The transaction was aborted: nothing of it was or will be seen."""


class Unclear(Exception):
    """The transaction's fate is unknown, or its producer cannot go on."""


class Write(NamedTuple):
    """A message to send; a partition of `ANY_PARTITION` means: by key."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]] | None = None


def group_metadata(group: str, member: Member, instance: str | None) -> bytes:
    """Return what librdkafka 2.x serialises as consumer group metadata, of a consumer that is not librdkafka's."""
    end = b"\x01" if instance is None else b"\x00" + instance.encode() + b"\0"
    return (
        b"CGMDv2:"
        + struct.pack("<i", member.generation)
        + group.encode()
        + b"\0"
        + member.member_id.encode()
        + b"\0"
        + end
    )


class Transactions:
    """The transactional producer of one worker; all its calls block, so they run on a thread of their own."""

    def __init__(self, settings: Settings, group: str, instance: str) -> None:
        self.group, self.instance = group, instance
        self._producer = Producer(
            {
                "bootstrap.servers": settings.kafka,
                "transactional.id": f"{group}-{settings.instance}",
                "transaction.timeout.ms": int(settings.transaction_timeout * 1000),
                "partitioner": "murmur2_random",
                "linger.ms": 0,
                # A transaction begun while the last one's markers are still written is refused and asked again: after
                # librdkafka's own 100 ms every second transaction under load took that long.
                "retry.backoff.ms": 1,
                "retry.backoff.max.ms": 10,
                "message.max.bytes": LARGEST_LETTER,
                "queue.buffering.max.messages": 1_000_000,
                "queue.buffering.max.kbytes": 1 << 20,
            },
            logger=log,
        )
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="transactions")

    async def start(self) -> None:
        """Claim the transactional id: what an earlier owner left open is aborted. Waits while the broker is away."""
        async for attempt in _while_broker_is_away():
            with attempt:
                await self._call(self._producer.init_transactions, COMMIT_SECONDS)

    async def commit(self, writes: Iterable[Write], offsets: Mapping[TP, int], member: Member) -> None:
        """Send `writes` and commit `offsets` as one; raise `Aborted` when nothing happened, `Unclear` when unknown."""
        positions = [TopicPartition(tp.topic, tp.partition, offset) for tp, offset in offsets.items()]
        metadata = group_metadata(self.group, member, self.instance)
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self._call(self._commit, list(writes), positions, metadata)
        except TimeoutError:  # seen with a broker killed in mid-transaction: librdkafka forgets its own time-outs
            raise Unclear(f"no answer from Kafka's client within {PATIENCE_SECONDS:.0f} s") from None

    def _commit(self, writes: list[Write], positions: list[TopicPartition], metadata: bytes) -> None:
        try:
            self._producer.begin_transaction()
            fault("begun")
            for topic, partition, key, value, headers in writes:
                self._produce(topic, partition, key, value, headers)
            fault("produced")
            self._until_clear(self._producer.send_offsets_to_transaction, positions, metadata, COMMIT_SECONDS)
            fault("offsets-sent")
            fault("commit-asked")
            self._until_clear(self._producer.commit_transaction, COMMIT_SECONDS)
            fault("committed")
        except KafkaException as exc:
            self._abort(exc.args[0])

    def _produce(self, topic: str, partition: int, key: bytes | None, value: bytes | None, headers: Any) -> None:
        while True:
            try:
                self._producer.produce(topic, value=value, key=key, partition=partition, headers=headers)
                return
            except BufferError:
                self._producer.poll(0.1)  # librdkafka's queue is full: let it send

    @staticmethod
    def _until_clear(call: Any, *args: Any) -> None:
        for _ in range(3):
            try:
                call(*args)
                return
            except KafkaException as exc:
                if not exc.args[0].retriable():
                    raise
                log.warning("%s: %s; asking again", call.__name__, exc.args[0].str())
        call(*args)

    def _abort(self, error: KafkaError) -> None:
        if error.fatal() or not error.txn_requires_abort():
            raise Unclear(f"{error.name()}: {error.str()}")
        try:
            self._until_clear(self._producer.abort_transaction, COMMIT_SECONDS)
        except KafkaException as exc:
            raise Unclear(f"abort: {exc.args[0].str()}") from exc
        raise Aborted(f"{error.name()}: {error.str()}")

    async def _call(self, function: Any, *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *args)

    async def stop(self) -> None:
        """End the thread; an open transaction is left to the next owner's start, or to its time-out."""
        await asyncio.to_thread(self._thread.shutdown)


async def committed_offsets(settings: Settings, group: str, inputs: Iterable[TP]) -> dict[TP, int]:
    """Return the *stable* committed offset of each input partition, 0 where nothing was committed.

    librdkafka's `committed` under read_committed waits until no transaction of an earlier owner is pending (KIP-447).
    """
    wanted = [TopicPartition(tp.topic, tp.partition) for tp in inputs]
    if not wanted:
        return {}
    reader = Consumer({"bootstrap.servers": settings.kafka, "group.id": group, "isolation.level": "read_committed"})
    try:
        async for attempt in _while_broker_is_away():
            with attempt:
                found = await asyncio.to_thread(reader.committed, wanted, settings.transaction_timeout + 5)
        return {TP(tp.topic, tp.partition): max(tp.offset, 0) for tp in found}
    finally:
        await asyncio.to_thread(reader.close)


def _while_broker_is_away() -> AsyncRetrying:
    return AsyncRetrying(
        retry=retry_if_exception(lambda exc: isinstance(exc, KafkaException) and not exc.args[0].fatal()),
        wait=wait_random_exponential(multiplier=0.1, max=5),
        before_sleep=before_sleep_log(log, logging.WARNING),
    )
