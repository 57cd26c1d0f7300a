"""Handling commands so that a bug parks the command, and the later ones of its aggregate, instead of losing them.

`Parking` wraps the handling of a command. It tries the command on changes of its own: those of a command that raises
are dropped, and the command becomes a letter. `RetryLetters` handles letters the same way, in their order;
`DiscardLetter` takes one out.
"""

import logging
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from aiokafka import ConsumerRecord
from msgspec.structs import replace

from parking.letter import DeadLetter, DiscardLetter, LetterKind, RetryLetters
from parking.queue import PARKED, Changes, Letter, Letters, aggregates, parked, parked_bytes
from streams.kafka.received import received_at
from streams.kafka.transactions import ANY_PARTITION, Write
from streams.messages.codec import BadMessage, RecordAt, decode_command
from streams.messages.envelope import CONTENT_TYPE, Aggregate, CommandMessage, instant_of
from streams.runtime.settings import Settings
from streams.topics import DEAD_LETTERS
from streams.topology import AGGREGATES
from streams.tracing.spans import Span

log = logging.getLogger(__name__)

MESSAGE, TRACEBACK = 1_000, 20_000  # characters that are kept: an error may quote all of a command
FAILED, BEHIND = "PROCESSING_FAILED", "PARKED_BEHIND"
ACCEPTED, PARKED_OUTCOME = "accepted", "parked"  # outcomes, as they are counted
REMIND_SECONDS = 10 * 86_400.0  # a third of what `dead-letters` keeps
REMINDED = 500  # letters a transaction tells again of, and the rest of the last aggregate
RELIEF = 10_000  # letters a full partition tries in one transaction
AT_ONCE = 500  # letters of one aggregate that a transaction retries; the next one continues
AT_ONCE_BYTES = 32 << 20  # of letters that a transaction handles, or tells of, again: each is written whole


class QueueFull(Exception):
    """A partition has as many letters as it may, and none of them can be handled."""


@dataclass(slots=True)
class Effects:
    """What handling a message leads to: written in the transaction of its fetch, counted after the commit."""

    outcome: str = ""  # as it is counted
    writes: list[Write] = field(default_factory=list)
    spans: Sequence[Span] = ()  # of messages whose traces are recorded
    letters: Sequence[tuple[str, LetterKind]] = ()  # of each dead letter written: the message's topic, and the kind
    nonsense: str | None = None  # why the command is refused whatever the state is: it is kept as a dead letter
    stop: Exception | None = None  # why the message was not handled, nor may any be that follows it

    def add(self, more: "Effects") -> None:
        """Take in what another message led to."""
        self.writes += more.writes
        self.spans = (*self.spans, *more.spans)
        self.letters = (*self.letters, *more.letters)


class Handler(Protocol):
    """The handling that parking wraps, of one kind of aggregate."""

    def answer(self, command: CommandMessage, partition: int, changes: Any) -> Effects:
        """Decide a command; may raise anything, and has changed nothing but `changes` then."""

    def refusal(self, at: RecordAt, bad: BadMessage) -> Write:
        """Return the outcome of a message that is not a valid command."""

    def discarded(
        self, command: CommandMessage, letter: Letter, sent: CommandMessage | None, reason: str, changes: Any
    ) -> Write:
        """Return the outcome of the command in a letter that `command` discards; `sent`: that one, if readable."""

    def report(self, command: CommandMessage, result: dict[str, Any], changes: Any) -> Write:
        """Return the outcome of a command about letters."""


class Drained(NamedTuple):
    """What a retry came to: how many letters were handled, of how many bytes, and which failed again."""

    handled: int
    size: int
    effects: Effects
    failed: Letter | None = None


