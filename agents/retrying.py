"""Commands about letters: an operator's retry or discard, in the aggregate's own topic, where it has its place."""

from contextlib import suppress
from dataclasses import replace
from typing import Any

from domain.message import Command
from parking.entries import Letter
from parking.letter import DiscardLetter, RetryLetters
from parking.queue import Letters
from streams.kafka.transactions import Write
from streams.messages.codec import source_of
from streams.messages.envelope import CONTENT_TYPE, CommandMessage, Outcome
from streams.runtime.settings import Settings
from tables.entries import Answer, remember
from tables.store import Changes

from .answering import Answering
from .decided import Decided
from .letter import failed
from .letters import Drained, Parking
from .portions import Refusal, Resort

DISCARDED = "DISCARDED"
AT_ONCE = 500  # letters a transaction retries of one aggregate; the rest is left to the next


def is_about_letters(command: Command) -> bool:
    """Whether `command` is for `Retrying`."""
    return type(command) in (RetryLetters, DiscardLetter)


class Retrying:
    """Retries and discards parked commands of one kind of aggregate."""

    def __init__(self, settings: Settings, answering: Answering, parking: Parking) -> None:
        self.settings, self.answering, self.parking, self.kind = settings, answering, parking, answering.kind

    def obey(
        self,
        command: CommandMessage,
        partition: int,
        changes: Changes[Any],
        decided: Decided,
        refusal: Refusal | None = None,
    ) -> None:
        """Handle a command about letters, and answer it; `refusal`: what it led to before was refused by Kafka."""
        match command.command:
            case RetryLetters():
                self._retry(command, command.command, partition, changes, decided, refusal)
            case DiscardLetter():
                self._discard(command, command.command, changes, decided)

    def _retry(
        self,
        command: CommandMessage,
        retry: RetryLetters,
        partition: int,
        changes: Changes[Any],
        decided: Decided,
        refusal: Refusal | None,
    ) -> None:
        letters = Letters(changes, command.key)
        first = letters.first()
        if first is not None and refusal is not None and refusal.resort is Resort.REJECTED:
            drained = Drained(0, 0, failed(first, refusal.why))
        else:
            at_once = AT_ONCE if refusal is None else 1
            drained = self.parking.drain(command.key, partition, changes, decided, at_once, command.moment)
        handled = retry.handled + drained.handled
        if drained.failed is not None:
            letters.replace(drained.failed)
            self.parking.record(decided, "parked", drained.failed, command.key, command.moment)
        elif letters.queue is not None:  # the rest in the next transaction, whose outcome answers this command
            rest = replace(command, command=RetryLetters(handled=handled))
            topic = self.settings.named(self.kind.commands.name)
            decided.writes.append(Write(topic, partition, command.key.encode(), rest.encode(), CONTENT_TYPE))
            return
        result: dict[str, Any] = {"retried": handled, "left": len(letters)}
        if (again := drained.failed) is not None:
            result["failed"] = {"commandId": again.command_id, "code": again.code, "message": again.message}
        self._answer(command, changes, decided, result)

    def _discard(
        self, command: CommandMessage, discard: DiscardLetter, changes: Changes[Any], decided: Decided
    ) -> None:
        letters = Letters(changes, command.key)
        letter = letters.get(discard.command_id)
        if letter is not None:
            letters.remove(letter)
            self.parking.record(decided, "discarded", letter, command.key, command.moment, discard.reason)
            self._reject(letter, command, discard.reason, changes, decided)
        self._answer(command, changes, decided, {"discarded": int(letter is not None), "left": len(letters)})

    def _reject(
        self, letter: Letter, command: CommandMessage, reason: str, changes: Changes[Any], decided: Decided
    ) -> None:
        """Tell who sent a discarded command, and remember to tell again."""
        answer = Answer(letter.command_id, letter.command_type or "", 0, (), DISCARDED, f"discarded: {reason}")
        sender = replace(command, id=letter.command_id, source=source_of({}))
        with suppress(Exception):  # what keeps it from being read may be why the command is discarded
            sent = self.parking.command_in(letter)
            sender = replace(sender, source=sent.source)
            answer = replace(answer, source=sent.source, digest=sent.digest())
        key = self.kind.key(command.key)
        with suppress(Exception):  # an entry that cannot be read may be why, too
            if (entry := changes.get(key)) is not None:
                answer = replace(answer, version=entry.version)
                recent = remember(entry.recent, answer, self.settings.recent_commands)
                changes.put(key, self.kind.entry(entry.state, entry.version, recent, entry.time))
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
            time=command.moment,
            correlation_id=command.correlation_id,
            version=version,
            result=result,
            command_source=command.source,
            producer_time=command.producer_time,
        )
        decided.writes.append(self.answering.outcome(outcome))
