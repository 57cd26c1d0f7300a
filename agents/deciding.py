"""What one fetch of commands leads to: events, changed entries, outcomes, forwarded commands and dead letters."""

from collections.abc import Container, Mapping
from typing import Any

from aiokafka import ConsumerRecord
from faust.types import TP

from domain.message import Command
from parking.effects import Effects, together
from parking.handling import Parking
from parking.letter import LETTER_COMMANDS
from parking.telling import FAILED, failed, letter_of, letter_with, without_value
from streams.kafka.partitions import partition_of
from streams.kafka.received import Coordinates, coordinates, received_at
from streams.kafka.transactions import TOO_LARGE, Write
from streams.kafka.transport import Fetch, Part
from streams.kafka.unreadable import CannotRead, Unreadable
from streams.keys import position_key, segment
from streams.messages.codec import BadMessage, RecordAt, decode_command
from streams.messages.envelope import CONTENT_TYPE, CommandMessage
from streams.runtime import faults
from streams.runtime.settings import Settings
from streams.tracing import traces
from tables.entries import Position
from tables.store import Changes, PartitionedTable

from .aggregate import AggregateKind
from .answering import Answering
from .decided import Decided, Stop
from .portions import Refusal, Resort
from .replying import Replying, given_id, given_type
from .traces import deciding

MESSAGE_TOO_LARGE, REFUSED_BY_KAFKA = "MESSAGE_TOO_LARGE", "REFUSED_BY_KAFKA"  # codes
UNREAD = "unread"  # the type of a command that could not be read
FORWARDED = "forwarded"  # an outcome, as it is counted


