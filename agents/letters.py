"""Parked commands: they wait in the order they came, behind the first that could not be handled, until a retry.

QueueFull                      a partition has as many letters as it may, and none of them can be handled
"""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

from parking.entries import PARKED, Letter
from parking.letter import DeadLetter, LetterKind
from parking.queue import Letters, aggregates, parked, parked_bytes
from streams.kafka.transactions import ANY_PARTITION, Write
from streams.messages.codec import BadMessage, decode_command
from streams.messages.envelope import CONTENT_TYPE, CommandMessage, instant_of
from streams.runtime.settings import Settings
from streams.topics import DEAD_LETTERS
from tables.store import Changes

from .answering import Answering
from .decided import Decided
from .letter import failed

REMIND_SECONDS = 10 * 86_400.0  # a third of what `dead-letters` keeps
REMINDED = 500  # letters a transaction tells again of, and the rest of the last aggregate
RELIEF = 10_000  # letters a full partition tries in one transaction
AT_ONCE_BYTES = 32 << 20  # of letters that a transaction handles, or tells of, again: each is written whole


class QueueFull(Exception):
    """A partition has as many letters as it may, and none of them can be handled."""


class Drained(NamedTuple):
    """What a retry came to: how many letters were handled, of how many bytes, and which failed again."""

    handled: int
    size: int
    failed: Letter | None = None


class Parking:
    """Parks commands of one kind of aggregate, and handles them again."""

    def __init__(self, settings: Settings, answering: Answering, now: Callable[[], float] = time.time) -> None:
        self.settings, self.answering, self.kind = settings, answering, answering.kind
        self.dead_letters = settings.named(DEAD_LETTERS.name)
        self._now = now
        self._relieved: set[int] = set()  # full partitions whose letters were all tried by this process

    def waits(self, aggregate_id: str, changes: Changes[Any]) -> bool:
        """Whether commands of an aggregate must be parked behind others."""
        return parked(changes) > 0 and Letters(changes, aggregate_id).queue is not None

    def park(self, letter: Letter, aggregate_id: str, changes: Changes[Any], decided: Decided) -> None:
        """Park `letter`; once, however often it comes."""
        letters = Letters(changes, aggregate_id)
        if letter not in letters:
            letters.append(letter, self._now())
            self.record(decided, "parked", letter, aggregate_id, instant_of(letter.timestamp))

    def make_room(self, partition: int, changes: Changes[Any], decided: Decided) -> None:
        """Raise `QueueFull` when there is no place for another letter.

        A partition that is full does not get to the commands that would retry its letters: so, once after a process has
        started, with code that may be better, all of them are tried.
        """
        if self._full(changes) and partition not in self._relieved:
            left, room = RELIEF, AT_ONCE_BYTES
            for aggregate_id in aggregates(changes.entries.raw):
                drained = self.drain(aggregate_id, partition, changes, decided, left)
                left, room = left - drained.handled, room - drained.size
                if room <= 0:
                    break
            else:
                self._relieved.add(partition)
        if full := self._full(changes):
            raise QueueFull(
                f"{full}. Mend the code and restart the worker, which tries them all; or raise the limit, restart, and "
                "discard some"
            )

    def _full(self, changes: Changes[Any]) -> str | None:
        """Return why a partition takes no more letters; None while it does."""
        if parked(changes) >= self.settings.parked_limit:
            return f"{parked(changes)} letters are parked, which is the limit (FULFILLMENT_PARKED_LIMIT)"
        if (size := parked_bytes(changes)) >= self.settings.parked_bytes:
            return f"letters of {size:,} bytes are parked, which is the limit (FULFILLMENT_PARKED_BYTES)"
        return None

    def drain(
        self,
        aggregate_id: str,
        partition: int,
        changes: Changes[Any],
        decided: Decided,
        limit: int,
        time: str | None = None,
    ) -> Drained:
        """Handle an aggregate's letters, up to the first that fails again, `limit` and `AT_ONCE_BYTES` at most."""
        letters, size = Letters(changes, aggregate_id), 0
        for handled in range(limit):
            if size >= AT_ONCE_BYTES or (letter := letters.first()) is None:
                return Drained(handled, size)
            mark = decided.mark()
            changes.begin()
            try:
                self._handle(letter, partition, changes, decided)
                letters.remove(letter)
            except Exception as bug:  # still not mended
                changes.rollback()
                decided.rollback(mark)
                return Drained(handled, size, failed(letter, bug))
            self.record(decided, "retried", letter, aggregate_id, time or instant_of(letter.timestamp))
            size += letter.size
        return Drained(limit, size)

    def _handle(self, letter: Letter, partition: int, changes: Changes[Any], decided: Decided) -> None:
        try:
            command = self.command_in(letter)
        except BadMessage as bad:  # other code than it was parked by: that says it is no command
            decided.writes.append(self.answering.refusal(letter.at, bad))
            return
        self.answering.answer(command, partition, changes, decided)

    def command_in(self, letter: Letter) -> CommandMessage:
        """Return the command in `letter`; `BadMessage`, or whatever else keeps it from being read."""
        types: Any = self.kind.types
        return decode_command(letter.value, letter.at, types, self.kind.id_field, letter.headers)

    def record(
        self,
        decided: Decided,
        kind: LetterKind,
        letter: Letter,
        aggregate_id: str | None,
        time: str,
        reason: str | None = None,
    ) -> None:
        """Write what happened to a letter to `dead-letters`."""
        decided.letters[letter.topic, kind] += 1
        self._tell(decided, kind, letter, aggregate_id, time, reason)

    def remind(self, changes: Changes[Any], decided: Decided) -> None:
        """Tell the topic again of letters it would soon forget, some in each transaction."""
        now, count = self._now(), changes.get(PARKED)
        if count is None or not _long_ago(count.said, now):
            return
        told = size = 0
        for aggregate_id in aggregates(changes.entries.raw):
            letters = Letters(changes, aggregate_id)
            if (queue := letters.queue) is None or not _long_ago(queue.said, now):
                continue
            if told >= REMINDED or size >= AT_ONCE_BYTES:
                return
            for letter in letters:
                self._tell(decided, "parked", letter, aggregate_id, instant_of(letter.timestamp))
                told += 1
                size += letter.size
            letters.said(now)
        changes.put(PARKED, replace(count, said=now))

    def _tell(
        self,
        decided: Decided,
        kind: LetterKind,
        letter: Letter,
        aggregate_id: str | None,
        time: str,
        reason: str | None = None,
    ) -> None:
        dead = DeadLetter(
            kind=kind,
            topic=letter.topic,
            partition=letter.partition,
            offset=letter.offset,
            key=letter.key,
            value=letter.value,
            headers=letter.headers,
            code=letter.code,
            message=letter.message,
            time=time,
            traceback=letter.traceback,
            aggregate=self.kind.aggregate,
            aggregate_id=aggregate_id,
            command_id=letter.command_id,
            command_type=letter.command_type,
            attempts=letter.attempts,
            reason=reason,
        )
        key = letter.key if letter.key or aggregate_id is None else aggregate_id.encode()
        decided.writes.append(Write(self.dead_letters, ANY_PARTITION, key, dead.encode(), CONTENT_TYPE))


def _long_ago(said: float, now: float) -> bool:
    """Return whether the topic may forget soon what it was told then; a clock may have been set, either way."""
    return abs(now - said) > REMIND_SECONDS
