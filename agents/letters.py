"""Parked commands: they wait in the order they came, behind the first that could not be handled, until a retry.

QueueFull                      a partition has as many letters as it may, and none of them can be handled
"""

import logging
import traceback
from contextlib import suppress
from dataclasses import replace
from typing import Any, NamedTuple

from domain.message import Command
from streams.codec import BadMessage, decode_command
from streams.letters import DeadLetter, DiscardLetter, LetterKind, RetryLetters
from streams.messages import CONTENT_TYPE, CommandMessage, Outcome, instant_of
from streams.settings import Settings
from streams.topics import DEAD_LETTERS
from streams.transactions import ANY_PARTITION, Write
from tables.entries import Answer, remember
from tables.letters import Letter, Letters, aggregates, parked
from tables.store import Changes

from .answering import Answering
from .decided import Decided

log = logging.getLogger(__name__)

FAILED, BEHIND, DISCARDED = "PROCESSING_FAILED", "PARKED_BEHIND", "DISCARDED"
AT_ONCE = 500  # letters a transaction retries of one aggregate; the rest is left to the next
RELIEF = 10_000  # letters a full partition tries in one transaction


class QueueFull(Exception):
    """A partition has as many letters as it may, and none of them can be handled."""


class Drained(NamedTuple):
    """What a retry came to: how many letters were handled, and which failed again."""

    handled: int
    failed: Letter | None = None


