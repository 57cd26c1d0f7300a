"""Fires due timers in transactions of a limited size, with fetches of commands in between.

Timers that cannot be handled stay in the table, and are tried again later: a bug in one decision, or a transaction that
Kafka refuses, delays no other timer and no command.
"""

import logging
from collections.abc import Sequence
from typing import Any, Protocol

from streams.kafka.transactions import RefusedByKafka
from streams.kafka.transport import Fetch, Offsets

from .deciding import Decided, Fired
from .metrics import TIMERS_FAILED

log = logging.getLogger(__name__)

MOST_TIMERS = 200  # that one transaction handles
POSTPONED_SECONDS = 60.0  # before a timer is tried again


class Committing(Protocol):
    """The part of a worker that firing uses."""

    def fire(self, fetch: Fetch, limit: int) -> Decided:
        """Decide what the due timers of a fetch cause, at most `limit` of them."""

    async def commit(self, fetch: Fetch, decided: Decided, *, singly: bool = False) -> Offsets | None:
        """Commit a decided fetch; return None if that was aborted, raise `RefusedByKafka` if Kafka refuses it."""


class Firing:
    """Fires due timers."""

    def __init__(self, worker: Any) -> None:
        self._worker: Committing = worker
        self._most = MOST_TIMERS

    async def commit(self, fetch: Fetch) -> Offsets | None:
        """Fire the next due timers; return the offsets of the fetch, or None if it must be handed out again.

        If Kafka refuses the transaction, the next one has half as many timers, until the refused one is alone, and
        each of its messages in a batch of its own.
        """
        decided, singly = self._worker.fire(fetch, self._most), self._most == 1
        fired = decided.fired
        _postpone(decided.failed)  # before the commit, which may delete them: no timer without a row is postponed
        handled: Offsets | None = {tp: part.began for tp, part in fetch.parts.items()}
        try:
            if fired:
                handled = await self._worker.commit(fetch, decided, singly=singly)
                self._most = min(2 * self._most, MOST_TIMERS)
        except RefusedByKafka as refused:
            log.error("%d due timers were not handled, because Kafka refused the transaction: %s", len(fired), refused)
            self._most = max(len(fired) // 2, 1)
            if singly:
                _postpone(fired)
        return handled


def _postpone(some: Sequence[Fired]) -> None:
    for each in some:
        each.timers.postpone(each.key, POSTPONED_SECONDS)
    TIMERS_FAILED.inc(len(some))
