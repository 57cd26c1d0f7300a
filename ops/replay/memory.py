"""Gather from the topics what tables hold besides aggregates: answers, letters, keys, and positions in inputs.

Outcomes are kept for a week, and contain the complete answer. Events are kept forever, and name the command that
caused them: enough to answer it again, with a type that is inferred from the events. Older rejections are lost.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from msgspec.structs import replace

from domain.errors import CommandIdReused
from ops.kafka import records
from ops.letters import letterbox
from parking.book import Letterbook
from parking.letter import DeadLetter
from parking.queue import Letter, Letters
from privacy.keys import KeyRecord, entry_key, record_of
from streams.messages.cloudevents import glimpse
from streams.messages.codec import decode_command
from streams.messages.envelope import Aggregate, EventMessage, Outcome, derived_id, event_id
from streams.runtime.settings import Settings
from streams.topics import COMMAND_OUTCOMES, CUSTOMER_KEYS, Topic, has_customer_keys
from streams.topology import AGGREGATES
from tables.answers import answer_of
from tables.entries import Answer, Recent
from tables.store import Changes, Codec, Entries

Identity = tuple[str, str | None]  # a command's id and source; None: unknown


class Remembered(NamedTuple):
    """An answer, and its order among the answers of its aggregate."""

    order: tuple[int, bool, str]  # version, whether it caused no event, time
    answer: Answer


@dataclass
class Answers:
    """The answers to recent commands, by aggregate."""

    limit: int
    _told: dict[tuple[str, str], dict[Identity, Remembered]] = field(default_factory=lambda: defaultdict(dict))
    _caused: dict[tuple[Aggregate, str], list[EventMessage]] = field(default_factory=lambda: defaultdict(list))

    def add_outcome(self, outcome: Outcome) -> None:
        """Add an outcome, unless its command was refused without a decision."""
        if outcome.status == "rejected" and (outcome.retryable or not outcome.version):
            return
        if outcome.code == CommandIdReused.code:
            return
        types = tuple(event["type"] for event in outcome.events)
        answer = Answer(
            outcome.command_id, outcome.command_type, outcome.version, types, outcome.code, outcome.message,
            outcome.details, outcome.retryable, _by_sequence(outcome), outcome.command_source,
            outcome.command_digest,
        )  # fmt: skip
        self._remember(outcome.aggregate, outcome.aggregate_id, answer, outcome.time)

    def add_events(self, aggregate: Aggregate, aggregate_id: str, events: Iterable[EventMessage]) -> None:
        """Add all events of an aggregate, in order."""
        for event in events:
            self.add_event(aggregate, aggregate_id, event)
        self.end_events()

    def add_event(self, aggregate: Aggregate, aggregate_id: str, event: EventMessage) -> None:
        """Add the next event of an aggregate; events of others may come in between. Call `end_events` after the last.

        Only the events of an aggregate's last command are in memory.
        """
        caused = self._caused[aggregate, aggregate_id]
        if caused and event.causation_id != caused[0].causation_id:
            self._add_caused(aggregate, aggregate_id, caused)
            caused.clear()
        caused.append(event)

    def end_events(self) -> None:
        """Add the last events of each aggregate, which no other event follows."""
        for (aggregate, aggregate_id), caused in self._caused.items():
            self._add_caused(aggregate, aggregate_id, caused)
        self._caused.clear()

    def _add_caused(self, aggregate: Aggregate, aggregate_id: str, caused: Sequence[EventMessage]) -> None:
        """Add the events of one command."""
        if (answer := answer_of(aggregate, caused)) is not None:
            self._remember(aggregate, aggregate_id, answer, caused[-1].time)

    def _remember(self, aggregate: Aggregate, aggregate_id: str, answer: Answer, time: str) -> None:
        """Keep the last decision under an id: an aggregate that has forgotten the id may decide it again."""
        told = self._told[aggregate, aggregate_id]
        if answer.source is None and self._tells(told, answer):
            return
        before = told.get((answer.command_id, answer.source))
        if before is None or answer.version > before.answer.version:
            told[answer.command_id, answer.source] = Remembered((answer.version, not answer.events, time), answer)
            self._trim(told)

    @staticmethod
    def _tells(told: Mapping[Identity, Remembered], answer: Answer) -> bool:
        """Return whether an outcome already answers the decision that `answer`, which comes from events, is about."""
        same = (each.answer for each in told.values() if each.answer.command_id == answer.command_id)
        return any(each.version == answer.version and each.events for each in same)

    def recent(self, aggregate: str, aggregate_id: str) -> Recent:
        """Return the recent answers of an aggregate, oldest first."""
        told = self._told.get((aggregate, aggregate_id), {}).values()
        ordered = sorted(told, key=lambda each: each.order)
        return tuple(each.answer for each in ordered[-self.limit :]) if self.limit else ()

    def _trim(self, told: dict[Identity, Remembered]) -> None:
        if len(told) > 4 * self.limit + 16:
            oldest = sorted(told, key=lambda identity: told[identity].order)
            for identity in oldest[: -2 * self.limit or None]:
                del told[identity]


def _by_sequence(outcome: Outcome) -> bool:
    """Return whether the ids of an outcome's events contain the sequence, as all but the oldest ids do."""
    last = outcome.events[-1] if outcome.events else None
    return last is not None and last["id"] == event_id(outcome.aggregate, outcome.aggregate_id, last["sequence"])


