"""How a command is answered: the aggregate's events, the commands they cause, a changed entry and an outcome."""

import time as clock
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from msgspec.structs import replace

from domain import fulfilment
from domain.errors import (
    CommandExpired,
    CommandIdReused,
    InvalidId,
    InvalidOrder,
    InvalidQuantity,
    Rejection,
    StaleVersion,
)
from domain.inventory import InventoryCommand, InventoryEvent
from domain.message import Event
from domain.orders import OrderCommand, OrderEvent
from domain.orders.commands import PlaceOrder
from parking.effects import ACCEPTED, Effects
from privacy.repeats import PERSONAL, has_sealed, is_comparable, with_those_of
from streams.kafka.transactions import ANY_PARTITION, Write
from streams.keys import segment
from streams.messages.envelope import (
    CONTENT_TYPE,
    Aggregate,
    CommandMessage,
    EventMessage,
    derived_id,
    event_id,
    instant_of,
)
from streams.messages.expected import holds, shown
from streams.runtime import faults
from streams.runtime.settings import Settings
from streams.topics import COMMAND_OUTCOMES
from streams.topology import AGGREGATES
from streams.tracing import traces
from streams.tracing.spans import Span
from tables.entries import Answer, recall, remember
from tables.orders import ArchivedEntry, RestoredEntry
from tables.store import Changes
from tables.timers import TIMER, entry_of, time_of, timer_key

from .aggregate import AggregateKind, Entry
from .planning import Planning
from .replying import outcome_write
from .restoring import Restored
from .traces import managing

if TYPE_CHECKING:
    from privacy.sealing_commands import Sealing  # loads a library of ciphers, which is used only if they are

TIMERS = "timers"  # the source of what is decided because of the time
PROCESS_MANAGER = "fulfilment"  # the source of the commands that events cause
REPEATED = "repeated"  # an outcome, as it is counted

# Rejections of commands that make no sense whatever the state is: kept as dead letters, like unreadable messages.
NONSENSE = frozenset({InvalidId.code, InvalidOrder.code, InvalidQuantity.code})


class StillDue(Exception):
    """A deadline has passed, and the aggregate does not act on it."""


def is_caused(command: CommandMessage) -> bool:
    """Return whether the process manager sent `command`; others may use its source, so the content counts, too."""
    return (
        command.source == PROCESS_MANAGER
        and command.causation_id is not None
        and fulfilment.sends(cast("OrderCommand | InventoryCommand", command.command))  # no others are decoded
    )


def places_order(command: CommandMessage) -> bool:
    """Return whether the order that `command` places is all of its content.

    The order is kept, and a repeat is compared with it. A digest would take a tenth of the time of the whole decision.
    """
    return command.expected_version is None and type(command.command) is PlaceOrder


