"""Partitions that stop at a record because later records depend on it, and how they continue."""

import asyncio
import logging
from typing import Any

from aiokafka.errors import KafkaError
from faust.types import TP

from parking.handling import QueueFull
from streams.kafka.transactions import RefusedByKafka
from streams.kafka.unreadable import Unreadable
from streams.runtime.app import RoleApp
from streams.runtime.settings import Role, Settings

from .skips import Skips

log = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 30.0  # before a record that Kafka refused is retried


class Pauses:
    """The pauses before a partition is retried at the same record, each longer than the one before."""

    def __init__(self) -> None:
        self._last: dict[TP, tuple[int, float]] = {}  # offset, seconds

    def after(self, tp: TP, offset: int) -> float:
        """Return the seconds to wait."""
        at, last = self._last.get(tp, (-1, 0.0))
        pause = min(last * 2, LONGEST_PAUSE_SECONDS) if at == offset else FIRST_PAUSE_SECONDS
        self._last[tp] = offset, pause
        return pause


class Stopping:
    """Stops partitions of a transactional worker, and lets them continue."""

    def __init__(self, app: RoleApp, role: Role, settings: Settings) -> None:
        self.app, self.skips = app, Skips(app, role, settings)
        self._pauses, self._trying = Pauses(), dict[TP, asyncio.Task[None]]()

    def is_stopped(self, tp: TP) -> bool:
        """Return whether a partition is stopped."""
        return tp in self.app.consumer.progress.stopped

    def stop(self, tp: TP, record: Any, why: Exception) -> None:
        """Stop a partition at a record that cannot be handled, and say why on /readyz.

        A record that Kafka refused is retried. An operator may skip any record except one that only waits for room.
        """
        reason = f"{tp.topic}/{tp.partition} is blocked at offset {record.offset}: "
        if isinstance(record, Unreadable):
            reason = self.skips.blocked_by(record)
        elif isinstance(why, QueueFull):
            reason += str(why)
        elif isinstance(why, RefusedByKafka):
            reason += f"Kafka refuses its results: {why}; it is retried every {LONGEST_PAUSE_SECONDS:.0f} s"
            self._trying[tp] = asyncio.create_task(self._try_again(tp, self._pauses.after(tp, record.offset)))
        else:
            reason += f"{type(why).__name__}: {why}"
        log.error("%s", reason)
        self.app.consumer.stop_partition(tp, reason)
        if not isinstance(why, QueueFull):
            self.skips.wait_for(record)

    async def _try_again(self, tp: TP, pause: float) -> None:
        consumer, progress = self.app.consumer, self.app.consumer.progress
        await asyncio.sleep(pause)
        if consumer.progress is not progress:
            return  # it was assigned again since, and retried
        self.skips.wait_no_longer(tp)
        try:
            await consumer.let_continue(tp)
        except KafkaError as error:
            log.warning("cannot read %s/%d, retrying: %r", *tp, error)
            self._trying[tp] = asyncio.create_task(self._try_again(tp, LONGEST_PAUSE_SECONDS))
