"""Choose which records of a running system an export contains, so that together they are one moment of it.

Orders and stock cause each other's events, and Kafka reports the ends of partitions one after the other. An export up
to arbitrary ends could contain a reservation without the order that asked for it, or one of two events of a command.
The cut is therefore made of ends that are extended until the cause of every event in it is in it, too, and all other
events of the same command. Its steps depend on their order:

1. the last stable offsets of events and outcomes, then the committed offsets of the deciding roles: a command after
   those was decided after the stable offsets, so its result is found by reading from there
2. the end of the dead letters, and only after their transactions ended, the ends of the events, twice: an event before
   the first ends has its causes before the second ends, and so has the rest of its transaction, so extending never
   goes beyond those
3. the ends of commands and outcomes, after all transactions with events of the cut have ended

Commands that are not decided within the cut are exported as well: Kafka acknowledged them, and they are decided after
the import. Memory is needed for what happens while the cut is made, and for the ids of undecided commands.
"""

import asyncio
import hashlib
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from confluent_kafka import IsolationLevel, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec
from faust.types import TP
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_fixed

from agents.answering import PROCESS_MANAGER
from ops.errors import CommandFailed, Unavailable
from ops.kafka import records
from ops.kafka.elections import is_electing
from parking.letter import DeadLetter
from streams.kafka.transactions import committed_offsets
from streams.kafka.unreadable import Unreadable
from streams.messages.cloudevents import glimpse
from streams.messages.envelope import Outcome, derived_id
from streams.runtime.settings import Settings
from streams.topics import COMMAND_OUTCOMES, DEAD_LETTERS, Topic, admin
from streams.topology import AGGREGATES

EVENTS = tuple(each.events for each in AGGREGATES.values())
COMMANDS = tuple(each.commands for each in AGGREGATES.values())
ASK_SECONDS, PAUSE_SECONDS = 20.0, 0.05

Ends = dict[int, int]  # partition → offset
Place = tuple[str, int, int]  # topic without prefix, partition, offset
Identity = str | bytes | None  # the id of a command, or the digest of its key and value


def command_id(record: Any, envelope: Mapping[str, Any]) -> str:
    """Return the id of a command, as the aggregates determine it."""
    return str(envelope.get("id") or derived_id(record.topic, record.partition, record.offset))


@dataclass
class Cut:
    """The range of each topic, and which records in it are left out."""

    spans: dict[str, dict[int, tuple[int, int]]]  # topic → partition → begin and end
    decided: set[str] = field(default_factory=set)  # ids of commands whose results are in the cut
    beyond: set[str] = field(default_factory=set)  # ids of events after the cut
    shared: set[str] = field(default_factory=set)  # ids that several undecided commands have
    lettered: dict[Place, set[Identity]] = field(default_factory=lambda: defaultdict(set))  # by the place of a command

    def has_pending(self, topic: str, record: Any) -> bool:
        """Return whether a command is undecided in the cut, and nothing after the cut has caused it."""
        envelope = glimpse(record.value, record.headers)
        identifier = command_id(record, envelope)
        if self._has_letter((topic, record.partition, record.offset), record, identifier):
            return False
        if identifier in self.decided and identifier not in self.shared:
            return False
        return envelope.get("source") != PROCESS_MANAGER or envelope.get("causationid") not in self.beyond

    def add_letter(self, topic: str, letter: DeadLetter) -> None:
        """Remember which command a dead letter is about: it waits there, or was refused, and is not decided again."""
        place = topic, letter.partition, letter.offset
        self.lettered[place] |= {letter.command_id, _digest(letter.key, letter.value)}

    def _has_letter(self, place: Place, record: Any, identifier: str) -> bool:
        """Return whether a letter is about this command, and not about one that had its place before an import."""
        return not self.lettered.get(place, set()).isdisjoint({identifier, _digest(record.key, record.value)})

    def has_outcome(self, record: Any) -> bool:
        """Return whether an outcome names no event after the cut."""
        return (outcome := _outcome(record)) is None or not (_events(outcome) & self.beyond)