class Parking:
    """Parks, retries and discards the commands of one kind of aggregate."""

    def __init__(self, settings: Settings, answering: Answering) -> None:
        self.settings, self.answering, self.kind = settings, answering, answering.kind
        self.dead_letters = settings.named(DEAD_LETTERS.name)
        self._relieved: set[int] = set()  # full partitions whose letters were all tried by this process

    def waits(self, aggregate_id: str, changes: Changes[Any]) -> bool:
        """Whether commands of an aggregate must be parked behind others."""
        return parked(changes) > 0 and Letters(changes, aggregate_id).queue is not None

    def park(self, letter: Letter, aggregate_id: str, changes: Changes[Any], decided: Decided) -> None:
        """Park `letter`; once, however often it comes."""
        letters = Letters(changes, aggregate_id)
        if letter.command_id not in letters:
            letters.append(letter)
            self.record(decided, "parked", letter, aggregate_id, instant_of(letter.timestamp))

    def make_room(self, partition: int, changes: Changes[Any], decided: Decided) -> None:
        """Raise `QueueFull` when there is no place for another letter.

        A partition that is full does not get to the commands that would retry its letters: so, once after a process has
        started, with code that may be better, all of them are tried.
        """
        limit = self.settings.parked_limit
        if parked(changes) >= limit and partition not in self._relieved:
            self._relieved.add(partition)
            left = RELIEF
            for aggregate_id in aggregates(changes.entries):
                left -= self._drain(aggregate_id, partition, changes, decided, left).handled
        if parked(changes) >= limit:
            raise QueueFull(
                f"{parked(changes)} letters are parked, as many as may be (FULFILLMENT_PARKED_LIMIT). Mend the code "
                "and restart the worker, which tries them all; or raise the limit, restart, and discard some"
            )

    # --- the commands about letters

    def obey(self, command: CommandMessage, partition: int, changes: Changes[Any], decided: Decided) -> None:
        """Handle a command about letters, and answer it."""
        match command.command:
            case RetryLetters():
                self._retry(command, command.command, partition, changes, decided)
            case DiscardLetter():
                self._discard(command, command.command, changes, decided)

    def _retry(
        self, command: CommandMessage, retry: RetryLetters, partition: int, changes: Changes[Any], decided: Decided
    ) -> None:
        drained = self._drain(command.key, partition, changes, decided, AT_ONCE, command.time)
        handled, letters = retry.handled + drained.handled, Letters(changes, command.key)
        if drained.failed is not None:
            letters.replace(drained.failed)
            self.record(decided, "parked", drained.failed, command.key, command.time)
        elif letters.queue is not None:  # the rest in the next transaction, whose outcome answers this command
            rest = replace(command, command=RetryLetters(handled=handled))
            topic = self.settings.named(self.kind.commands.name)
            decided.writes.append(Write(topic, partition, command.key.encode(), rest.encode(), CONTENT_TYPE))
            return
        result: dict[str, Any] = {"retried": handled, "left": len(letters)}
        if (failed := drained.failed) is not None:
            result["failed"] = {"commandId": failed.command_id, "code": failed.code, "message": failed.message}
        self._answer(command, changes, decided, result)

    def _discard(
        self, command: CommandMessage, discard: DiscardLetter, changes: Changes[Any], decided: Decided
    ) -> None:
        letters = Letters(changes, command.key)
        letter = letters.get(discard.command_id)
        if letter is not None:
            letters.remove(letter.command_id)
            self.record(decided, "discarded", letter, command.key, command.time, discard.reason)
            self._reject(letter, command, discard.reason, changes, decided)
        self._answer(command, changes, decided, {"discarded": int(letter is not None), "left": len(letters)})

    def _reject(
        self, letter: Letter, command: CommandMessage, reason: str, changes: Changes[Any], decided: Decided
    ) -> None:
        """Tell who sent a discarded command, and remember to tell again."""
        answer = Answer(letter.command_id, letter.command_type, 0, (), DISCARDED, f"discarded: {reason}")
        key = self.kind.key(command.key)
        with suppress(Exception):  # an entry nobody can read may be why the command is discarded
            if (entry := changes.get(key)) is not None:
                answer = replace(answer, version=entry.version)
                recent = remember(entry.recent, answer, self.settings.recent_commands)
                changes.put(key, self.kind.entry(entry.state, entry.version, recent))
        sender = replace(command, id=letter.command_id)
        decided.writes.append(self.answering.outcome(answer.outcome(sender, self.kind.aggregate, None)))

    def _answer(self, command: CommandMessage, changes: Changes[Any], decided: Decided, result: dict[str, Any]) -> None:
        version = 0
        with suppress(Exception):  # see above
            version = getattr(changes.get(self.kind.key(command.key)), "version", 0)
        outcome = Outcome(
            command_id=command.id,
            command_type=command.type,
            aggregate=self.kind.aggregate,
            aggregate_id=command.key,
            status="accepted",
            time=command.time,
            correlation_id=command.correlation_id,
            version=version,
            result=result,
        )
        decided.writes.append(self.answering.outcome(outcome))

    # --- one letter after the other

    def _drain(
        self,
        aggregate_id: str,
        partition: int,
        changes: Changes[Any],
        decided: Decided,
        limit: int,
        time: str | None = None,
    ) -> Drained:
        letters = Letters(changes, aggregate_id)
        for handled in range(limit):
            if (letter := letters.first()) is None:
                return Drained(handled)
            written = len(decided.writes)
            changes.begin()
            try:
                self._handle(letter, partition, changes, decided.writes)
            except Exception as bug:  # still not mended
                changes.rollback()
                del decided.writes[written:]
                return Drained(handled, failed(letter, bug))
            letters.remove(letter.command_id)
            self.record(decided, "retried", letter, aggregate_id, time or instant_of(letter.timestamp))
        return Drained(limit)

    def _handle(self, letter: Letter, partition: int, changes: Changes[Any], writes: list[Write]) -> None:
        types: Any = self.kind.types
        try:
            command = decode_command(letter.value, letter.at, types, self.kind.id_field)
        except BadMessage as bad:  # other code than it was parked by: that says it is no command
            writes.append(self.answering.refusal(letter.at, bad))
            return
        self.answering.answer(command, partition, changes, writes)

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
        decided.letters[letter.topic, kind] += 1


def failed(letter: Letter, bug: Exception) -> Letter:
    """Return `letter` after another attempt that failed."""
    log.error("%s %s failed", letter.command_type, letter.command_id, exc_info=bug)
    return replace(
        letter,
        code=FAILED,
        message=f"{type(bug).__name__}: {bug}",
        attempts=letter.attempts + 1,
        traceback="".join(traceback.format_exception(bug)),
    )


def is_about_letters(command: Command) -> bool:
    """Whether `command` is for `Parking`."""
    return type(command) in (RetryLetters, DiscardLetter)
