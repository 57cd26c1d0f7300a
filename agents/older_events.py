"""Events whose commands are not sent yet: in older code, the role `fulfilment` read events and sent their commands.

A worker that takes over a partition from older code sends the commands which that role left, before it handles
anything else of the partition. The position stays in the changelog of that role, so that a worker that is killed
continues from there, and so does the role after a roll back. A command that is sent twice has the same id and the same
totals, and changes nothing the second time.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError
from faust.types import TP
from tenacity import before_sleep_log, retry, retry_if_exception_type, wait_random_exponential

from streams.kafka.clients import aiokafka_config
from streams.kafka.gateway import GatewayUnavailable
from streams.kafka.groups import Groups
from streams.kafka.library_patches import AIOKafkaConsumer
from streams.kafka.transactions import Aborted, RefusedByKafka, Transactions, Unclear, Write
from streams.kafka.transport import Member
from streams.kafka.unreadable import CannotRead, Unreadable
from streams.keys import position_key
from streams.messages.codec import decode_event
from streams.runtime.app import RoleApp
from streams.runtime.process import end_process
from streams.runtime.settings import FORMER_ROLE, Settings
from streams.topics import Topic, topic_ids
from streams.wording import counted
from tables.entries import Position
from tables.orders import CODEC
from tables.restore import high_watermarks, restore

from .answering import caused, command_topics
from .skips import Skips

log = logging.getLogger(__name__)

POSITIONS = "fulfilment-positions-changelog"  # the former role keeps here how far it handled each event topic
PORTION = 500  # events handled in one transaction
PAUSE_SECONDS, BLOCKED_SECONDS = 1.0, 10.0  # between two checks of the former role; before a blocked event is retried


class Reassigned(Exception):
    """The partitions are being assigned again; the new assignment continues the work."""


class Caused(NamedTuple):
    """An event, and the commands it causes."""

    record: ConsumerRecord
    commands: Sequence[Write]


class OlderEvents:
    """Sends the commands of an aggregate's events that older code has not sent."""

    def __init__(self, app: RoleApp, settings: Settings, events: Topic, transactions: Transactions) -> None:
        self.app, self.settings, self.transactions = app, settings, transactions
        self.events, self.topic, self.changelog = events, settings.named(events.name), settings.named(POSITIONS)
        self.skips = Skips(app, FORMER_ROLE, settings)
        self.command_topics = command_topics(settings)

    async def send(self, inputs: Mapping[TP, int]) -> None:
        """Send the commands that older code left in partitions; return when none are left.

        `inputs` are the partitions' commands with their committed offsets.
        """
        if not inputs or not await self._former_role_has_run():
            return
        assigned = self.app.consumer.member()
        try:
            await self._until_former_role_has_gone(assigned)
            topic_id = (await topic_ids(self.settings, (self.events,)))[self.topic]
            lost: dict[int, str] = {}  # an unreadable changelog is empty: all events are handled
            positions = await restore(self.settings, self.changelog, {tp.partition for tp in inputs}, CODEC, lost)
            for tp, committed in inputs.items():
                position: Position | None = positions[tp.partition].get(position_key(self.topic))
                handled = position.offset if position is not None and position.topic_id == topic_id else -1
                await Partition(self, assigned, tp, committed, topic_id, handled).send()
        except Reassigned:
            log.info("partitions are assigned again before all commands of older events were sent")
        except Unclear as unclear:
            end_process(f"it is unknown whether the commands of older events were sent: {unclear}")
        finally:
            self.app.say_waiting(None)

    def check(self, assigned: Member) -> None:
        """Raise `Reassigned` if another worker may own the partitions."""
        if self.app.consumer.member() != assigned:
            raise Reassigned

    @retry(
        retry=retry_if_exception_type(KafkaError),
        wait=wait_random_exponential(multiplier=0.1, max=5),
        before_sleep=before_sleep_log(log, logging.WARNING),
    )
    async def _former_role_has_run(self) -> bool:
        async with AIOKafkaConsumer(**aiokafka_config(self.settings), enable_auto_commit=False) as reader:
            return self.changelog in await reader.topics()

    async def _until_former_role_has_gone(self, assigned: Member) -> None:
        group, groups = self.settings.named(FORMER_ROLE), Groups(self.settings)
        while True:
            try:
                members = (await groups.members({group}))[group]
            except GatewayUnavailable as unavailable:
                self.app.say_waiting(str(unavailable))
            else:
                if not members:
                    return
                self.app.say_waiting(
                    f"{counted(members, 'worker')} of the role {FORMER_ROLE} {'is' if members == 1 else 'are'} "
                    "running, which is part of orders and inventory now: stop them; this worker sends the commands "
                    "they leave"
                )
            await asyncio.sleep(PAUSE_SECONDS)
            self.check(assigned)