def take(settings: Settings) -> Cut:
    """Return a cut of the running system."""
    return _Taking(settings).take()


@dataclass
class _Event:
    place: Place
    cause: str  # the id of a command

    @property
    def decision(self) -> tuple[str, int, str]:
        """The key of the decision that it is part of: all events of a command are on one partition."""
        return *self.place[:2], self.cause


class _Taking:
    def __init__(self, settings: Settings) -> None:
        self.settings, self.client = settings, admin(settings)
        self.causes: dict[str, str | None] = {}  # undecided command → the event that caused it
        self.events: dict[str, _Event] = {}  # events since the cut began, by id

    def take(self) -> Cut:
        stable = ends_of(self.settings, self.client, (*EVENTS, COMMAND_OUTCOMES), stable=True)
        reached = asyncio.run(self._committed())
        letters = self._settled((DEAD_LETTERS,))
        first = ends_of(self.settings, self.client, EVENTS)
        self._settled(EVENTS)
        last = self._settled((*COMMANDS, COMMAND_OUTCOMES))
        now = self._settled(EVENTS)
        cut = Cut({})
        for topic in COMMANDS:
            self._read_commands(topic, reached[topic.name], last[topic.name], cut)
        for topic in EVENTS:
            self._read_events(topic, stable[topic.name], now[topic.name])
        self._extend(first)
        self._divide(first, cut)
        self._read_outcomes(stable[COMMAND_OUTCOMES.name], last[COMMAND_OUTCOMES.name], cut)
        begins = {t.name: records.begins(self.settings, t.name) for t in (*EVENTS, COMMAND_OUTCOMES, DEAD_LETTERS)}
        ends = {**first, **letters, COMMAND_OUTCOMES.name: last[COMMAND_OUTCOMES.name]}
        ends |= {topic.name: last[topic.name] for topic in COMMANDS}
        cut.spans = {t: {n: ((begins.get(t) or reached[t])[n], end) for n, end in ends[t].items()} for t in ends}
        return cut

    def _settled(self, topics: Iterable[Topic]) -> dict[str, Ends]:
        """Return the ends of topics, once every transaction before them has ended."""
        ends = ends_of(self.settings, self.client, topics)
        until = time.monotonic() + records.SILENT_SECONDS
        while not _reached(ends_of(self.settings, self.client, topics, stable=True), ends):
            if time.monotonic() > until:
                raise Unavailable(
                    f"A transaction has been open for {records.SILENT_SECONDS:.0f} s: end it with "
                    "`fulfillment transactions list` and `fulfillment transactions abort`, then export again."
                )
            time.sleep(PAUSE_SECONDS)
        return ends

    async def _committed(self) -> dict[str, Ends]:
        """Return where the undecided commands begin."""
        found: dict[str, Ends] = {}
        for each in AGGREGATES.values():
            name = self.settings.named(each.commands.name)
            inputs = {TP(name, number) for number in range(self.settings.partitions)}
            offsets = await committed_offsets(self.settings, self.settings.named(each.role), inputs)
            begins = await asyncio.to_thread(records.begins, self.settings, each.commands.name)
            found[each.commands.name] = {tp.partition: max(at, begins[tp.partition]) for tp, at in offsets.items()}
        return found

    def _read_commands(self, topic: Topic, starts: Ends, ends: Ends, cut: Cut) -> None:
        for record in readable(records.read(self.settings, topic.name, starts, ends)):
            envelope = glimpse(record.value, record.headers)
            if (identifier := command_id(record, envelope)) in self.causes:
                cut.shared.add(identifier)
            caused = envelope.get("source") == PROCESS_MANAGER
            self.causes[identifier] = envelope.get("causationid") if caused else None

    def _read_events(self, topic: Topic, starts: Ends, ends: Ends) -> None:
        for record in readable(records.read(self.settings, topic.name, starts, ends)):
            try:
                event = orjson.loads(record.value or b"")
                place = topic.name, record.partition, record.offset
                self.events[event["id"]] = _Event(place, event["causationid"])
            except (orjson.JSONDecodeError, KeyError, TypeError):  # not one of our events: it has no cause
                continue

    def _extend(self, ends: dict[str, Ends]) -> None:
        """Extend the ends until the cause of each event before them is before them, and the rest of its decision."""
        last = {event.decision: event.place for event in sorted(self.events.values(), key=lambda event: event.place)}
        extended = True
        while extended:
            extended = False
            for event in self.events.values():
                if not _is_in(event.place, ends):
                    continue
                cause = self.events.get(self.causes.get(event.cause) or "")
                for place in (last[event.decision], cause.place if cause else event.place):
                    if not _is_in(place, ends):
                        topic, number, offset = place
                        ends[topic][number] = offset + 1
                        extended = True

    def _divide(self, ends: dict[str, Ends], cut: Cut) -> None:
        for identifier, event in self.events.items():
            if _is_in(event.place, ends):
                cut.decided.add(event.cause)
            else:
                cut.beyond.add(identifier)

    def _read_outcomes(self, starts: Ends, ends: Ends, cut: Cut) -> None:
        for record in readable(records.read(self.settings, COMMAND_OUTCOMES.name, starts, ends)):
            if (outcome := _outcome(record)) is not None and not (_events(outcome) & cut.beyond):
                cut.decided.add(outcome.command_id)