def outcomes(settings: Settings, answers: Answers) -> None:
    """Add all outcomes on the topic. Blocks."""
    for record in records.read_all(settings, COMMAND_OUTCOMES.name):
        with suppress(ValueError, KeyError, TypeError):  # not an outcome of this service
            answers.add_outcome(Outcome.decode(record.value or b""))


# --- letters


@dataclass
class DeadLetters:
    """The parked letters on `dead-letters`."""

    settings: Settings
    book: Letterbook

    @classmethod
    def read(cls, settings: Settings) -> "DeadLetters":
        """Read the topic. Blocks."""
        return cls(settings, letterbox.read(settings))

    def entries(self, aggregate: str, partition: int, codec: Codec[Any]) -> dict[bytes, bytes]:
        """Return the parked letters of a table's partition, as its entries."""
        changes: Changes[Any] = Changes(Entries(codec))
        queues = [self.book.letters(key) for key in self.book.keys if key[0] == aggregate]
        wanted = [each for queue in queues for each in queue if each.letter.partition == partition]
        letters = {each.offset: each for each in letterbox.read_whole(self.settings, wanted)}
        for each in wanted:
            if (letter := letters.get(each.letter.offset)) is not None:
                Letters(changes, letter.aggregate_id or "").append(_parked(letter), 0.0)
        return {key: value for key, value in changes.encode() if value is not None}


# --- keys of customers


@dataclass
class CustomerKeys:
    """The keys on `customer-keys`; none if the topic does not exist."""

    records: dict[bytes | None, KeyRecord] = field(default_factory=dict)

    @classmethod
    def read(cls, settings: Settings) -> "CustomerKeys":
        """Read the topic, if it exists. Blocks."""
        found = cls()
        if has_customer_keys(settings):
            for record in records.read_all(settings, CUSTOMER_KEYS.name):
                if record.value is None:
                    found.records.pop(record.key, None)
                else:
                    found.records[record.key] = record_of(record.value)
        return found

    def entries(self, aggregate: str, partition: int, codec: Codec[Any]) -> dict[bytes, bytes]:
        """Return the keys in a table's partition, as its entries."""
        mine = [each for each in self.records.values() if each.partition == partition and aggregate == "order"]
        return {entry_key(each.customer_id): codec.encode(each.key) for each in mine}


def _parked(letter: DeadLetter) -> Letter:
    parked = Letter(
        command_id=letter.command_id or "",
        command_type=letter.command_type or "",
        topic=letter.topic,
        partition=letter.partition,
        offset=letter.offset,
        timestamp=datetime.fromisoformat(letter.time).timestamp(),
        key=letter.key,
        value=letter.value,
        headers=letter.headers,
        code=letter.code,
        message=letter.message,
        attempts=letter.attempts,
        traceback=letter.traceback,
    )
    takes = AGGREGATES[letter.aggregate or "order"]
    if parked.command_type in takes.types:
        with suppress(Exception):  # a command that was parked because it cannot be decoded
            command = decode_command(parked.value, parked.at, takes.types, takes.id_field, parked.headers)
            return replace(parked, source=command.source, digest=command.digest())
    return parked


# --- positions


@dataclass
class Unsure:
    """Messages of one input after the committed offset: they may have been handled before the offset was reset."""

    ids: dict[str, tuple[int, int]] = field(
        default_factory=dict
    )  # message id → its first position: partition and offset
    handled: dict[int, int] = field(default_factory=dict)  # partition → the highest offset whose message had a result

    @classmethod
    def read(cls, settings: Settings, topic: Topic, committed: Mapping[int, int]) -> "Unsure":
        """Read an input from the committed offsets to its end. Blocks."""
        found, ends = cls(), records.ends(settings, topic.name)
        begins = records.begins(settings, topic.name)
        starts = {number: max(begins[number], committed.get(number, 0)) for number in ends}
        for batch in records.read(settings, topic.name, starts, ends):
            for record in batch:
                found.ids.setdefault(_message_id(record), (record.partition, record.offset))
        return found

    def left(self, message_id: str) -> None:
        """Record that a message had a result: an event, an outcome or a command."""
        if (at := self.ids.get(message_id)) is not None:
            self.handled[at[0]] = max(self.handled.get(at[0], -1), at[1])


def _message_id(record: Any) -> str:
    found = glimpse(record.value, record.headers).get("id")
    return str(found or derived_id(record.topic, record.partition, record.offset))
