"""What one fetch of commands leads to: events, changed entries, outcomes, forwarded commands and dead letters.

One loop for both aggregates; what is theirs is an `AggregateKind`.
"""

import logging
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from aiokafka import ConsumerRecord
from faust.types import TP

from domain.errors import Rejection, StaleVersion
from domain.message import MAX_ID, Command, Event
from streams.codec import BadMessage, decode_command
from streams.codec import Position as At
from streams.messages import (
    CONTENT_TYPE,
    Aggregate,
    CommandMessage,
    DeadLetter,
    EventMessage,
    Outcome,
    derived_id,
    instant_of,
)
from streams.partitions import partition_of
from streams.settings import Settings
from streams.topics import COMMAND_OUTCOMES, DEAD_LETTERS, Topic
from streams.transactions import ANY_PARTITION, Write
from streams.transport import Fetch, Part
from tables.entries import Answer, Position, Recent, event_id, position_key, recall, remember
from tables.store import Changes, PartitionedTable

log = logging.getLogger(__name__)

PROCESS_MANAGER = "fulfilment"  # the source of commands nobody waits for


class Entry(Protocol):
    """What every aggregate's entry has."""

    @property
    def version(self) -> int:
        """The aggregate's version."""

    @property
    def recent(self) -> Recent:
        """The commands it answered lately."""


class AggregateKind(Protocol):
    """What differs between orders and stock."""

    aggregate: Aggregate
    id_field: str
    types: Mapping[str, type[Command]]
    commands: Topic
    events: Topic

    def key(self, aggregate_id: str) -> bytes:
        """Return the key of the aggregate's entry."""

    def decide(
        self, command: Command, entry: Any, changes: Changes[Any], aggregate_id: str
    ) -> tuple[Sequence[Event], Any]:
        """Return the events, and the state after them; entries beside the aggregate's own are changed here."""

    def entry(self, state: Any, version: int, recent: Recent) -> Any:
        """Return the aggregate's entry."""

    def result(self, entry: Any) -> dict[str, Any]:
        """Return what an outcome says of the aggregate."""


@dataclass(slots=True)
class Decided:
    """What a fetch leads to; written in one transaction, merged after its commit."""

    writes: list[Write] = field(default_factory=list)
    offsets: dict[TP, int] = field(default_factory=dict)
    changes: list[Changes[Any]] = field(default_factory=list)

    def merge(self) -> None:
        """Make the changes part of the table."""
        for changes in self.changes:
            changes.merge()