def ends_of(
    settings: Settings, client: AdminClient, topics: Iterable[Topic], *, stable: bool = False
) -> dict[str, Ends]:
    """Return the ends of topics, or with `stable` the offsets before which every transaction has ended."""
    isolation = IsolationLevel.READ_COMMITTED if stable else IsolationLevel.READ_UNCOMMITTED
    asked = {
        TopicPartition(settings.named(topic.name), number): OffsetSpec.latest()
        for topic in topics
        for number in range(settings.partitions)
    }
    with records.kafka(settings):
        for attempt in Retrying(
            retry=retry_if_exception(is_electing),
            stop=stop_after_delay(ASK_SECONDS),
            wait=wait_fixed(0.1),
            reraise=True,
        ):
            with attempt:
                futures = client.list_offsets(asked, isolation_level=isolation, request_timeout=ASK_SECONDS)
                offsets = {at: future.result(ASK_SECONDS).offset for at, future in futures.items()}
    found: dict[str, Ends] = defaultdict(dict)
    for at, offset in offsets.items():
        found[at.topic.removeprefix(settings.prefix)][at.partition] = offset
    return dict(found)


def readable(batches: Iterable[list[Any]]) -> Iterator[Any]:
    """Yield records; `CommandFailed` at a batch that cannot be read, because an archive without it would have a gap."""
    for batch in batches:
        for record in batch:
            if isinstance(record, Unreadable):
                raise CommandFailed(
                    f"{record.topic}/{record.partition} cannot be read at {record.span} ({record.reason}): restore the "
                    "broker's log from a replica, then export again."
                )
            yield record


def _digest(key: bytes | None, value: bytes | None) -> bytes:
    return hashlib.sha256(repr((key, value)).encode()).digest()


def _reached(stable: Mapping[str, Ends], ends: Mapping[str, Ends]) -> bool:
    return all(stable[topic][number] >= end for topic, each in ends.items() for number, end in each.items())


def _is_in(place: Place, ends: Mapping[str, Ends]) -> bool:
    topic, number, offset = place
    return offset < ends[topic][number]


def _outcome(record: Any) -> Outcome | None:
    try:
        return Outcome.decode(record.value or b"")
    except (ValueError, KeyError, TypeError):  # not an outcome of this service
        return None


def _events(outcome: Outcome) -> set[str]:
    return {event["id"] for event in outcome.events}