class Partition:
    """One partition of events, handled from the position of the former role to its end."""

    def __init__(
        self, older: OlderEvents, member: Member, commands: TP, committed: int, topic_id: str, handled: int
    ) -> None:
        self.older, self.member = older, member
        self.fence = {commands: committed}  # committed again, so that the group's generation fences each transaction
        self.events = TopicPartition(older.topic, commands.partition)
        self.topic_id, self.handled = topic_id, handled
        self.skipped: set[int] = set()  # offsets

    @retry(
        retry=retry_if_exception_type(KafkaError),
        wait=wait_random_exponential(multiplier=0.1, max=5),
        before_sleep=before_sleep_log(log, logging.WARNING),
    )
    async def send(self) -> None:
        """Send the commands that are left; raise `Reassigned` if the partition may have a new owner."""
        end, first = (await high_watermarks(self.older.settings, [self.events]))[self.events], self.handled + 1
        if first >= end:
            return  # a reader that is closed before it has read anything raises `CancelledError`
        async with AIOKafkaConsumer(
            **aiokafka_config(self.older.settings),
            enable_auto_commit=False,
            isolation_level="read_committed",
            auto_offset_reset="earliest",
            fetch_max_wait_ms=100,
        ) as reader:
            reader.assign([self.events])
            reader.seek(self.events, first)
            while await reader.position(self.events) < end:
                fetched = await reader.getmany(self.events, timeout_ms=100, max_records=PORTION)
                for records in fetched.values():
                    await self._handle(records)
        if self.handled >= first:
            log.info("sent the commands that %s/%d caused from offset %d to %d", *self.events, first, self.handled)

    async def _handle(self, records: Sequence[ConsumerRecord]) -> None:
        """Handle events; at one that cannot be handled, wait until it can be handled or is skipped."""
        left = list(records)
        while left:
            portion, blocked = self._caused(left)
            if portion:
                blocked = await self._commit(portion)
            left = [record for record in left if record.offset > self.handled]
            if blocked is not None:
                await self._blocked(left[0], blocked)

    def _caused(self, records: Sequence[ConsumerRecord]) -> tuple[list[Caused], Exception | None]:
        """Return the commands of events, up to the first event that cannot be handled, and why it cannot."""
        portion: list[Caused] = []
        for record in records:
            try:
                portion.append(Caused(record, () if record.offset in self.skipped else self._commands(record)))
            except Exception as why:  # our bug, or not one of our events
                return portion, why
        return portion, None

    def _commands(self, record: ConsumerRecord) -> Sequence[Write]:
        if isinstance(record, Unreadable):
            raise CannotRead(str(record))
        event: Any = decode_event(record.value)
        return caused(event, self.older.command_topics)

    async def _commit(self, portion: Sequence[Caused]) -> RefusedByKafka | None:
        """Commit a portion in one transaction; if Kafka refuses that, event by event, and return its first refusal."""
        try:
            await self._transact(portion)
        except RefusedByKafka as why:
            if len(portion) == 1:
                return why
            for one in portion:
                if (refused := await self._commit([one])) is not None:
                    return refused
        return None

    async def _transact(self, portion: Sequence[Caused]) -> None:
        handled = portion[-1].record.offset
        position = CODEC.encode(Position(handled, self.topic_id))
        writes = [command for each in portion for command in each.commands]
        writes.append(Write(self.older.changelog, self.events.partition, position_key(self.older.topic), position))
        while True:
            try:
                await self.older.transactions.commit(writes, self.fence, self.member)
            except RefusedByKafka:
                raise
            except Aborted as aborted:
                log.warning("sending the commands of %d events again: %s", len(portion), aborted)
                await asyncio.sleep(PAUSE_SECONDS)
                self.older.check(self.member)
            else:
                self.handled = handled
                return

    async def _blocked(self, record: ConsumerRecord, why: Exception) -> None:
        """Wait until an operator skips an event, or for a while, because Kafka may accept its commands later."""
        place = f"{record.topic}/{record.partition}"
        reason = (
            f"{place} is blocked at offset {record.offset}, an event of older code: {type(why).__name__}: {why}; "
            f"`fulfillment skip {FORMER_ROLE} {place}@{record.offset} --reason …` skips it"
        )
        log.error("%s", reason)
        self.older.app.say_waiting(reason)
        try:
            async with asyncio.timeout(BLOCKED_SECONDS):
                letter = await self.older.skips.find(record, lambda: True)
        except TimeoutError:
            self.older.check(self.member)
            return
        log.warning(
            "%s continues after offset %d, which is skipped: %s", place, record.offset, letter and letter.reason
        )
        self.skipped.add(record.offset)
