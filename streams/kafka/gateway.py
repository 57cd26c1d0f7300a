"""Sends commands to Kafka: they are durable when `send` returns.

GatewayUnavailable             Kafka did not accept the commands in time; commands `on_their_way` may still be handled
CommandTooLarge                a command is larger than its topic accepts, and was not sent
"""

import asyncio
import logging
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    BrokerResponseError,
    KafkaError,
    MessageSizeTooLargeError,
    ProducerClosed,
    RecordListTooLargeError,
)

from streams.kafka.clients import aiokafka_config
from streams.kafka.failover import failover_seconds, may_fail_over
from streams.kafka.library_patches import abandon
from streams.kafka.lookout import Lookout, Partition, tell
from streams.kafka.metadata import check_topics
from streams.kafka.partitions import partition_of
from streams.kafka.pulse import Pulse, why_not
from streams.messages.envelope import CONTENT_TYPE, CommandMessage
from streams.runtime.settings import Settings
from streams.topics import Topic, largest_batches
from streams.topology import AGGREGATES
from streams.tracing import traces

log = logging.getLogger(__name__)

RETRY_SECONDS = 0.5  # pause between attempts to reach Kafka
LATE_SECONDS = 0.5  # after this time without an acknowledgement, another broker may lead the partition
LOOK_SECONDS = 0.25  # pause between two looks who leads the partitions that commands wait for
LOOK_MS = 1000  # time limit of each request of such a look, if other brokers may answer instead
LONG_LOOK_MS = 5000  # its time limit on one broker
START_SECONDS = 30.0
STOP_SECONDS = 1.0
BATCH_BYTES = 256 << 10
REQUEST_BYTES = 64 << 20  # limit of one message, above the limit of any topic
OVERHEAD_BYTES = 160  # the size of a batch and a record with our header, besides key and value
LIMIT_SECONDS = 1.0  # before a command is refused, an older limit is read again


