"""What one fetch of commands leads to: events, changed entries, outcomes, forwarded commands and dead letters.

One loop for both aggregates; what is theirs is an `AggregateKind`.
"""

from collections.abc import Container, Mapping
from types import MappingProxyType
from typing import Any

from aiokafka import ConsumerRecord
from faust.types import TP

from domain.errors import InvalidId, InvalidOrder, InvalidQuantity
from domain.message import Command
from parking.letter import LETTER_COMMANDS
from streams.kafka.partitions import partition_of
from streams.kafka.received import received_at
from streams.kafka.transactions import TOO_LARGE, Write
from streams.kafka.transport import Fetch, Part
from streams.kafka.unreadable import CannotRead, Unreadable
from streams.messages.codec import BadMessage, decode_command
from streams.messages.codec import Position as At
from streams.messages.envelope import CONTENT_TYPE, CommandMessage, instant_of
from streams.runtime import faults
from streams.runtime.settings import Settings
from streams.tracing import traces
from tables.entries import Position, position_key
from tables.store import Changes, PartitionedTable

from .answering import Answering, given_id, given_type
from .decided import Decided as Decided
from .kind import AggregateKind as AggregateKind
from .letter import BEHIND, FAILED, failed, letter_of, letter_with, without_value
from .letters import Parking, QueueFull
from .portions import Event, Refusal, Resort
from .retrying import Retrying, is_about_letters
from .traces import deciding

MESSAGE_TOO_LARGE, REFUSED_BY_KAFKA = "MESSAGE_TOO_LARGE", "REFUSED_BY_KAFKA"  # codes
UNREAD = "unread"  # the type of a command that could not be read
ACCEPTED, REPEATED, PARKED, FORWARDED = "accepted", "repeated", "parked", "forwarded"  # outcomes, as they are counted

# Rejections of what makes no sense whatever the state is: kept as dead letters, like what cannot be read.
NONSENSE = frozenset({InvalidId.code, InvalidOrder.code, InvalidQuantity.code})