class Deciding:
    """Decides the commands of one kind of aggregate."""

    def __init__(
        self,
        settings: Settings,
        kind: AggregateKind,
        table: PartitionedTable,
        topic_ids: Mapping[str, str],
        skipped: Container[Coordinates] = (),
    ) -> None:
        self.settings, self.table, self.topic_ids, self.skipped = settings, table, topic_ids, skipped
        self.types: Mapping[str, type[Command]] = {**kind.topics.types, **LETTER_COMMANDS}
        self.id_field = kind.topics.id_field
        self.replying = Replying(settings, kind)
        self.parking = Parking(settings, kind.aggregate, Answering(settings, kind), self.replying)
        self.changelog: str = table.changelog_topic.get_topic_name()

    def decide(self, fetch: Fetch, refusal: Refusal | None = None) -> Decided:
        """Return what `fetch` leads to, decided in order per partition; `refusal`: of the only record it has."""
        decided = Decided()
        for tp, part in fetch.parts.items():
            self._decide_part(tp, part, refusal, decided)
        return decided

    def _decide_part(self, tp: TP, part: Part, refusal: Refusal | None, decided: Decided) -> None:
        changes: Changes[Any] = self.table.data.changes(tp.partition)
        position: Position | None = changes.get(position_key(tp.topic))
        handled = position.offset if position else -1
        for record in part.records:
            if record.offset <= handled:
                continue
            kind, effects = self._handle(record, changes, refusal)
            decided.add(kind, effects)
            if effects.stop is not None:
                decided.stops[tp] = Stop(record, effects.stop)
                part = Part(part.began, [each for each in part.records if each.offset < record.offset])
                break
        if refusal is None:  # a reminder has nothing to do with the record
            decided.writes += self.parking.remind(changes)
        if part.ended - 1 > handled:
            changes.put(position_key(tp.topic), Position(part.ended - 1, self.topic_ids[tp.topic], fulfils=True))
        decided.writes += [Write(self.changelog, tp.partition, key, value) for key, value in changes.encode()]
        decided.changes.append(changes)
        decided.handled[tp] = part

    def _handle(self, record: ConsumerRecord, changes: Changes[Any], refusal: Refusal | None) -> tuple[str, Effects]:
        """Return the type of the command in a record, as it is counted, and what it leads to."""
        if type(record) is Unreadable:
            return UNREAD, self._pass(record)
        at = RecordAt(record.topic, record.partition, record.offset, received_at(record), record.key)
        try:
            command = decode_command(record.value, at, self.types, self.id_field, record.headers)
        except BadMessage as bad:
            return self._refuse(record, at, bad, refusal)
        except RecursionError:  # JSON may be nested 1,024 deep, which Python cannot show
            return self._refuse(record, at, BadMessage("INVALID_MESSAGE", "the message is nested too deep"), refusal)
        except Exception as bug:  # ours: the message may be as good as any
            return self._park_unread(record, at, bug, changes)
        if faults.ARMED:
            faults.fault("decoded")
        target = record.partition if segment(command.key) in changes else self._belongs(command.key)
        if refusal is not None and refusal.resort is not Resort.SINGLY:
            return self._set_aside(record, at, command, changes, refusal, elsewhere=target != record.partition)
        if target != record.partition:
            write = Write(record.topic, target, command.key.encode(), command.encode(), CONTENT_TYPE)
            effects = Effects(FORWARDED, [write])
        else:
            effects = self.parking.handle(record, command, changes)
        if traces.ON is not None and effects.outcome:
            spans = Effects(spans=deciding(traces.ON, record, command, effects.outcome))
            effects = together(effects, spans, outcome=effects.outcome, stop=effects.stop)
        return command.type, effects

    def _belongs(self, aggregate_id: str) -> int:
        return partition_of(aggregate_id.encode(), self.settings.partitions)

    def _pass(self, record: Unreadable) -> Effects:
        """Stop at a batch that cannot be read, unless an operator skips it: the number of commands in it is unknown."""
        return Effects() if coordinates(record) in self.skipped else Effects(stop=CannotRead(str(record)))

    def _set_aside(
        self,
        record: ConsumerRecord,
        at: RecordAt,
        command: CommandMessage,
        changes: Changes[Any],
        refusal: Refusal,
        *,
        elsewhere: bool,
    ) -> tuple[str, Effects]:
        """Handle a command although Kafka refuses what it leads to."""
        if command.type in LETTER_COMMANDS:
            refused = refusal.why if refusal.resort is Resort.REJECTED else None
            return command.type, self.parking.retrying.obey(
                command, record.partition, changes, singly=True, refused=refused
            )
        if not elsewhere and refusal.resort is Resort.ASIDE:
            letter = failed(letter_with(record, command), refusal.why)
            return command.type, self.parking.park(letter, command.key, changes)
        code = MESSAGE_TOO_LARGE if refusal.why.code in TOO_LARGE else REFUSED_BY_KAFKA
        envelope = {"id": command.id, "type": command.type, "source": command.source}
        envelope["correlationid"] = command.correlation_id
        bad = BadMessage(code, f"Kafka refuses what this command leads to: {refusal.why}", envelope)
        return self._refuse(record, at, bad, refusal)

    def _park_unread(
        self, record: ConsumerRecord, at: RecordAt, bug: Exception, changes: Changes[Any]
    ) -> tuple[str, Effects]:
        """Park what only a bug of ours keeps from being read, under its key; its id is not known yet."""
        try:
            aggregate_id = (record.key or b"").decode()
        except UnicodeDecodeError:
            aggregate_id = ""
        if not aggregate_id:
            return self._refuse(record, at, BadMessage(FAILED, f"{type(bug).__name__}: {bug}"))
        if (target := self._belongs(aggregate_id)) != record.partition:
            write = Write(record.topic, target, record.key, record.value, list(record.headers))
            return UNREAD, Effects(FORWARDED, [write])
        letter = failed(letter_of(record, given_id({}, at), UNREAD), bug)
        return UNREAD, self.parking.park(letter, aggregate_id, changes)

    def _refuse(
        self, record: ConsumerRecord, at: RecordAt, bad: BadMessage, refusal: Refusal | None = None
    ) -> tuple[str, Effects]:
        """Refuse an invalid command; as briefly as possible where Kafka would not take more."""
        command_id, command_type = given_id(bad.envelope, at), given_type(bad.envelope)
        letter = letter_of(record, command_id, command_type, bad.code, bad.message)
        if refusal is not None and refusal.resort is not Resort.SINGLY:
            bad = BadMessage(bad.code, bad.message, bad.envelope)
            letter = without_value(letter)
        refused = Effects(writes=[self.replying.refusal(at, bad)])
        effects = together(refused, self.parking.dead_letters.tell("invalid", letter, None), outcome=bad.code)
        return command_type if command_type is not None and command_type in self.types else UNREAD, effects
