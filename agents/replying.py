"""Outcomes of messages that are not decided: refused ones, discarded ones, and commands about letters."""

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal

from msgspec.structs import replace

from domain.errors import Rejection
from domain.message import MAX_ID
from parking.queue import Letter
from privacy.repeats import PERSONAL
from streams.kafka.transactions import ANY_PARTITION, Write
from streams.keys import segment
from streams.messages.codec import BadMessage, RecordAt, source_of
from streams.messages.envelope import CONTENT_TYPE, CommandMessage, Outcome, derived_id, instant_of
from streams.runtime.settings import Settings
from streams.topics import COMMAND_OUTCOMES
from tables.entries import Answer, remember
from tables.store import Changes

from .aggregate import AggregateKind

if TYPE_CHECKING:
    from privacy.sealing_commands import Sealing

DISCARDED = "DISCARDED"  # a code


class Replying:
    """Writes those outcomes, for one kind of aggregate."""

    def __init__(self, settings: Settings, kind: AggregateKind, sealing: "Sealing | None" = None) -> None:
        self.sealing = sealing
        self.kind, self.aggregate, self.recent_commands = kind, kind.aggregate, settings.recent_commands
        self.topic = settings.named(COMMAND_OUTCOMES.name)

    def refusal(self, at: RecordAt, bad: BadMessage) -> Write:
        """Return the outcome of an invalid command."""
        envelope = bad.envelope
        command_id = given_id(envelope, at)
        outcome = Outcome(
            command_id=command_id,
            command_type=given_type(envelope) or "",
            aggregate=self.aggregate,
            aggregate_id=at.key.decode(errors="replace")[:MAX_ID] if at.key else "",
            status="rejected",
            time=instant_of(at.timestamp),
            correlation_id=given_text(envelope, "correlationid") or command_id,
            code=bad.code,
            message=bad.message,
            details=bad.details,
            command_source=source_of(envelope),
        )
        return outcome_write(self.topic, outcome)

    def discarded(
        self, command: CommandMessage, letter: Letter, sent: CommandMessage | None, reason: str, changes: Changes[Any]
    ) -> Write:
        """Return the outcome of the command in a letter that `command` discards, and remember it."""
        answer = Answer(letter.command_id, letter.command_type or "", 0, (), DISCARDED, f"discarded: {reason}")
        source = source_of({})
        if sent is not None:
            source = sent.source
            answer = replace(answer, source=source, digest=self._digest(sent, changes))
        key = segment(command.key)
        with suppress(Exception):  # the command may be discarded because the entry cannot be read
            if (entry := changes.get(key)) is not None:
                answer = replace(answer, version=entry.version)
                recent = remember(entry.recent, answer, self.recent_commands)
                changes.put(key, self.kind.entry(entry.state, entry.version, recent, entry.time))
        sender = replace(command, source=source)
        return outcome_write(self.topic, answer.outcome(sender, self.aggregate, None))

    def _digest(self, sent: CommandMessage, changes: Changes[Any]) -> str | None:
        """Return the digest of a command; None if it would be that of personal data in the clear."""
        if self.sealing is None or type(sent.command) not in PERSONAL:
            return sent.digest()
        with suppress(Exception):  # as below
            if (entry := changes.get(segment(sent.key))) is not None:
                return self.sealing.seal(sent, entry.state, 0, changes)[0].digest()
        return None

    def report(self, command: CommandMessage, result: dict[str, Any], changes: Changes[Any]) -> Write:
        """Return the outcome of a command that no aggregate decides, such as one about letters."""
        return self._told(command, changes, result=result)

    def rejection(self, command: CommandMessage, no: Rejection, changes: Changes[Any]) -> Write:
        """Return the outcome of such a command that is rejected."""
        return self._told(command, changes, status="rejected", code=no.code, message=no.message, details=no.details)

    def _told(
        self,
        command: CommandMessage,
        changes: Changes[Any],
        status: Literal["accepted", "rejected"] = "accepted",
        **more: Any,
    ) -> Write:
        version = 0
        with suppress(Exception):  # the letters may be parked because the entry cannot be read
            version = getattr(changes.get(segment(command.key)), "version", 0)
        outcome = Outcome(
            command_id=command.id,
            command_type=command.type,
            aggregate=self.aggregate,
            aggregate_id=command.key,
            status=status,
            time=command.moment,
            correlation_id=command.correlation_id,
            version=version,
            command_source=command.source,
            producer_time=command.producer_time,
            **more,
        )
        return outcome_write(self.topic, outcome)


def outcome_write(topic: str, outcome: Outcome) -> Write:
    """Return the message that carries an outcome."""
    return Write(topic, ANY_PARTITION, outcome.command_id.encode(), outcome.encode(), CONTENT_TYPE)


def given_id(envelope: Mapping[str, Any], at: RecordAt) -> str:
    """Return the id in an envelope, or the one derived from the position of its record."""
    given = envelope.get("id")
    known = isinstance(given, str) and 0 < len(given) <= MAX_ID
    return str(given) if known else derived_id(at.topic, at.partition, at.offset)


def given_type(envelope: Mapping[str, Any]) -> str | None:
    """Return the type in an envelope; None when it is missing or not a string."""
    return given_text(envelope, "type")


def given_text(envelope: Mapping[str, Any], name: str) -> str | None:
    """Return the beginning of an attribute; None when it is not a string: `str` of a deeply nested value raises."""
    given = envelope.get(name)
    return given[:MAX_ID] if isinstance(given, str) and given else None
