"""Handling commands so that a bug parks the command, and the later ones of its aggregate, instead of losing them.

`Parking` wraps the handling of a command. If the handler raises, the changes it has made are undone and the command
becomes a letter.
"""

import time
from collections.abc import Callable

from aiokafka import ConsumerRecord
from msgspec.structs import replace

from parking.effects import PARKED_OUTCOME, Effects, Handler, Replies, together
from parking.letter import DiscardLetter, RetryLetters
from parking.queue import Changes, Letter, Letters, aggregates, parked, parked_bytes
from parking.retrying import Retrying
from parking.telling import AT_ONCE_BYTES, DeadLetters, failed, letter_of, letter_with
from streams.messages.envelope import Aggregate, CommandMessage
from streams.runtime.settings import Settings
from streams.wording import counted

BEHIND = "PARKED_BEHIND"  # the code of a letter
RELIEF = 10_000  # letters of a full partition that one transaction tries


class QueueFull(Exception):
    """A partition has as many letters as it may, and none of them can be handled."""


class Parking:
    """Handles commands of one kind of aggregate, and parks those whose handling fails."""

    def __init__(
        self,
        settings: Settings,
        aggregate: Aggregate,
        handler: Handler,
        replies: Replies,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.settings, self.handler, self.now = settings, handler, now
        self.dead_letters = DeadLetters(settings, aggregate)
        self.retrying = Retrying(settings, aggregate, handler, replies)
        self._relieved: set[int] = set()  # full partitions whose letters were all tried by this process

    def handle(self, record: ConsumerRecord, command: CommandMessage, changes: Changes) -> Effects:
        """Handle a command, or park it: behind others of its aggregate, or because the handler raises."""
        if type(command.command) in (RetryLetters, DiscardLetter):
            return self.retrying.obey(command, record.partition, changes)
        if parked(changes) and self._waits(command.key, changes):
            return self._queue_behind(record, command, changes)
        before = changes.mark()
        try:
            effects = self.handler.answer(command, record.partition, changes)
        except Exception as bug:  # a bug must not stop the other aggregates of the partition
            changes.undo(before)
            return self.park(failed(letter_with(record, command), bug), command.key, changes)
        if effects.nonsense is None:
            return effects
        letter = letter_of(record, command.id, command.type, effects.outcome, effects.nonsense)
        return together(effects, self.dead_letters.tell("invalid", letter, None), outcome=effects.outcome)

    def park(self, letter: Letter, aggregate_id: str, changes: Changes) -> Effects:
        """Park a letter, if there is room for it."""
        room = self._make_room(letter.partition, changes)
        if room.stop is not None:
            return room
        return together(room, self._append(letter, aggregate_id, changes), outcome=PARKED_OUTCOME)

    def _waits(self, aggregate_id: str, changes: Changes) -> bool:
        return Letters(changes, aggregate_id).queue is not None

    def _queue_behind(self, record: ConsumerRecord, command: CommandMessage, changes: Changes) -> Effects:
        """Park a command behind others, unless making room for it has handled them all."""
        room = self._make_room(record.partition, changes)
        if room.stop is not None:
            return room
        if self._waits(command.key, changes):
            letter = letter_with(record, command)
            letter = replace(letter, code=BEHIND, message="it waits behind a command that failed")
            more = self._append(letter, command.key, changes)
        else:
            more = self.handle(record, command, changes)
        return together(room, more, outcome=more.outcome)  # there is room: it cannot stop

    def _append(self, letter: Letter, aggregate_id: str, changes: Changes) -> Effects:
        """Park a letter; once, however often it arrives."""
        letters = Letters(changes, aggregate_id)
        if letter in letters:
            return Effects(PARKED_OUTCOME)
        letters.append(letter, self.now())
        return together(self.dead_letters.tell("parked", letter, aggregate_id), outcome=PARKED_OUTCOME)

    # --- a full partition

    def _make_room(self, partition: int, changes: Changes) -> Effects:
        """Make room for another letter, and return what that leads to; `stop` is set if there is still no room.

        A full partition never reaches the commands that would retry its letters. Therefore each process tries all of
        them once: its code may contain the fix.
        """
        done: list[Effects] = []
        if self._full(changes) and partition not in self._relieved:
            left, room = RELIEF, AT_ONCE_BYTES
            for aggregate_id in aggregates(changes):
                if left <= 0 or room <= 0:
                    break
                drained = self.retrying.drain(aggregate_id, partition, changes, left)
                done.append(drained.effects)
                left, room = left - drained.handled, room - drained.size
            else:
                self._relieved.add(partition)
        if (full := self._full(changes)) is None:
            return together(*done)
        remedy = (
            "Fix the bug and restart the worker, which tries them all; or raise the limit, restart, and discard some"
        )
        return together(*done, stop=QueueFull(f"{full}. {remedy}"))

    def _full(self, changes: Changes) -> str | None:
        """Return why a partition takes no more letters; None while it does."""
        if parked(changes) >= self.settings.parked_limit:
            are = counted(parked(changes), "letter is", "letters are")
            return f"{are} parked, which is the limit (FULFILLMENT_PARKED_LIMIT)"
        if (size := parked_bytes(changes)) >= self.settings.parked_bytes:
            return f"letters of {size:,} bytes are parked, which is the limit (FULFILLMENT_PARKED_BYTES)"
        return None