class GatewayUnavailable(Exception):
    """Kafka did not accept the commands in time; commands whose ids are `on_their_way` may still be handled."""

    def __init__(self, message: str, on_their_way: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.on_their_way = tuple(on_their_way)


class CommandTooLarge(Exception):
    """A command is larger, as a message, than its topic accepts."""

    def __init__(self, topic: str, size: int, limit: int | None) -> None:
        accepts = "less" if limit is None else f"at most {limit}"
        super().__init__(
            f"the command has {size} bytes as a message, and the topic {topic} accepts {accepts}: send a smaller "
            "command, or raise the topic's max.message.bytes"
        )
        self.topic, self.size, self.limit = topic, size, limit


class _Sending(NamedTuple):
    """A command to send."""

    topic: str
    key: bytes
    value: bytes

    @property
    def size(self) -> int:
        """Its size in the log in bytes, as a batch of its own."""
        return len(self.key) + len(self.value) + OVERHEAD_BYTES


def _partition(key: bytes, every: Sequence[int], available: Sequence[int]) -> int:
    return every[partition_of(key, len(every))]


def _not_acknowledged(commands: Sequence[_Sending], futures: "Sequence[asyncio.Future[Any]]") -> list[_Sending]:
    written = [future.done() and not future.cancelled() and not future.exception() for future in futures]
    written += [False] * (len(commands) - len(written))
    return [one for one, well in zip(commands, written, strict=True) if not well]


async def _end(producer: AIOKafkaProducer, seconds: float = STOP_SECONDS) -> None:
    """End a producer; it has some time to send its remaining messages."""
    stopped = False
    try:
        with suppress(TimeoutError, KafkaError):
            await asyncio.wait_for(producer.stop(), seconds)
            stopped = True
    finally:
        if not stopped:
            await abandon(producer, STOP_SECONDS)


class Gateway:
    """An idempotent producer of commands, which starts as soon as Kafka is reachable.

    If a partition does not accept a command in time, it is `silent`: commands for it are refused at once, because one
    that was buffered would be sent later. Commands for other partitions are sent as usual.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._producer: AIOKafkaProducer | None = None
        self._starting: asyncio.Task[None] | None = None
        self._pulse: Pulse | None = None
        self._why = ""  # Kafka has not been reached
        self._looking: asyncio.Task[None] | None = None  # looks for the leaders that commands wait for
        self._late = set[object]()  # one for each call of `send` that has waited for long
        self._silent: dict[Partition, AIOKafkaProducer] = {}  # with the producer that it did not accept a command from
        self.patience = settings.command_timeout  # seconds until a send is given up
        self._limits: dict[str, int] = {}  # topic → bytes of its largest batch, as far as known
        self._limits_asked = 0.0
        self._renewing, self._ending = asyncio.Lock(), set[asyncio.Task[None]]()
        self._topics = {
            name: settings.named(aggregate.commands.name)
            for aggregate in AGGREGATES.values()
            for name in aggregate.types
        }

    async def away(self) -> str | None:
        """Return why commands cannot be sent now; None if they can."""
        if self._producer is None:
            return self._why or "Kafka has not been reached yet"
        topics, client = set(self._topics.values()), self._producer.client
        self._pulse = self._pulse or Pulse(self._settings, partial(check_topics, client, topics), topics)
        return None if not self._all_silent and await self._pulse.beats() else self._pulse.why

    @property
    def _all_silent(self) -> bool:
        return len(self._silent) >= len(self._partitions())

    def _partitions(self) -> set[Partition]:
        names = set(self._topics.values())
        return {(name, number) for name in names for number in range(self._settings.partitions)}

    async def start(self) -> None:
        """Start connecting and return at once, so that the process answers while Kafka is unreachable."""
        self._starting = asyncio.create_task(self._reach())

    async def stop(self) -> None:
        """Send the commands under way, for up to a second, then stop."""
        waiting = list(filter(None, (self._starting, self._looking)))
        for task in waiting:
            task.cancel()
        if self._producer:
            self._ending.add(asyncio.create_task(_end(self._producer)))
        if under_way := {*waiting, *self._ending}:
            _, late = await asyncio.wait(under_way, timeout=STOP_SECONDS)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=STOP_SECONDS)

    async def send(self, messages: Sequence[CommandMessage], topic: Topic | None = None) -> None:
        """Return when all `messages` are durable; raise `GatewayUnavailable` if that takes too long.

        Raise `CommandTooLarge` if a command is larger than its topic accepts. `topic` is the destination of commands
        that both kinds of aggregate handle.
        """
        producer = self._producer
        if producer is None:
            raise GatewayUnavailable("Kafka has not been reached yet: nothing was sent")
        commands = [self._encoded(message, topic) for message in messages]
        if self._silent:
            self._refuse_silent(commands)
        began, acknowledged = time.time_ns(), list[asyncio.Future[Any]]()
        try:
            with self._noticed(producer):
                async with asyncio.timeout(self.patience):
                    await self._send(producer, commands, acknowledged)
        except (TimeoutError, KafkaError) as error:
            self._find_silent(producer, _not_acknowledged(commands, acknowledged))
            reason = f"Kafka did not accept it in time ({type(error).__name__}); it may still be handled"
            raise GatewayUnavailable(reason, [message.id for message in messages]) from error
        if traces.ON is not None:
            traces.sent(traces.ON, messages, began, time.time_ns())

    @contextmanager
    def _noticed(self, producer: AIOKafkaProducer) -> Iterator[None]:
        """Look for new leaders if commands are not acknowledged soon, and another broker could take over."""
        if not self._several(producer):
            yield
            return
        call = object()

        def late() -> None:
            self._late.add(call)
            self._look_for_leaders()

        timer = asyncio.get_running_loop().call_later(LATE_SECONDS, late)
        try:
            yield
        finally:
            timer.cancel()
            self._late.discard(call)

    def _several(self, producer: AIOKafkaProducer) -> bool:
        return may_fail_over(self._settings, producer.client)

    def _encoded(self, message: CommandMessage, topic: Topic | None) -> _Sending:
        name = self._settings.named(topic.name) if topic else self._topics[message.type]
        return _Sending(name, message.key.encode(), message.encode())

    def _partition(self, one: _Sending) -> Partition:
        return one.topic, partition_of(one.key, self._settings.partitions)

    def _refuse_silent(self, commands: Sequence[_Sending]) -> None:
        self._look_for_leaders()
        for one in commands:
            if (where := self._partition(one)) in self._silent:
                away = "Kafka" if self._all_silent else "the leader of {}/{}".format(*where)
                raise GatewayUnavailable(f"{away} does not answer: nothing was sent")

    async def _send(
        self, producer: AIOKafkaProducer, commands: Sequence[_Sending], acknowledged: "list[asyncio.Future[Any]]"
    ) -> None:
        """Send commands, and add to `acknowledged` a future for each."""
        for one in commands:
            await self._refuse_too_large(one)
        for one in commands:
            acknowledged.append(await self._enqueue(producer, one))
        refused = []
        for one, answer in zip(commands, acknowledged, strict=True):
            try:
                await asyncio.shield(answer)
            except (BrokerResponseError, ProducerClosed):
                refused.append(one)
        if refused:
            await self._renew(producer, refused=True)
        for one in refused:  # one by one: the refused batch may have had several, or followed another one
            await self._refuse_too_large(one)
            await self._send_alone(one)

    async def _send_alone(self, one: _Sending) -> None:
        producer = self._producer
        assert producer is not None, "there was one, and it was renewed"
        try:
            await asyncio.shield(await self._enqueue(producer, one))
        except ProducerClosed:
            if producer is self._producer:
                raise
            await self._send_alone(one)  # another call has replaced it meanwhile
        except BrokerResponseError as refusal:
            await self._ask_limits()
            if isinstance(refusal, MessageSizeTooLargeError | RecordListTooLargeError):
                raise CommandTooLarge(one.topic, one.size, self._limits.get(one.topic)) from refusal
            sentence = f"Kafka refuses commands for {one.topic}: {type(refusal).__name__}; nothing was sent"
            log.error("%s", sentence)
            raise GatewayUnavailable(sentence) from refusal

    async def too_large(self, message: CommandMessage) -> CommandTooLarge | None:
        """Return why a command cannot be sent, if it is known to be too large for its topic."""
        try:
            if self._limits:
                await self._refuse_too_large(self._encoded(message, None))
        except CommandTooLarge as refusal:
            return refusal
        return None

    async def _refuse_too_large(self, one: _Sending) -> None:
        if one.size <= self._limits.get(one.topic, one.size):
            return
        if time.monotonic() - self._limits_asked > LIMIT_SECONDS:
            await self._ask_limits()
        if one.size > (limit := self._limits.get(one.topic, one.size)):
            raise CommandTooLarge(one.topic, one.size, limit)

    async def _ask_limits(self) -> None:
        self._limits = await asyncio.to_thread(largest_batches, self._settings, set(self._topics.values()))
        self._limits_asked = time.monotonic()

    async def _renew(self, spent: AIOKafkaProducer, *, refused: bool) -> None:
        """Replace the producer: a lost batch used a sequence number, and Kafka accepts nothing after the gap.

        If Kafka `refused` the batch, the limits of topics may have changed.
        """
        known = spent.client.cluster.brokers()
        async with self._renewing:
            if self._producer is spent:
                if refused:
                    await self._ask_limits()
                fresh = self._new_producer(known)
                try:
                    async with asyncio.timeout(START_SECONDS):
                        await fresh.start()
                except BaseException:
                    await fresh.stop()
                    raise
                self._producer, self._pulse = fresh, None
                self._ending.add(task := asyncio.create_task(_end(spent, self.patience)))
                task.add_done_callback(self._ending.discard)

    def _find_silent(self, producer: AIOKafkaProducer, commands: Collection[_Sending]) -> None:
        """Refuse commands for the partitions of `commands`, which they did not accept, until their leaders answer."""
        if producer is self._producer:
            found = {self._partition(one) for one in commands} if self._several(producer) else self._partitions()
            self._silent |= dict.fromkeys(found, producer)
            self._look_for_leaders()

    def _look_for_leaders(self) -> None:
        if self._looking is None:
            self._looking = asyncio.create_task(self._look())

    async def _look(self) -> None:
        """Ask for leaders until those of silent partitions have answered, and no command waits for long."""
        try:
            while self._silent or self._late:
                try:
                    await self._look_with_new_client()
                except (KafkaError, OSError, TimeoutError) as error:
                    log.debug("cannot connect to Kafka: %r", error)
                    log.warning("%s; retrying", await why_not(self._settings, set(self._topics.values())))
                    await asyncio.sleep(LOOK_SECONDS)
            self._pulse = None
        finally:
            self._looking = None  # after an unexpected error, the next refusal looks again

    async def _look_with_new_client(self) -> None:
        """Ask the brokers that the producer knows: the configured ones may be the silent ones."""
        producer = self._producer
        assert producer is not None, "it has sent commands"
        known, limit = producer.client.cluster.brokers(), LOOK_MS if self._several(producer) else LONG_LOOK_MS
        async with Lookout(self._settings, set(self._topics.values()), known, limit) as lookout:
            while self._silent or self._late:
                seen, producer = await lookout.look(), self._producer or producer
                tell(producer.client, seen)
                if back := await lookout.led(self._silent):
                    await self._accept(back)
                await asyncio.sleep(LOOK_SECONDS)

    async def _accept(self, back: Collection[Partition]) -> None:
        """Accept commands for partitions again, but not with a producer whose commands they did not accept.

        A batch that expires in aiokafka's producer has used its sequence number, and the broker never accepts anything
        after the gap on that partition.
        """
        for failed in {self._silent[each] for each in back}:
            await self._renew(failed, refused=False)
        for each in back:
            if self._silent[each] is not self._producer:  # it may have failed again since
                del self._silent[each]

    async def _enqueue(self, producer: AIOKafkaProducer, one: _Sending) -> Any:
        try:
            return await producer.send(one.topic, one.value, key=one.key, headers=CONTENT_TYPE)
        except (BrokerResponseError, ProducerClosed) as error:  # closed by another call of `_renew`, or not allowed
            refused = asyncio.get_running_loop().create_future()
            refused.set_exception(error)
            return refused

    async def _reach(self) -> None:
        while self._producer is None:
            try:
                self._producer = await self._started()
            except (KafkaError, OSError) as error:
                log.debug("cannot connect to Kafka: %r", error)
                self._why = await why_not(self._settings, set(self._topics.values()))
                log.warning("%s; retrying", self._why)
                await asyncio.sleep(RETRY_SECONDS)
            except Exception:  # without this task, every command would be refused until a restart
                log.exception("cannot connect to Kafka because of an unexpected error; retrying")
                await asyncio.sleep(RETRY_SECONDS)

    async def _started(self) -> AIOKafkaProducer | None:
        """Return a producer that has reached its topics; None if the next one must be more patient."""
        producer, ready = self._new_producer(), False
        try:
            async with asyncio.timeout(START_SECONDS):  # with a refused token, aiokafka would try for ever
                await producer.start()
            for topic in set(self._topics.values()):
                await producer.partitions_for(topic)
            failover = await failover_seconds(self._settings, producer.client)
            ready, self.patience = failover <= self.patience, max(failover, self.patience)
        finally:
            if not ready:
                with suppress(Exception):
                    await producer.stop()
        return producer if ready else None

    def _new_producer(self, known: Iterable[Any] = ()) -> AIOKafkaProducer:
        """Return a producer; `known` brokers are asked instead of the configured ones, one of which may be silent."""
        return AIOKafkaProducer(
            **aiokafka_config(self._settings, known, only=True),
            client_id=self._settings.named("api"),
            enable_idempotence=True,
            acks="all",
            linger_ms=0,  # commands that arrive during a request are sent with the next one
            max_batch_size=min([BATCH_BYTES, *self._limits.values()]),
            max_request_size=REQUEST_BYTES,
            request_timeout_ms=int(self.patience * 1000),
            retry_backoff_ms=100,
            partitioner=_partition,
        )