class Parking:
    """Handles commands of one kind of aggregate, and parks them where that fails."""

    def __init__(
        self, settings: Settings, aggregate: Aggregate, handler: Handler, now: Callable[[], float] = time.time
    ) -> None:
        self.settings, self.aggregate, self.handler, self.now = settings, aggregate, handler, now
        self.topics = AGGREGATES[aggregate]
        self.dead_letters = settings.named(DEAD_LETTERS.name)
        self._relieved: set[int] = set()  # full partitions whose letters were all tried by this process

    # --- one command

    def handle(self, record: ConsumerRecord, command: CommandMessage, changes: Changes) -> Effects:
        """Handle a command, or park it: behind others of its aggregate, or because handling it raises."""
        if type(command.command) in (RetryLetters, DiscardLetter):
            return self.obey(command, record.partition, changes)
        if parked(changes) and self._waits(command.key, changes):
            return self._queue_behind(record, command, changes)
        attempt = changes.attempt()
        try:
            effects = self.handler.answer(command, record.partition, attempt)
        except Exception as bug:  # whatever a handler raises must not stop the other aggregates of its partition
            return self.park(failed(letter_with(record, command), bug), command.key, changes)
        attempt.keep()
        if effects.nonsense is not None:
            letter = letter_of(record, command.id, command.type, effects.outcome, effects.nonsense)
            effects.add(self.tell("invalid", letter, None))
        return effects

    def _waits(self, aggregate_id: str, changes: Changes) -> bool:
        return Letters(changes, aggregate_id).queue is not None

    def _queue_behind(self, record: ConsumerRecord, command: CommandMessage, changes: Changes) -> Effects:
        """Park a command behind others, unless making room for it has handled them all."""
        relief = self._make_room(record.partition, changes)
        if relief.stop is None:
            if self._waits(command.key, changes):
                letter = letter_with(record, command, BEHIND, "it waits behind a command that failed")
                more = self._append(letter, command.key, changes)
            else:
                more = self.handle(record, command, changes)
            relief.add(more)
            relief.outcome, relief.stop = more.outcome, more.stop
        return relief

    def park(self, letter: Letter, aggregate_id: str, changes: Changes) -> Effects:
        """Park a letter, where there is room for it."""
        effects = self._make_room(letter.partition, changes)
        if effects.stop is None:
            effects.add(self._append(letter, aggregate_id, changes))
            effects.outcome = PARKED_OUTCOME
        return effects

    def _append(self, letter: Letter, aggregate_id: str, changes: Changes) -> Effects:
        """Park a letter; once, however often it comes."""
        letters = Letters(changes, aggregate_id)
        if letter in letters:
            return Effects(PARKED_OUTCOME)
        letters.append(letter, self.now())
        effects = self.tell("parked", letter, aggregate_id)
        effects.outcome = PARKED_OUTCOME
        return effects

    # --- a full partition

    def _make_room(self, partition: int, changes: Changes) -> Effects:
        """Make room for another letter, and return what that leads to; `stop` of it is set if there is still no room.

        A full partition never reaches the commands that would retry its letters. Therefore each process tries all of
        them once: its code may have been fixed.
        """
        effects = Effects()
        if self._full(changes) and partition not in self._relieved:
            left, room = RELIEF, AT_ONCE_BYTES
            for aggregate_id in aggregates(changes.entries.raw):
                drained = self._drain(aggregate_id, partition, changes, left)
                effects.add(drained.effects)
                left, room = left - drained.handled, room - drained.size
                if room <= 0:
                    break
            else:
                self._relieved.add(partition)
        if full := self._full(changes):
            effects.stop = QueueFull(
                f"{full}. Fix the bug and restart the worker, which tries them all; or raise the limit, restart, and "
                "discard some"
            )
        return effects

    def _full(self, changes: Changes) -> str | None:
        """Return why a partition takes no more letters; None while it does."""
        if parked(changes) >= self.settings.parked_limit:
            return f"{parked(changes)} letters are parked, which is the limit (FULFILLMENT_PARKED_LIMIT)"
        if (size := parked_bytes(changes)) >= self.settings.parked_bytes:
            return f"letters of {size:,} bytes are parked, which is the limit (FULFILLMENT_PARKED_BYTES)"
        return None

    # --- commands about letters

    def obey(
        self,
        command: CommandMessage,
        partition: int,
        changes: Changes,
        *,
        singly: bool = False,
        refused: Exception | None = None,
    ) -> Effects:
        """Handle a command about letters; `singly`: one letter at most.

        `refused`: why Kafka refuses what the first letter leads to; that letter fails for this reason.
        """
        if isinstance(command.command, DiscardLetter):
            return self._discard(command, command.command, changes)
        return self._retry(command, partition, changes, 1 if singly else AT_ONCE, refused)

    def _retry(
        self, command: CommandMessage, partition: int, changes: Changes, at_once: int, refused: Exception | None
    ) -> Effects:
        letters = Letters(changes, command.key)
        if refused is not None and (first := letters.first()) is not None:
            drained = Drained(0, 0, Effects(), failed(first, refused))
        else:
            drained = self._drain(command.key, partition, changes, at_once, command.moment)
        effects, handled = drained.effects, command.command.handled + drained.handled  # type: ignore[attr-defined]
        effects.outcome = ACCEPTED
        if drained.failed is not None:
            letters.replace(drained.failed)
            effects.add(self.tell("parked", drained.failed, command.key, command.moment))
        elif letters.queue is not None:  # the next transaction retries the rest, and its outcome answers this command
            rest = replace(command, command=RetryLetters(handled=handled))
            topic = self.settings.named(self.topics.commands.name)
            effects.writes.append(Write(topic, partition, command.key.encode(), rest.encode(), CONTENT_TYPE))
            return effects
        result: dict[str, Any] = {"retried": handled, "left": len(letters)}
        if (again := drained.failed) is not None:
            result["failed"] = {"commandId": again.command_id, "code": again.code, "message": again.message}
        effects.writes.append(self.handler.report(command, result, changes))
        return effects

    def _drain(
        self, aggregate_id: str, partition: int, changes: Changes, limit: int, time: str | None = None
    ) -> Drained:
        """Handle an aggregate's letters, up to the first that fails again, `limit` and `AT_ONCE_BYTES` at most."""
        letters, size, effects = Letters(changes, aggregate_id), 0, Effects()
        for handled in range(limit):
            if size >= AT_ONCE_BYTES or (letter := letters.first()) is None:
                return Drained(handled, size, effects)
            attempt = changes.attempt()
            try:
                more = self._handle_letter(letter, partition, attempt)
                Letters(attempt, aggregate_id).remove(letter)
            except Exception as bug:  # still not fixed
                return Drained(handled, size, effects, failed(letter, bug))
            attempt.keep()
            effects.add(more)
            effects.add(self.tell("retried", letter, aggregate_id, time))
            size += letter.size
        return Drained(limit, size, effects)

    def _handle_letter(self, letter: Letter, partition: int, changes: Changes) -> Effects:
        try:
            command = self._command_in(letter)
        except BadMessage as bad:  # the code that parked it took it for a command; this code does not
            return Effects(writes=[self.handler.refusal(letter.at, bad)])
        return self.handler.answer(command, partition, changes)

    def _command_in(self, letter: Letter) -> CommandMessage:
        """Return the command in `letter`; raise `BadMessage`, or whatever else keeps it from being read."""
        return decode_command(letter.value, letter.at, self.topics.types, self.topics.id_field, letter.headers)

    def _discard(self, command: CommandMessage, discard: DiscardLetter, changes: Changes) -> Effects:
        letters, effects = Letters(changes, command.key), Effects(ACCEPTED)
        letter = letters.get(discard.command_id)
        if letter is not None:
            letters.remove(letter)
            effects.add(self.tell("discarded", letter, command.key, command.moment, discard.reason))
            effects.writes.append(self._reject(letter, command, discard.reason, changes))
        result = {"discarded": int(letter is not None), "left": len(letters)}
        effects.writes.append(self.handler.report(command, result, changes))
        return effects

    def _reject(self, letter: Letter, command: CommandMessage, reason: str, changes: Changes) -> Write:
        """Return the outcome that tells the sender of a discarded command."""
        sent = None
        with suppress(Exception):  # what keeps it from being read may be why the command is discarded
            sent = self._command_in(letter)
        return self.handler.discarded(command, letter, sent, reason, changes)

    # --- the topic of dead letters

    def tell(
        self,
        kind: LetterKind,
        letter: Letter,
        aggregate_id: str | None,
        time: str | None = None,
        reason: str | None = None,
    ) -> Effects:
        """Return the dead letter that says what happens to a letter, at `time` or when its message came."""
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
            time=time or instant_of(letter.timestamp),
            traceback=letter.traceback,
            aggregate=self.aggregate,
            aggregate_id=aggregate_id,
            command_id=letter.command_id,
            command_type=letter.command_type,
            attempts=letter.attempts,
            reason=reason,
        )
        key = letter.key if letter.key or aggregate_id is None else aggregate_id.encode()
        write = Write(self.dead_letters, ANY_PARTITION, key, dead.encode(), CONTENT_TYPE)
        return Effects(writes=[write], letters=((letter.topic, kind),))

    def remind(self, changes: Changes) -> list[Write]:
        """Return dead letters that the topic would soon forget; some of them in each transaction."""
        now, count = self.now(), changes.get(PARKED)
        if count is None or not _long_ago(count.said, now):
            return []
        writes: list[Write] = []
        size = 0
        for aggregate_id in aggregates(changes.entries.raw):
            letters = Letters(changes, aggregate_id)
            if (queue := letters.queue) is None or not _long_ago(queue.said, now):
                continue
            if len(writes) >= REMINDED or size >= AT_ONCE_BYTES:
                return writes
            for letter in letters:
                writes += self.tell("parked", letter, aggregate_id).writes
                size += letter.size
            letters.said(now)
        changes.put(PARKED, replace(count, said=now))
        return writes


