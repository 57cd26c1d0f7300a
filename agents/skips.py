"""Records that an operator skips: `fulfillment skip` writes them to `dead-letters`, and this module reads them.

It reads them only while a partition is blocked: a record that can be handled is never skipped.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from faust.types import TP

from parking.letter import DeadLetter, letter_in, skip_key
from streams.kafka.clients import aiokafka_config
from streams.kafka.library_patches import AIOKafkaConsumer
from streams.kafka.partitions import partition_of
from streams.kafka.received import Coordinates
from streams.kafka.unreadable import Unreadable
from streams.runtime.app import RoleApp
from streams.runtime.settings import Settings
from streams.topics import DEAD_LETTERS

log = logging.getLogger(__name__)
AGAIN_SECONDS = 2.0  # after an error
POLL_MILLISECONDS = 1_000


class Skips:
    """The records that this worker skips, and why; `learnt` is awaited before a record is skipped."""

    def __init__(
        self,
        app: RoleApp,
        role: str,
        settings: Settings,
        learnt: Callable[[DeadLetter], Awaitable[None]] | None = None,
    ) -> None:
        self.app, self.role, self.settings, self.learnt = app, role, settings, learnt
        self.reasons: dict[Coordinates, str] = {}
        self._tasks: dict[TP, asyncio.Task[None]] = {}

    def blocked_by(self, record: Unreadable) -> str:
        """Return the reason why a partition is blocked, and the command that gets past it."""
        place = f"{record.topic}/{record.partition}"
        return (
            f"{place} is blocked, {record}; `fulfillment skip {self.role} {place}@{record.offset} --reason …` skips it"
        )

    def wait_for(self, record: Any) -> None:
        """Let a partition that stopped at `record` continue as soon as an operator skips the record."""
        tp = TP(record.topic, record.partition)
        if (before := self._tasks.pop(tp, None)) is not None:
            before.cancel()
        self._tasks[tp] = asyncio.create_task(self._wait_for(tp, record))

    def wait_no_longer(self, tp: TP) -> None:
        """Stop waiting for a skip, because the partition is retried."""
        if (task := self._tasks.pop(tp, None)) is not None:
            task.cancel()

    async def _wait_for(self, tp: TP, record: Any) -> None:
        progress = self.app.consumer.progress
        while True:
            try:
                letter = await self.find(record, lambda: self.app.consumer.progress is progress)
                if letter is None:
                    return
                if self.learnt is not None:
                    await self.learnt(letter)
                break
            except Exception as error:
                log.warning("cannot read the records to skip, retrying: %r", error)
                await asyncio.sleep(AGAIN_SECONDS)
        log.warning("%s/%d continues after offset %d, which is skipped: %s", *tp, record.offset, letter.reason)
        self.reasons[tp.topic, tp.partition, record.offset] = letter.reason or ""
        await self.app.consumer.let_continue(tp)

    async def find(self, event: Any, stands: Callable[[], bool]) -> DeadLetter | None:
        """Return the letter that skips `event` as soon as it exists; its value must be the event's.

        Return None when the partition was prepared again: another worker may own it, and if not, it stops again.
        """
        key = skip_key(self.role, event.topic, event.partition, event.offset)
        partition = TopicPartition(self.settings.named(DEAD_LETTERS.name), partition_of(key, self.settings.partitions))
        reader = AIOKafkaConsumer(
            **aiokafka_config(self.settings), enable_auto_commit=False, isolation_level="read_committed"
        )
        try:
            await reader.start()
            reader.assign([partition])
            await reader.seek_to_beginning(partition)
            while stands():
                for record in (await reader.getmany(partition, timeout_ms=POLL_MILLISECONDS)).get(partition, ()):
                    if record.key == key and (letter := letter_in(record.value)) and letter.value == event.value:
                        return letter
            return None
        finally:
            with suppress(KafkaError, TimeoutError):
                await asyncio.wait_for(reader.stop(), 2)
