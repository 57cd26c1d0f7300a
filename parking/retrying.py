"""Commands about letters: `RetryLetters` handles an aggregate's letters in order, `DiscardLetter` takes one out."""

from contextlib import suppress
from typing import Any, NamedTuple, cast

from msgspec.structs import replace

from parking.effects import ACCEPTED, Effects, Handler, Replies, together
from parking.letter import DiscardLetter, RetryLetters
from parking.queue import Changes, Letter, Letters
from parking.telling import AT_ONCE_BYTES, DeadLetters, failed
from streams.kafka.transactions import Write
from streams.messages.codec import BadMessage, decode_command
from streams.messages.envelope import CONTENT_TYPE, Aggregate, CommandMessage
from streams.runtime.settings import Settings
from streams.topology import AGGREGATES

AT_ONCE = 500  # letters of one aggregate that a transaction retries; the next transaction continues


class Drained(NamedTuple):
    """The result of a retry: how many letters were handled, of how many bytes, and which one failed again."""

    handled: int
    size: int
    effects: Effects
    failed: Letter | None = None


class Retrying:
    """Retries and discards the letters of one kind of aggregate."""

    def __init__(self, settings: Settings, aggregate: Aggregate, handler: Handler, replies: Replies) -> None:
        self.handler, self.replies = handler, replies
        self.topics = AGGREGATES[aggregate]
        self.commands = settings.named(self.topics.commands.name)
        self.dead_letters = DeadLetters(settings, aggregate)

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
            drained = self.drain(command.key, partition, changes, at_once, command)
        handled = cast(RetryLetters, command.command).handled + drained.handled
        if drained.failed is None and letters.queue is not None:  # the outcome of the last transaction answers
            rest = replace(command, command=RetryLetters(handled=handled), valid_until=None)  # it was in time
            write = Write(self.commands, partition, command.key.encode(), rest.encode(), CONTENT_TYPE)
            return together(drained.effects, Effects(writes=[write]), outcome=ACCEPTED)
        told = Effects()
        result: dict[str, Any] = {"retried": handled, "left": len(letters)}
        if (again := drained.failed) is not None:
            letters.replace(again)
            told = self.dead_letters.tell("parked", again, command.key, command.moment)
            result |= {"failed": {"commandId": again.command_id, "code": again.code, "message": again.message}}
        report = self.replies.report(command, result, changes)
        return together(drained.effects, told, Effects(writes=[report]), outcome=ACCEPTED)

    def drain(
        self, aggregate_id: str, partition: int, changes: Changes, limit: int, asked: CommandMessage | None = None
    ) -> Drained:
        """Handle an aggregate's letters, up to the first that fails again, `limit` and `AT_ONCE_BYTES` at most."""
        letters, size = Letters(changes, aggregate_id), 0
        time, principal = (asked.moment, asked.principal) if asked is not None else (None, None)
        done: list[Effects] = []
        for handled in range(limit):
            if size >= AT_ONCE_BYTES or (letter := letters.first()) is None:
                return Drained(handled, size, together(*done))
            before = changes.mark()
            try:
                effects = self._handle(letter, partition, changes)
                letters.remove(letter)
            except Exception as bug:  # it is not fixed yet
                changes.undo(before)
                return Drained(handled, size, together(*done), failed(letter, bug))
            done += [effects, self.dead_letters.tell("retried", letter, aggregate_id, time, None, principal)]
            size += letter.size
        return Drained(limit, size, together(*done))

    def _handle(self, letter: Letter, partition: int, changes: Changes) -> Effects:
        try:
            command = self._command_in(letter)
        except BadMessage as bad:  # it was a command to the code that parked it, and is not to this code
            return Effects(writes=[self.replies.refusal(letter.at, bad)])
        return self.handler.answer(command, partition, changes)

    def _command_in(self, letter: Letter) -> CommandMessage:
        """Return the command in `letter`; raise `BadMessage`, or whatever else keeps it from being read."""
        return decode_command(letter.value, letter.at, self.topics.types, self.topics.id_field, letter.headers)

    def _discard(self, command: CommandMessage, discard: DiscardLetter, changes: Changes) -> Effects:
        letters, told = Letters(changes, command.key), Effects()
        letter = letters.get(discard.command_id)
        if letter is not None:
            letters.remove(letter)
            about = (letter, command.key, command.moment, discard.reason, command.principal)
            told = self.dead_letters.tell("discarded", *about)
            told = together(told, Effects(writes=[self._reject(letter, command, discard.reason, changes)]))
        result = {"discarded": int(letter is not None), "left": len(letters)}
        report = self.replies.report(command, result, changes)
        return together(told, Effects(writes=[report]), outcome=ACCEPTED)

    def _reject(self, letter: Letter, command: CommandMessage, reason: str, changes: Changes) -> Write:
        """Return the outcome that the sender of a discarded command gets."""
        sent: Any = None
        with suppress(Exception):  # the command may be discarded because it cannot be read
            sent = self._command_in(letter)
        return self.replies.discarded(command, letter, sent, reason, changes)
