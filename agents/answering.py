"""One command's way to its answer: what the aggregate decides, as events, a changed entry and an outcome."""

from collections.abc import Mapping
from typing import Any

from domain import fulfilment
from domain.errors import CommandIdReused, Rejection, StaleVersion
from domain.frozen import replace
from domain.message import MAX_ID, Event
from domain.orders.commands import PlaceOrder
from streams.kafka.transactions import ANY_PARTITION, Write
from streams.messages.codec import BadMessage, source_of
from streams.messages.codec import Position as At
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
from tables.entries import Answer, Recent, recall, remember
from tables.store import Changes

from .decided import Decided
from .kind import AggregateKind
from .process_manager import PROCESS_MANAGER, ProcessManager
from .traces import managing


def nobody_waits(command: CommandMessage) -> bool:
    """Return whether `command` is the process manager's; anybody may call himself that, so it must look like one."""
    return (
        command.source == PROCESS_MANAGER and command.causation_id is not None and fulfilment.sends(command.command)  # type: ignore[arg-type]
    )


def places_order(command: CommandMessage) -> bool:
    """Return whether the order that `command` places is all of its content.

    The order is kept, and a repeat is compared with it: a digest would take a tenth of the time of the whole decision.
    """
    return command.expected_version is None and type(command.command) is PlaceOrder


class Answering:
    """Answers commands of one kind of aggregate."""

    def __init__(self, settings: Settings, kind: AggregateKind) -> None:
        self.settings, self.kind = settings, kind
        self.events = settings.named(kind.events.name)
        self.outcomes = settings.named(COMMAND_OUTCOMES.name)
        self.process_manager = ProcessManager(settings)

    def answer(self, command: CommandMessage, partition: int, changes: Changes[Any], decided: Decided) -> Answer | None:
        """Decide `command` and return the answer; None when only what was decided before is said again.

        Whatever a handler raises goes on to the caller.
        """
        if faults.ARMED:
            faults.fault(command.type)
        key = self.kind.key(command.key)
        entry = changes.get(key)
        quiet = nobody_waits(command)
        if entry is not None and not quiet and (known := recall(entry.recent, command)):
            return self._known(command, known, entry, changes, decided.writes)
        try:
            entry, answer = self._decided(command, entry, partition, changes, decided, quiet)
        except Rejection as no:
            entry, answer = self._rejected(command, entry, no, quiet)
        if entry is not None:
            changes.put(key, entry)
        if answer.code or not quiet:
            decided.writes.append(self._told(answer, command, entry))
        return answer

    def _known(
        self, command: CommandMessage, known: Answer, entry: Any, changes: Changes[Any], writes: list[Write]
    ) -> Answer | None:
        """Answer a command whose identity was used before; return None when it is the same command again."""
        answer, same = known, self._is_same(command, known, entry, changes)
        if not same:
            no = CommandIdReused(commandId=command.id, source=command.source, commandType=known.command_type)
            answer = Answer(command.id, command.type, entry.version, (), no.code, no.message, no.details)
        writes.append(self._told(answer, command, entry))
        return None if same else answer

    def _told(self, answer: Answer, command: CommandMessage, entry: Any) -> Write:
        """Return the outcome that tells of `answer`."""
        if entry is None:
            return self.outcome(answer.outcome(command, self.kind.aggregate, None))
        return self.outcome(answer.outcome(command, self.kind.aggregate, self.kind.result(entry), entry.time))

    def _is_same(self, command: CommandMessage, known: Answer, entry: Any, changes: Changes[Any]) -> bool:
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
            self.kind.decide(command.command, entry, changes, command.key)
        except Rejection:
            return False
        return True

    def _decided(
        self,
        command: CommandMessage,
        entry: Any,
        partition: int,
        changes: Changes[Any],
        decided: Decided,
        quiet: bool,
    ) -> tuple[Any, Answer]:
        version = entry.version if entry is not None else 0
        if (expected := command.expected_version) is not None and not holds(expected, version):
            raise StaleVersion(expected=shown(expected), version=version)
        events, state = self.kind.decide(command.command, entry, changes, command.key)
        last: str = entry.time if entry is not None else ""
        time = max(command.moment, last) if events else last  # the broker's clock may be set back
        said = None if quiet else command.producer_time
        for sequence, event in enumerate(events, version + 1):
            message = self._event(command, event, sequence, time, said)
            key = command.key.encode()
            decided.writes.append(Write(self.events, partition, key, message.encode(), CONTENT_TYPE))
            self._cause(message, decided)
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
        return self.kind.entry(state, answer.version, self._remembered(entry, answer, quiet), time), answer

    def _rejected(self, command: CommandMessage, entry: Any, no: Rejection, quiet: bool) -> tuple[Any, Answer]:
        version = entry.version if entry is not None else 0
        answer = Answer(command.id, command.type, version, (), no.code, no.message, no.details, no.retryable)
        if entry is None or no.retryable:  # nothing to remember it by, or the same question may be asked again
            return entry, answer
        if not quiet:
            answer = replace(answer, source=command.source, digest=command.digest())
        return self.kind.entry(entry.state, version, self._remembered(entry, answer, quiet), entry.time), answer

    def _remembered(self, entry: Any, answer: Answer, quiet: bool) -> Recent:
        recent: Recent = entry.recent if entry is not None else ()
        if quiet:  # the process manager never asks twice, and its commands are totals: a repeat is quiet
            return recent
        return remember(recent, answer, self.settings.recent_commands)

    def _event(self, command: CommandMessage, event: Event, sequence: int, time: str, said: str | None) -> EventMessage:
        return EventMessage(  # by position: names cost as much again
            event_id(self.kind.aggregate, command.key, sequence),
            command.key,
            event,
            sequence,
            time,
            self.kind.aggregate,
            command.correlation_id,
            command.id,
            None,
            said,
        )

    def _cause(self, event: EventMessage, decided: Decided) -> None:
        """Write the commands that `event` causes beside it: what fails in that parks the command like any failure."""
        commands = self.process_manager.commands(event)
        decided.writes += commands
        if traces.ON is not None and commands:
            decided.spans += managing(traces.ON, event, len(commands))

    def refusal(self, at: At, bad: BadMessage) -> Write:
        """Return the outcome of a message that is no command."""
        envelope = bad.envelope
        command_id = given_id(envelope, at)
        outcome = Outcome(
            command_id=command_id,
            command_type=given_type(envelope) or "",
            aggregate=self.kind.aggregate,
            aggregate_id=at.key.decode(errors="replace")[:MAX_ID] if at.key else "",
            status="rejected",
            time=instant_of(at.timestamp),
            correlation_id=given_text(envelope, "correlationid") or command_id,
            code=bad.code,
            message=bad.message,
            details=bad.details,
            command_source=source_of(envelope),
        )
        return self.outcome(outcome)

    def outcome(self, outcome: Outcome) -> Write:
        """Return the record that answers who waits for a command."""
        return Write(self.outcomes, ANY_PARTITION, outcome.command_id.encode(), outcome.encode(), CONTENT_TYPE)


def given_id(envelope: Mapping[str, Any], at: At) -> str:
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