class Answering:
    """Answers the commands of one kind of aggregate; parking wraps it."""

    def __init__(
        self,
        settings: Settings,
        kind: AggregateKind,
        sealing: "Sealing | None" = None,
        now: Callable[[], float] = clock.time,
    ) -> None:
        self.now = now
        self.kind, self.aggregate, self.recent_commands = kind, kind.aggregate, settings.recent_commands
        self.sealing = sealing
        planning = Planning(settings)
        self.planning = planning if planning.is_needed else None
        self.restored = Restored()
        self.events = settings.named(kind.topics.events.name)
        self.outcomes = settings.named(COMMAND_OUTCOMES.name)
        self.command_topics = command_topics(settings)

    def answer(self, command: CommandMessage, partition: int, changes: Changes[Any]) -> Effects:
        """Decide a command, or answer it as it was answered before. May raise anything: a rejection is an answer."""
        if faults.ARMED:
            faults.fault(command.type)
        key = segment(command.key)
        kept: Any = changes.get(key)
        entry: Entry | None = self._restored(partition, key, kept, changes) if type(kept) is ArchivedEntry else kept
        if self.planning is not None and entry is None and type(command.command) is PlaceOrder:
            command = self.planning.planned(command)
        if type(command.command) in PERSONAL:
            if self.sealing is not None:
                return self._answer_sealed(self.sealing, key, command, entry, partition, changes)
            # Encryption may have been turned off, or other workers have it.
            if entry is not None and type(command.command) is PlaceOrder and has_sealed(entry.state):
                command = with_those_of(entry.state, command)
        return self._answer(key, command, entry, partition, changes)

    def check_time(self, command: CommandMessage) -> None:
        """Raise `CommandExpired` if a command is no longer valid."""
        if command.valid_until is not None and command.valid_until <= instant_of(self.now()):
            raise CommandExpired(validUntil=command.valid_until)

    def _restored(self, partition: int, key: bytes, kept: ArchivedEntry, changes: Changes[Any]) -> RestoredEntry:
        """Return an archived order; remember where its events are, so that they are searched for once."""
        entry = self.restored.entry(partition, key, kept)
        if kept.offsets != entry.offsets:
            changes.put(key, kept.with_offsets(entry.offsets))
        return entry

    def fire(self, timer: bytes, now: str, partition: int, changes: Changes[Any]) -> Effects:
        """Decide what a timer that is due at `now` causes, and delete it.

        May raise any error; a timer is never rejected. The aggregate may then have another timer. A timer without a
        reason, such as one that older code has left behind, causes nothing.
        """
        changes.put(timer, None)
        entry_key, effects = entry_of(timer), Effects()
        due = changes.due(entry_key)
        if due is not None and due <= now:
            effects = self._reached(entry_key, time_of(timer), now, partition, changes)
            due = changes.due(entry_key)
            if due is not None and due <= now:
                raise StillDue(f"{entry_key.decode()} is still due at {due}")
        if due is not None:
            changes.put(timer_key(due, entry_key), TIMER)
        return effects

    def _reached(self, entry_key: bytes, due: str, now: str, partition: int, changes: Changes[Any]) -> Effects:
        """Decide what the deadline of an entry causes."""
        aggregate_id, command = self.kind.timed(entry_key, now)
        key = segment(aggregate_id)
        entry: Any = changes.get(key)
        if type(entry) is ArchivedEntry:
            return Effects()
        cause = derived_id(f"{self.aggregate}/{aggregate_id}", "timer", entry.version if entry else 0, due)
        message = CommandMessage(cause, aggregate_id, command, now, TIMERS, cause)
        return self._accepted(key, message, entry, partition, changes, quiet=True)

    def _answer(
        self, key: bytes, command: CommandMessage, entry: Entry | None, partition: int, changes: Changes[Any]
    ) -> Effects:
        quiet = is_caused(command)
        if entry is not None and not quiet and (known := recall(entry.recent, command)):
            return self._answer_again(command, known, entry, changes)
        try:
            return self._accepted(key, command, entry, partition, changes, quiet)
        except Rejection as no:
            return self._rejected(key, command, entry, changes, no, quiet)

    def _answer_sealed(
        self,
        sealing: "Sealing",
        key: bytes,
        command: CommandMessage,
        entry: Entry | None,
        partition: int,
        changes: Changes[Any],
    ) -> Effects:
        """Seal the personal data of a command, then answer it; the customer's first order creates the key."""
        command, new = sealing.seal(command, None if entry is None else entry.state, partition, changes)
        effects = self._answer(key, command, entry, partition, changes)
        if new is None or effects.outcome != ACCEPTED:
            return effects
        changes.put(new.entry, new.key)
        return replace(effects, writes=[*effects.writes, new.write])

    def _accepted(
        self,
        key: bytes,
        command: CommandMessage,
        entry: Entry | None,
        partition: int,
        changes: Changes[Any],
        quiet: bool,
    ) -> Effects:
        """Decide a command that is not a repeat; raise a Rejection if the aggregate refuses it.

        The process manager gets no answer, and none is kept: it never asks twice, and repeats of its commands, which
        are totals, have no effect.
        """
        self.check_time(command)
        version, last, recent = (entry.version, entry.time, entry.recent) if entry is not None else (0, "", ())
        if (expected := command.expected_version) is not None and not holds(expected, version):
            raise StaleVersion(expected=shown(expected), version=version)
        events, state = self.kind.decide(command, entry, changes)
        time = max(command.moment, last) if events else last  # the broker's clock may be set back
        writes, spans = self._written(command, events, version, partition, time, quiet)
        version += len(events)
        if not quiet:
            answer = _accepting(command, version, events)
            if type(command.command) in self.kind.telling and self.kind.told is not None:
                answer = replace(answer, details=self.kind.told(events))
            changed = self.kind.entry(state, version, remember(recent, answer, self.recent_commands), time)
            writes.append(self._told(answer, command, changed))
            if events or type(entry) is not RestoredEntry:
                changes.put(key, changed)
            else:
                self._keep_archived(key, answer, changes)
        elif events:
            changes.put(key, self.kind.entry(state, version, recent, time))
        return Effects(ACCEPTED, writes, spans)

    def _written(
        self, command: CommandMessage, events: Sequence[Event], version: int, partition: int, time: str, quiet: bool
    ) -> tuple[list[Write], list[Span]]:
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
                command.principal,
            )
            writes.append(Write(self.events, partition, key, message.encode(), CONTENT_TYPE))
            if commands := caused(message, self.command_topics):
                writes += commands
                if traces.ON is not None:
                    spans += managing(traces.ON, message, len(commands))
        return writes, spans

    def _rejected(
        self,
        key: bytes,
        command: CommandMessage,
        entry: Entry | None,
        changes: Changes[Any],
        no: Rejection,
        quiet: bool,
    ) -> Effects:
        """Answer a command that the aggregate rejects; keep the answer, unless the same question may be asked again."""
        version = entry.version if entry is not None else 0
        answer = Answer(command.id, command.type, version, (), no.code, no.message, no.details, no.retryable)
        if entry is not None and not no.retryable and not quiet:
            answer = replace(answer, source=command.source, digest=command.digest())
            if type(entry) is RestoredEntry:
                self._keep_archived(key, answer, changes)
            else:
                recent = remember(entry.recent, answer, self.recent_commands)
                changes.put(key, self.kind.entry(entry.state, version, recent, entry.time))
        nonsense = no.message if no.code in NONSENSE else None
        return Effects(no.code, [self._told(answer, command, entry)], nonsense=nonsense)

    def _keep_archived(self, key: bytes, answer: Answer, changes: Changes[Any]) -> None:
        """Keep the answer to a command that does not change an archived order, which stays archived."""
        kept: Any = changes.get(key)
        changes.put(key, replace(kept, recent=remember(kept.recent, answer, self.recent_commands)))

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
            return known.digest == command.digest() or _is_unknown(command, known, entry)
        if known.source is None:  # older code did not remember the content
            return True
        if command.type != known.command_type:
            return False
        if known.command_type != PlaceOrder.__name__:  # rebuilt from an outcome of older code, which had no digest
            return True
        if not places_order(command):
            return False
        try:
            self.kind.decide(command, entry, changes)
        except Rejection:
            return False
        return True

    def _told(self, answer: Answer, command: CommandMessage, entry: Entry | None) -> Write:
        """Return the outcome that carries `answer`."""
        result, last = (None, "") if entry is None else (entry.result, entry.time)
        return outcome_write(self.outcomes, answer.outcome(command, self.aggregate, result, last))