class Deciding:
    """Decides the commands of one kind of aggregate."""

    def __init__(
        self, settings: Settings, kind: AggregateKind, table: PartitionedTable, topic_ids: Mapping[str, str]
    ) -> None:
        self.settings, self.kind, self.table, self.topic_ids = settings, kind, table, topic_ids
        self.events = settings.named(kind.events.name)
        self.outcomes = settings.named(COMMAND_OUTCOMES.name)
        self.dead_letters = settings.named(DEAD_LETTERS.name)
        self.changelog: str = table.changelog_topic.get_topic_name()

    def decide(self, fetch: Fetch) -> Decided:
        """Return what `fetch` leads to, decided in order per partition."""
        decided = Decided()
        for tp, part in fetch.parts.items():
            self._decide_part(tp, part, decided)
            decided.offsets[tp] = part.ended
        return decided

    def _decide_part(self, tp: TP, part: Part, decided: Decided) -> None:
        changes: Changes[Any] = self.table.data.changes(tp.partition)
        position: Position | None = changes.get(position_key(tp.topic))
        handled = position.offset if position else -1
        for record in part.records:
            if record.offset > handled:
                self._handle(record, changes, decided.writes)
        if part.ended - 1 > handled:
            changes.put(position_key(tp.topic), Position(part.ended - 1, self.topic_ids[tp.topic]))
        decided.writes += [Write(self.changelog, tp.partition, key, value) for key, value in changes.encode()]
        decided.changes.append(changes)

    def _handle(self, record: ConsumerRecord, changes: Changes[Any], writes: list[Write]) -> None:
        at = At(record.topic, record.partition, record.offset, record.timestamp / 1000, record.key)
        try:
            command = decode_command(record.value, at, self.kind.types, self.kind.id_field)
        except BadMessage as bad:
            writes += self._refuse(record, at, bad)
            return
        key = self.kind.key(command.key)
        if key not in changes and (target := self._belongs(command.key)) != record.partition:
            writes.append(Write(record.topic, target, command.key.encode(), command.encode(), CONTENT_TYPE))
            return
        written = len(writes)
        changes.begin()
        try:
            self._answer(command, key, record.partition, changes, writes)
        except Exception as bug:  # whatever a handler raises must not stop the other aggregates of its partition
            changes.rollback()
            del writes[written:]
            writes += self._park(record, at, command, bug)

    def _belongs(self, aggregate_id: str) -> int:
        return partition_of(aggregate_id.encode(), self.settings.partitions)

    def _answer(
        self, command: CommandMessage, key: bytes, partition: int, changes: Changes[Any], writes: list[Write]
    ) -> None:
        entry = changes.get(key)
        if entry is not None and (known := recall(entry.recent, command.id)):
            writes.append(self._outcome(known.outcome(command, self.kind.aggregate, self.kind.result(entry))))
            return
        try:
            entry, answer = self._decided(command, entry, partition, changes, writes)
        except Rejection as no:
            entry, answer = self._rejected(command, entry, no)
        if entry is not None:
            changes.put(key, entry)
        if command.source != PROCESS_MANAGER or answer.code:
            result = self.kind.result(entry) if entry is not None else None
            writes.append(self._outcome(answer.outcome(command, self.kind.aggregate, result)))

    def _decided(
        self, command: CommandMessage, entry: Any, partition: int, changes: Changes[Any], writes: list[Write]
    ) -> tuple[Any, Answer]:
        version = entry.version if entry is not None else 0
        if command.expected_version is not None and command.expected_version != version:
            raise StaleVersion(expected=command.expected_version, version=version)
        events, state = self.kind.decide(command.command, entry, changes, command.key)
        for number, event in enumerate(events):
            writes.append(self._event(command, event, version + number + 1, number, partition))
        answer = Answer(
            command.id, command.type, version + len(events), tuple(type(event).__name__ for event in events)
        )
        return self.kind.entry(state, answer.version, self._remembered(command, entry, answer)), answer

    def _rejected(self, command: CommandMessage, entry: Any, no: Rejection) -> tuple[Any, Answer]:
        version = entry.version if entry is not None else 0
        answer = Answer(command.id, command.type, version, (), no.code, no.message, no.details, no.retryable)
        if entry is None or no.retryable:  # nothing to remember it by, or the same question may be asked again
            return entry, answer
        return self.kind.entry(entry.state, version, self._remembered(command, entry, answer)), answer

    def _remembered(self, command: CommandMessage, entry: Any, answer: Answer) -> Recent:
        recent: Recent = entry.recent if entry is not None else ()
        if command.source == PROCESS_MANAGER:  # it never asks twice, and its commands are totals: a repeat is quiet
            return recent
        return remember(recent, answer, self.settings.recent_commands)

    def _event(self, command: CommandMessage, event: Event, sequence: int, number: int, partition: int) -> Write:
        message = EventMessage(
            id=event_id(command.key, command.id, number),
            key=command.key,
            event=event,
            sequence=sequence,
            time=command.time,
            source=self.kind.aggregate,
            correlation_id=command.correlation_id,
            causation_id=command.id,
        )
        return Write(self.events, partition, command.key.encode(), message.encode(), CONTENT_TYPE)

    def _outcome(self, outcome: Outcome) -> Write:
        return Write(self.outcomes, ANY_PARTITION, outcome.command_id.encode(), outcome.encode(), CONTENT_TYPE)

    def _refuse(self, record: ConsumerRecord, at: At, bad: BadMessage) -> list[Write]:
        envelope = bad.envelope
        given = envelope.get("id")
        known = isinstance(given, str) and 0 < len(given) <= MAX_ID
        command_id = str(given) if known else derived_id(at.topic, at.partition, at.offset)
        outcome = Outcome(
            command_id=command_id,
            command_type=str(envelope.get("type"))[:MAX_ID],
            aggregate=self.kind.aggregate,
            aggregate_id=record.key.decode(errors="replace")[:MAX_ID] if record.key else "",
            status="rejected",
            time=instant_of(at.timestamp),
            correlation_id=str(envelope.get("correlationid") or command_id)[:MAX_ID],
            code=bad.code,
            message=bad.message,
            details=bad.details,
        )
        return [self._outcome(outcome), self._dead_letter(record, at, "invalid", bad.code, bad.message)]

    def _park(self, record: ConsumerRecord, at: At, command: CommandMessage, bug: Exception) -> list[Write]:
        log.exception("%s %s of %s failed", command.type, command.id, command.key)
        code, message = "PROCESSING_FAILED", f"{type(bug).__name__}: {bug}"
        answer = Answer(command.id, command.type, 0, (), code, "the command could not be handled; see dead-letters")
        trace = "".join(traceback.format_exception(bug))
        return [
            self._outcome(answer.outcome(command, self.kind.aggregate, None)),
            self._dead_letter(record, at, "parked", code, message, trace),
        ]

    def _dead_letter(
        self, record: ConsumerRecord, at: At, kind: Any, code: str, message: str, trace: str | None = None
    ) -> Write:
        letter = DeadLetter(
            kind=kind,
            topic=at.topic,
            partition=at.partition,
            offset=at.offset,
            key=record.key,
            value=record.value,
            headers=tuple(record.headers),
            code=code,
            message=message,
            time=instant_of(at.timestamp),
            traceback=trace,
        )
        return Write(self.dead_letters, ANY_PARTITION, record.key, letter.encode(), CONTENT_TYPE)
