"""Decides a fetch of commands: the result is events, caused commands, outcomes, changed entries and dead letters.

All of it is written in one transaction; the changed entries are merged into the table after the commit.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

from aiokafka import ConsumerRecord
from faust.types import TP

from domain.errors import CommandExpired
from domain.message import Command
from parking.effects import Effects, together
from parking.handling import Parking
from parking.letter import LETTER_COMMANDS
from privacy.forgetting import FORGETTING, ForgetCustomer, Forgetting
from streams.kafka.partitions import partition_of
from streams.kafka.received import Coordinates, received_at
from streams.kafka.transactions import Write
from streams.kafka.transport import Fetch, Part
from streams.kafka.unreadable import Unreadable
from streams.keys import position_key, segment
from streams.messages.codec import BadMessage, RecordAt, decode_command
from streams.messages.envelope import CONTENT_TYPE, instant_of
from streams.runtime import faults
from streams.runtime.settings import Settings
from streams.tracing import traces
from streams.tracing.spans import Span
from tables.entries import Position
from tables.rows import Checkpoint
from tables.store import Changes, PartitionedTable
from tables.timers import Timers

from .aggregate import AggregateKind, sealing_of
from .answering import Answering
from .metrics import COMMANDS, LETTERS, TIMERS_FIRED
from .refusing import FORWARDED, UNREAD, Refusal, Refusing, Resort
from .replying import Replying
from .traces import deciding

log = logging.getLogger(__name__)
Aside = Callable[[Changes[Any]], Sequence[Write]]  # decides about entries that no record is about


class Stop(NamedTuple):
    """A record at which its partition stops, and why."""

    record: Any
    why: Exception


class Fired(NamedTuple):
    """A timer that was due, and the timers it belongs to."""

    timers: Timers
    key: bytes


@dataclass(slots=True)
class Decided:
    """The result of deciding a fetch. `handled` are its records, up to the one at which a partition stops."""

    handled: dict[TP, Part] = field(default_factory=dict)
    stops: dict[TP, Stop] = field(default_factory=dict)
    writes: list[Write] = field(default_factory=list)
    changes: dict[TP, Changes[Any]] = field(default_factory=dict)  # by partition of the changelog
    letters: Counter[tuple[str, str]] = field(default_factory=Counter)  # (topic, kind) → dead letters written
    fired: list[Fired] = field(default_factory=list)
    failed: list[Fired] = field(default_factory=list)
    commands: Counter[tuple[str, str]] = field(default_factory=Counter)  # (type, outcome) → commands handled
    spans: list[Span] = field(default_factory=list)  # spans of messages whose traces are recorded
    began: int = field(default_factory=time.time_ns)  # Unix time

    @property
    def offsets(self) -> Mapping[TP, int]:
        """The offsets its partitions are handled up to."""
        return {tp: part.ended for tp, part in self.handled.items()}

    def add(self, kind: str, effects: Effects) -> None:
        """Add the effects of one message, which is counted as a command of type `kind`."""
        self.writes += effects.writes
        if effects.outcome:
            self.commands[kind, effects.outcome] += 1
        if effects.spans:
            self.spans += effects.spans
        if effects.letters:
            self.letters.update(effects.letters)

    @property
    def outdated(self) -> bool:
        """Whether it was decided on entries that have been restored since."""
        return not all(changes.entries.attached for changes in self.changes.values())

    def merge(self, ends: Mapping[TP, int] = MappingProxyType({})) -> None:
        """Make the changes part of the table, and count the commands and dead letters.

        `ends` are the offsets behind its writes, as far as known. Everything behind them is written after `began`.
        """
        for tp, changes in self.changes.items():
            changes.merge(Checkpoint(ends[tp], self.began / 1e9) if tp in ends else None)
        if self.fired:
            TIMERS_FIRED.inc(len(self.fired))
        for (topic, kind), count in self.letters.items():
            LETTERS.labels(topic, kind).inc(count)
        for (kind, outcome), count in self.commands.items():
            COMMANDS.labels(kind, outcome).inc(count)


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
        self.table, self.topic_ids, self.partitions = table, topic_ids, settings.partitions
        self.types: dict[str, type[Command]] = {**kind.topics.types, **LETTER_COMMANDS}
        self.id_field = kind.topics.id_field
        sealing = sealing_of(settings, kind)
        self.replying = replying = Replying(settings, kind, sealing)
        self.writes_keys = sealing is not None
        if self.writes_keys:
            self.types |= FORGETTING
        self.forgetting = Forgetting(settings, replying)
        self.answering = Answering(settings, kind, sealing)
        self.parking = Parking(settings, kind.aggregate, self.answering, replying)
        self.refusing = Refusing(settings.partitions, self.parking, replying, self.types, skipped)
        self.changelog: str = table.changelog_topic.get_topic_name()

    def decide(self, fetch: Fetch, refusal: Refusal | None = None) -> Decided:
        """Decide the records of each partition in order; `refusal` is given if Kafka refused the only record."""
        decided = Decided()
        for tp, part in fetch.parts.items():
            self._decide_part(tp, part, refusal, decided)
        return decided

    def fire(self, fetch: Fetch, limit: int) -> Decided:
        """Decide what the timers cause that are due in the partitions of a fetch, at most `limit` of them.

        A timer whose handling fails because of a bug is postponed by the caller; it delays no other.
        """
        decided, now = Decided(), instant_of(self.parking.now())
        for tp, part in fetch.parts.items():
            changes: Changes[Any] = self.table.data.changes(tp.partition)
            timers = changes.entries.timers
            for key in timers.due(now, min(-(-limit // len(fetch.parts)), limit - len(decided.fired))):
                before = changes.mark()
                try:
                    effects = self.answering.fire(key, now, tp.partition, changes)
                    decided.writes += effects.writes
                    decided.spans += effects.spans
                except Exception:
                    changes.undo(before)
                    log.exception("the timer %s of partition %d cannot be handled", key.decode(), tp.partition)
                    decided.failed.append(Fired(timers, key))
                else:
                    decided.fired.append(Fired(timers, key))
            decided.writes += [Write(self.changelog, tp.partition, each, value) for each, value in changes.encode()]
            decided.changes[TP(self.changelog, tp.partition)] = changes
            decided.handled[tp] = part
        return decided

    def aside(self, tp: TP, handled: int, decide: Aside) -> Decided | None:
        """Return what `decide` leads to without a record; None if nothing changes.

        `handled` is the offset up to which `tp` is handled; it is committed again.
        """
        changes: Changes[Any] = self.table.data.changes(tp.partition)
        position: Position | None = changes.get(position_key(tp.topic))
        if not (writes := decide(changes)):
            return None
        decided = Decided(writes=list(writes))
        decided.writes += [Write(self.changelog, tp.partition, each, value) for each, value in changes.encode()]
        decided.changes[TP(self.changelog, tp.partition)] = changes
        decided.handled[tp] = Part(max(handled, position.offset + 1 if position else 0), [])
        return decided

    def _decide_part(self, tp: TP, part: Part, refusal: Refusal | None, decided: Decided) -> None:
        changes: Changes[Any] = self.table.data.changes(tp.partition)
        key = position_key(tp.topic)
        position: Position | None = changes.get(key)
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
            decided.writes += self.parking.dead_letters.remind(changes, self.parking.now())
        last = part.ended - 1
        if last > handled:
            changes.put(key, Position(last, self.topic_ids[tp.topic], fulfils=True))
        decided.writes += [Write(self.changelog, tp.partition, each, value) for each, value in changes.encode()]
        decided.changes[TP(self.changelog, tp.partition)] = changes
        decided.handled[tp] = part

    def _handle(self, record: ConsumerRecord, changes: Changes[Any], refusal: Refusal | None) -> tuple[str, Effects]:
        """Return the type of the command in a record, as it is counted, and the effects of handling it."""
        if type(record) is Unreadable:
            return UNREAD, self.refusing.pass_unreadable(record)
        at = RecordAt(record.topic, record.partition, record.offset, received_at(record), record.key)
        try:
            command = decode_command(record.value, at, self.types, self.id_field, record.headers)
        except BadMessage as bad:
            return self.refusing.refuse(record, at, bad, refusal)
        except RecursionError:  # JSON may be nested 1,024 deep, which Python cannot show
            deep = BadMessage("INVALID_MESSAGE", "the message is nested too deep")
            return self.refusing.refuse(record, at, deep, refusal)
        except Exception as bug:  # our bug: the message may be valid
            return self.refusing.park_unread(record, at, bug, changes)
        if faults.ARMED:
            faults.fault("decoded")
        forgets = type(command.command) is ForgetCustomer
        if (forgets or command.type in LETTER_COMMANDS) and command.valid_until is not None:  # no aggregate checks it
            try:
                self.answering.check_time(command)
            except CommandExpired as late:
                return command.type, Effects(late.code, [self.replying.rejection(command, late, changes)])
        is_ours = forgets or segment(command.key) in changes
        target = record.partition if is_ours else partition_of(command.key.encode(), self.partitions)
        if refusal is not None and refusal.resort is not Resort.SINGLY:
            return self.refusing.set_aside(record, at, command, changes, refusal, elsewhere=target != record.partition)
        if target != record.partition:
            write = Write(record.topic, target, command.key.encode(), command.encode(), CONTENT_TYPE)
            effects = Effects(FORWARDED, [write])
        elif forgets:
            effects = self.forgetting.obey(command, record.partition, changes)
        else:
            effects = self.parking.handle(record, command, changes)
        if traces.ON is not None and effects.outcome:
            spans = Effects(spans=deciding(traces.ON, record, command, effects.outcome))
            effects = together(effects, spans, outcome=effects.outcome, stop=effects.stop)
        return command.type, effects