def _is_unknown(command: CommandMessage, known: Answer, entry: Entry) -> bool:
    """Return whether the personal data of a repeat cannot be compared with what was answered: it counts as the same."""
    is_personal = type(command.command) in PERSONAL and command.type == known.command_type
    return is_personal and not is_comparable(command.command, entry.state)


def _accepting(command: CommandMessage, version: int, events: Sequence[Event]) -> Answer:
    """Return the answer to an accepted command, which left the aggregate at `version`."""
    types = tuple([type(event).__name__ for event in events])
    digest = None if types and places_order(command) else command.digest()
    return Answer(
        command.id, command.type, version, types, by_sequence=bool(types), source=command.source, digest=digest
    )


def command_topics(settings: Settings) -> Mapping[Aggregate, str]:
    """Return the full names of the topics that the process manager sends commands to."""
    return {name: settings.named(topics.commands.name) for name, topics in AGGREGATES.items()}


def caused(event: EventMessage, topics: Mapping[Aggregate, str]) -> list[Write]:
    """Return the commands that `event` causes; for the same event they are the same, ids included."""
    of_event = cast("OrderEvent | InventoryEvent", event.event)  # there are no others
    writes = []
    for number, request in enumerate(fulfilment.commands(of_event, event.key, event.sequence)):
        key = request.key
        command = CommandMessage(  # by position: names cost as much again
            derived_id(f"{event.id}/{number}"),
            key,
            request.command,
            event.time,
            PROCESS_MANAGER,
            event.correlation_id,
            event.id,
        )
        writes.append(Write(topics[request.aggregate], ANY_PARTITION, key.encode(), command.encode(), CONTENT_TYPE))
    return writes
