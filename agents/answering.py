"""One command's way to its answer: what the aggregate decides, as events, a changed entry and an outcome."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, cast

from msgspec.structs import replace

from domain import fulfilment
from domain.errors import CommandIdReused, InvalidId, InvalidOrder, InvalidQuantity, Rejection, StaleVersion
from domain.inventory import InventoryCommand
from domain.message import MAX_ID, Event
from domain.orders import OrderCommand
from domain.orders.commands import PlaceOrder
from parking.handling import ACCEPTED, Effects
from parking.queue import Letter
from streams.kafka.transactions import ANY_PARTITION, Write
from streams.keys import segment
from streams.messages.codec import BadMessage, RecordAt, source_of
from streams.messages.envelope import (
    CONTENT_TYPE,
    CommandMessage,
    EventMessage,
    Outcome,
    derived_id,
    event_id,
    instant_of,
)
from streams.messages.expected import holds, shown
from streams.runtime import faults
from streams.runtime.settings import Settings
from streams.topics import COMMAND_OUTCOMES
from streams.tracing import traces
from streams.tracing.spans import Span
from tables.entries import Answer, Recent, recall, remember
from tables.store import Changes

from .aggregate import AggregateKind, Entry
from .process_manager import PROCESS_MANAGER, ProcessManager
from .traces import managing

REPEATED, DISCARDED = "repeated", "DISCARDED"  # an outcome, as it is counted; a code

# Rejections of what makes no sense whatever the state is: kept as dead letters, like what cannot be read.
NONSENSE = frozenset({InvalidId.code, InvalidOrder.code, InvalidQuantity.code})


def nobody_waits(command: CommandMessage) -> bool:
    """Return whether the process manager sent `command`: others may use its source, so the content counts, too."""
    return (
        command.source == PROCESS_MANAGER
        and command.causation_id is not None
        and fulfilment.sends(cast("OrderCommand | InventoryCommand", command.command))  # no others are decoded
    )


def places_order(command: CommandMessage) -> bool:
    """Return whether the order that `command` places is all of its content.

    The order is kept, and a repeat is compared with it: a digest would take a tenth of the time of the whole decision.
    """
    return command.expected_version is None and type(command.command) is PlaceOrder


class Answering:
    """Answers the commands of one kind of aggregate; it is the handling that parking wraps."""

    def __init__(self, settings: Settings, kind: AggregateKind) -> None:
        self.kind, self.aggregate, self.recent_commands = kind, kind.aggregate, settings.recent_commands
        self.events = settings.named(kind.topics.events.name)
        self.outcomes = settings.named(COMMAND_OUTCOMES.name)
        self.process_manager = ProcessManager(settings)

    def answer(self, command: CommandMessage, partition: int, changes: Changes[Any]) -> Effects:
        """Decide a command, or answer it as it was answered before. May raise anything: a rejection is an answer."""
        if faults.ARMED:
            faults.fault(command.type)
        key = segment(command.key)
        entry: Entry | None = changes.get(key)
        quiet = nobody_waits(command)
        if entry is not None and not quiet and (known := recall(entry.recent, command)):
            return self._answer_again(command, known, entry, changes)
        try:
            entry, answer, effects = self._decided(command, entry, partition, changes, quiet)
        except Rejection as no:
            entry, answer = self._rejected(command, entry, no, quiet)
            effects = Effects(no.code, nonsense=no.message if no.code in NONSENSE else None)
        if entry is not None:
            changes.put(key, entry)
        if answer.code or not quiet:
            effects.writes.append(self._told(answer, command, entry))
        return effects

    def _decided(
        self, command: CommandMessage, entry: Entry | None, partition: int, changes: Changes[Any], quiet: bool
    ) -> tuple[Entry, Answer, Effects]:
        """Return the entry after the events that a command causes, its answer, and the events as they are written."""
        version, last = (entry.version, entry.time) if entry is not None else (0, "")
        if (expected := command.expected_version) is not None and not holds(expected, version):
            raise StaleVersion(expected=shown(expected), version=version)
        events, state = self.kind.decide(command, entry, changes)
        time = max(command.moment, last) if events else last  # the broker's clock may be set back
        effects = self._written(command, events, version, partition, time, quiet)
        types = tuple([type(event).__name__ for event in events])
        answer = Answer(  # by position: names cost as much again
            command.id,
            command.type,
            version + len(events),
            types,
            None,
            None,
            None,
            False,
            bool(types),
            None if quiet else command.source,
            None if quiet or (places_order(command) and types) else command.digest(),
        )
        return self.kind.entry(state, answer.version, self._remembered(entry, answer, quiet), time), answer, effects

    def _written(
        self, command: CommandMessage, events: Sequence[Event], version: int, partition: int, time: str, quiet: bool
    ) -> Effects:
        """Return events as they are written, each with the commands it causes; if those fail, the command fails."""
        writes: list[Write] = []
        spans: list[Span] = []
        key, said = command.key.encode(), None if quiet else command.producer_time
        for sequence, event in enumerate(events, version + 1):
            message = EventMessage(  # by position: names cost as much again
                event_id(self.aggregate, command.key, sequence),
                command.key,
                event,
                sequence,
                time,
                self.aggregate,
                command.correlation_id,
                command.id,
                said,
            )
            writes.append(Write(self.events, partition, key, message.encode(), CONTENT_TYPE))
            caused = self.process_manager.commands(message)
            if caused:
                writes += caused
                if traces.ON is not None:
                    spans += managing(traces.ON, message, len(caused))
        return Effects(ACCEPTED, writes, spans)

    def _rejected(
        self, command: CommandMessage, entry: Entry | None, no: Rejection, quiet: bool
    ) -> tuple[Entry | None, Answer]:
        version = entry.version if entry is not None else 0
        answer = Answer(command.id, command.type, version, (), no.code, no.message, no.details, no.retryable)
        if entry is None or no.retryable:  # nothing to remember it by, or the same question may be asked again
            return entry, answer
        if not quiet:
            answer = replace(answer, source=command.source, digest=command.digest())
        return self.kind.entry(entry.state, version, self._remembered(entry, answer, quiet), entry.time), answer

    def _remembered(self, entry: Entry | None, answer: Answer, quiet: bool) -> Recent:
        recent: Recent = entry.recent if entry is not None else ()
        if quiet:  # the process manager never asks twice, and its commands are totals: a repeat is quiet
            return recent
        return remember(recent, answer, self.recent_commands)

    # --- commands that were answered before

    def _answer_again(self, command: CommandMessage, known: Answer, entry: Entry, changes: Changes[Any]) -> Effects:
        """Answer a command whose identity was used before: as it was answered, if it is the same command."""
        if self._is_same(command, known, entry, changes):
            return Effects(REPEATED, [self._told(known, command, entry)])
        no = CommandIdReused(commandId=command.id, source=command.source, commandType=known.command_type)
        answer = Answer(command.id, command.type, entry.version, (), no.code, no.message, no.details)
        return Effects(no.code, [self._told(answer, command, entry)])

    def _is_same(self, command: CommandMessage, known: Answer, entry: Entry, changes: Changes[Any]) -> bool:
        """Return whether `command` has the content of the one that was answered."""
        if known.digest is not None:
            return known.digest == command.digest()
        if known.source is None:  # older code did not remember the content
            return True
        if command.type != known.command_type:
            return False
        if known.command_type != PlaceOrder.__name__:
            return True
        if not places_order(command):
            return False
        try:
            self.kind.decide(command, entry, changes)
        except Rejection:
            return False
        return True

    # --- outcomes

    def _told(self, answer: Answer, command: CommandMessage, entry: Entry | None) -> Write:
        """Return the outcome that tells of `answer`."""
        if entry is None:
            return self._outcome(answer.outcome(command, self.aggregate, None))
        return self._outcome(answer.outcome(command, self.aggregate, entry.result, entry.time))

    def refusal(self, at: RecordAt, bad: BadMessage) -> Write:
        """Return the outcome of an invalid command."""
        envelope = bad.envelope
        command_id = given_id(envelope, at)
        return self._outcome(
            Outcome(
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
        )

    def discarded(
        self, command: CommandMessage, letter: Letter, sent: CommandMessage | None, reason: str, changes: Changes[Any]
    ) -> Write:
        """Return the outcome of the command in a letter that `command` discards, and remember it."""
        answer = Answer(letter.command_id, letter.command_type or "", 0, (), DISCARDED, f"discarded: {reason}")
        source = source_of({})
        if sent is not None:
            source = sent.source
            answer = replace(answer, source=source, digest=sent.digest())
        key = segment(command.key)
        with suppress(Exception):  # an entry that cannot be read may be why it is discarded
            if (entry := changes.get(key)) is not None:
                answer = replace(answer, version=entry.version)
                recent = remember(entry.recent, answer, self.recent_commands)
                changes.put(key, self.kind.entry(entry.state, entry.version, recent, entry.time))
        sender = replace(command, id=letter.command_id, source=source)
        return self._outcome(answer.outcome(sender, self.aggregate, None))

    def report(self, command: CommandMessage, result: dict[str, Any], changes: Changes[Any]) -> Write:
        """Return the outcome of a command about letters."""
        version = 0
        with suppress(Exception):  # an entry that cannot be read may be what the letters are about
            version = getattr(changes.get(segment(command.key)), "version", 0)
        return self._outcome(
            Outcome(
                command_id=command.id,
                command_type=command.type,
                aggregate=self.aggregate,
                aggregate_id=command.key,
                status="accepted",
                time=command.moment,
                correlation_id=command.correlation_id,
                version=version,
                result=result,
                command_source=command.source,
                producer_time=command.producer_time,
            )
        )

    def _outcome(self, outcome: Outcome) -> Write:
        return Write(self.outcomes, ANY_PARTITION, outcome.command_id.encode(), outcome.encode(), CONTENT_TYPE)


def given_id(envelope: Mapping[str, Any], at: RecordAt) -> str:
    """Return the id a command came with, or the one its position makes."""
    given = envelope.get("id")
    known = isinstance(given, str) and 0 < len(given) <= MAX_ID
    return str(given) if known else derived_id(at.topic, at.partition, at.offset)


def given_type(envelope: Mapping[str, Any]) -> str | None:
    """Return the type a message came with; None when it has none, or one that is no text."""
    return given_text(envelope, "type")


def given_text(envelope: Mapping[str, Any], name: str) -> str | None:
    """Return the beginning of an attribute; None where it is no text, which may be nested deeper than `str` goes."""
    given = envelope.get(name)
    return given[:MAX_ID] if isinstance(given, str) and given else None