class Deciding:
    """Decides the commands of one kind of aggregate."""

    def __init__(
        self,
        settings: Settings,
        kind: AggregateKind,
        table: PartitionedTable,
        topic_ids: Mapping[str, str],
        skipped: Container[Event] = (),
        refusals: Mapping[Event, Refusal] = MappingProxyType({}),
    ) -> None:
        self.skipped, self.refusals = skipped, refusals
        self.settings, self.kind, self.table, self.topic_ids = settings, kind, table, topic_ids
        self.types: Mapping[str, type[Command]] = {**kind.types, **LETTER_COMMANDS}
        self.answering = Answering(settings, kind)
        self.parking = Parking(settings, self.answering)
        self.retrying = Retrying(settings, self.answering, self.parking)
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
                try:
                    self._handle(record, changes, decided)
                except (QueueFull, CannotRead) as stop:
                    if isinstance(stop, QueueFull):
                        decided.stops[tp] = f"{tp.topic}/{tp.partition} is blocked at offset {record.offset}: {stop}"
                    part.records = [each for each in part.records if each.offset < record.offset]
                    break
        if not self.refusals:  # a reminder is nothing that the record leads to
            self.parking.remind(changes, decided)
        if part.ended - 1 > handled:
            changes.put(position_key(tp.topic), Position(part.ended - 1, self.topic_ids[tp.topic]))
        decided.writes += [Write(self.changelog, tp.partition, key, value) for key, value in changes.encode()]
        decided.changes.append(changes)

    def _handle(self, record: ConsumerRecord, changes: Changes[Any], decided: Decided) -> None:
        at = At(record.topic, record.partition, record.offset, received_at(record), record.key)
        refusal = self.refusals.get((record.topic, record.partition, record.offset)) if self.refusals else None
        try:
            command = decode_command(record.value, at, self.types, self.kind.id_field, record.headers)
        except BadMessage as bad:
            if isinstance(record, Unreadable):
                self._pass(record, decided)
            else:
                self._refuse(record, at, bad, decided, refusal)
            return
        except RecursionError:  # JSON may be nested 1,024 deep, which Python cannot show
            self._refuse(record, at, BadMessage("INVALID_MESSAGE", "the message is nested too deep"), decided)
            return
        except Exception as bug:  # ours: the message may be as good as any
            self._park_unread(record, at, bug, changes, decided)
            return
        if faults.ARMED:
            faults.fault("decoded")
        if refusal is not None and refusal.resort is not Resort.SINGLY:
            self._handle_refused(record, at, command, refusal, changes, decided)
            return
        outcome = self._outcome(record, command, changes, decided)
        decided.commands[command.type, outcome] += 1
        if traces.ON is not None:
            decided.spans += deciding(traces.ON, record, command, outcome)

    def _handle_refused(
        self,
        record: ConsumerRecord,
        at: At,
        command: CommandMessage,
        refusal: Refusal,
        changes: Changes[Any],
        decided: Decided,
    ) -> None:
        """Handle a command although Kafka refuses what it leads to."""
        if is_about_letters(command.command):
            self.retrying.obey(command, record.partition, changes, decided, refusal)
            return
        key = self.kind.key(command.key)
        elsewhere = key not in changes and self._belongs(command.key) != record.partition
        if elsewhere or refusal.resort is Resort.REJECTED:
            code = MESSAGE_TOO_LARGE if refusal.why.code in TOO_LARGE else REFUSED_BY_KAFKA
            sentence = f"Kafka refuses what this command leads to: {refusal.why}"
            envelope = {"id": command.id, "type": command.type, "source": command.source}
            envelope["correlationid"] = command.correlation_id
            self._refuse(record, at, BadMessage(code, sentence, envelope), decided, refusal)
            return
        self.parking.make_room(record.partition, changes, decided)
        letter = failed(letter_with(record, command), refusal.why)
        self.parking.park(letter, command.key, changes, decided)
        decided.commands[command.type, PARKED] += 1

    def _pass(self, record: Unreadable, decided: Decided) -> None:
        """Raise `CannotRead`, unless an operator skips this batch: the number of commands in it is unknown."""
        if (record.topic, record.partition, record.offset) not in self.skipped:
            decided.unreadable.append(record)
            raise CannotRead(str(record))

    def _outcome(self, record: ConsumerRecord, command: CommandMessage, changes: Changes[Any], decided: Decided) -> str:
        """Handle `command` and return its outcome, as it is counted."""
        key = self.kind.key(command.key)
        if key not in changes and (target := self._belongs(command.key)) != record.partition:
            decided.writes.append(Write(record.topic, target, command.key.encode(), command.encode(), CONTENT_TYPE))
            return FORWARDED
        if is_about_letters(command.command):
            self.retrying.obey(command, record.partition, changes, decided)
            return ACCEPTED
        if self._waits(record, command, changes, decided):
            return PARKED
        return self._answer(record, command, changes, decided)

    def _belongs(self, aggregate_id: str) -> int:
        return partition_of(aggregate_id.encode(), self.settings.partitions)

    def _waits(self, record: ConsumerRecord, command: CommandMessage, changes: Changes[Any], decided: Decided) -> bool:
        """Park `command` if others of its aggregate are."""
        if not self.parking.waits(command.key, changes):
            return False
        self.parking.make_room(record.partition, changes, decided)
        if not self.parking.waits(command.key, changes):
            return False
        letter = letter_with(record, command, BEHIND, "it waits behind a command that failed")
        self.parking.park(letter, command.key, changes, decided)
        return True

    def _answer(self, record: ConsumerRecord, command: CommandMessage, changes: Changes[Any], decided: Decided) -> str:
        mark = decided.mark()
        changes.begin()
        try:
            answer = self.answering.answer(command, record.partition, changes, decided)
            outcome = REPEATED if answer is None else answer.code or ACCEPTED
            if answer is not None and answer.code in NONSENSE:
                letter = letter_of(record, command.id, command.type, answer.code, answer.message or "")
                self.parking.record(decided, "invalid", letter, None, instant_of(letter.timestamp))
        except Exception as bug:  # whatever a handler raises must not stop the other aggregates of its partition
            changes.rollback()
            decided.rollback(mark)
            self.parking.make_room(record.partition, changes, decided)
            letter = failed(letter_with(record, command), bug)
            self.parking.park(letter, command.key, changes, decided)
            outcome = PARKED
        return outcome

    def _park_unread(
        self, record: ConsumerRecord, at: At, bug: Exception, changes: Changes[Any], decided: Decided
    ) -> None:
        """Park what only a bug of ours keeps from being read, under its key; its id is not known yet."""
        try:
            aggregate_id = (record.key or b"").decode()
        except UnicodeDecodeError:
            aggregate_id = ""
        if not aggregate_id:
            self._refuse(record, at, BadMessage(FAILED, f"{type(bug).__name__}: {bug}"), decided)
        elif (target := self._belongs(aggregate_id)) != record.partition:
            decided.writes.append(Write(record.topic, target, record.key, record.value, list(record.headers)))
            decided.commands[UNREAD, FORWARDED] += 1
        else:
            self.parking.make_room(record.partition, changes, decided)
            letter = failed(letter_of(record, given_id({}, at), UNREAD), bug)
            self.parking.park(letter, aggregate_id, changes, decided)
            decided.commands[UNREAD, PARKED] += 1

    def _refuse(
        self, record: ConsumerRecord, at: At, bad: BadMessage, decided: Decided, refusal: Refusal | None = None
    ) -> None:
        """Refuse what is no command; with as few words as can be where Kafka would not take more."""
        command_id, command_type = given_id(bad.envelope, at), given_type(bad.envelope)
        letter = letter_of(record, command_id, command_type, bad.code, bad.message)
        if refusal is not None and refusal.resort is not Resort.SINGLY:
            bad.details = {}
            letter = without_value(letter)
        decided.writes.append(self.answering.refusal(at, bad))
        self.parking.record(decided, "invalid", letter, None, instant_of(at.timestamp))
        known = command_type if command_type is not None and command_type in self.types else UNREAD
        decided.commands[known, bad.code] += 1