def _long_ago(said: float, now: float) -> bool:
    """Return whether the topic may soon forget what it was told then; a clock may have been set, either way."""
    return abs(now - said) > REMIND_SECONDS


# --- records as letters


def letter_of(
    record: ConsumerRecord, command_id: str, command_type: str | None, code: str = "", message: str = ""
) -> Letter:
    """Return a record as a letter."""
    return Letter(
        command_id,
        command_type,
        record.topic,
        record.partition,
        record.offset,
        received_at(record),
        record.key,
        record.value,
        tuple(record.headers),
        code,
        message,
    )


def letter_with(record: ConsumerRecord, command: CommandMessage, code: str = "", message: str = "") -> Letter:
    """Return a record as a letter with the identity and the content of the command in it."""
    letter = letter_of(record, command.id, command.type, code, message)
    return replace(letter, source=command.source, digest=command.digest())


def without_value(letter: Letter) -> Letter:
    """Return `letter` with nothing of the message but where it is."""
    place = f"{letter.topic}/{letter.partition}@{letter.offset}"
    message = f"{letter.message[:MESSAGE]}; the message of {len(letter.value or b'')} bytes is only at {place}"
    return replace(letter, key=None, value=None, headers=(), message=message)


def failed(letter: Letter, bug: Exception) -> Letter:
    """Return `letter` after another attempt that failed."""
    log.error("%s %s failed", letter.command_type, letter.command_id, exc_info=bug)
    return replace(
        letter,
        code=FAILED,
        message=f"{type(bug).__name__}: {bug}"[:MESSAGE],
        attempts=letter.attempts + 1,
        traceback="".join(traceback.format_exception(bug))[-TRACEBACK:],
    )
