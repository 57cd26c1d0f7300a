"""Messages of several topics, as they come, and how they are shown."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, NamedTuple

import orjson
import typer

from ops.kafka import records
from streams.kafka.unreadable import Unreadable
from streams.messages.cloudevents import glimpse
from streams.messages.envelope import instant_of
from streams.runtime.settings import Settings

BUSY_SECONDS = 0.05  # a look at one of several topics
DEEP = 250  # brackets that a message must have before it can be nested too deep to write


class Wanted(NamedTuple):
    """Which messages: of these topics (without prefix), of these types (none: all), and with this key."""

    topics: tuple[str, ...]
    types: frozenset[str]
    key: str | None

    def takes(self, message: "Message") -> bool:
        """Say whether a message is to be shown."""
        return (not self.types or message.type in self.types) and self.key in (None, message.key)


class Message(NamedTuple):
    """A record, read as far as it can be."""

    topic: str
    partition: int
    offset: int
    time: str  # when Kafka got it
    key: str | None
    value: Any  # JSON, or text where it is none

    @property
    def type(self) -> str | None:
        """The message's type, if it says one."""
        found = self.value.get("type") if isinstance(self.value, dict) else None
        return found if isinstance(found, str) else None


def messages(settings: Settings, wanted: Wanted, *, from_beginning: bool, last: int, follow: bool) -> Iterator[Message]:
    """Yield what is there, oldest first, as far as asked for, then what comes, until the caller stops."""
    spans = {topic: records.watermarks(settings, topic) for topic in wanted.topics}
    ends = {topic: {number: end for number, (_, end) in span.items()} for topic, span in spans.items()}
    begins = {topic: {number: begin for number, (begin, _) in span.items()} for topic, span in spans.items()}
    with records.kafka(settings):
        if from_beginning:
            for topic in wanted.topics:
                yield from _between(settings, topic, begins[topic], ends[topic], wanted)
        elif last:
            yield from newest(settings, wanted, begins, ends, last)
        if follow:
            yield from _coming(settings, wanted, ends)


def newest(
    settings: Settings, wanted: Wanted, begins: dict[str, dict[int, int]], ends: dict[str, dict[int, int]], count: int
) -> list[Message]:
    """Return the `count` newest that are wanted, oldest first; the range read is doubled until it has them."""
    reach, found = 2 * count, list[Message]()
    while True:
        starts = {t: {n: max(begins[t][n], end - reach) for n, end in ends[t].items()} for t in wanted.topics}
        found = [each for t in wanted.topics for each in _between(settings, t, starts[t], ends[t], wanted)]
        if len(found) >= count or starts == begins:
            return sorted(found, key=lambda message: message.time)[-count:]
        reach *= 4


def _between(
    settings: Settings, topic: str, starts: dict[int, int], ends: dict[int, int], wanted: Wanted
) -> Iterator[Message]:
    with records.Log(settings, topic, starts) as log:
        for batch in log.upto(ends):
            yield from shown(batch, wanted)


def _coming(settings: Settings, wanted: Wanted, ends: dict[str, dict[int, int]]) -> Iterator[Message]:
    with ExitStack() as stack:
        logs = [stack.enter_context(records.Log(settings, topic, ends[topic])) for topic in wanted.topics]
        seconds = records.POLL_SECONDS if len(logs) == 1 else BUSY_SECONDS
        while True:
            for log in logs:
                yield from shown(log.batch(seconds=seconds), wanted)


def shown(batch: list[Any], wanted: Wanted) -> Iterator[Message]:
    """Return those records of a batch that are wanted, read as far as they can be."""
    return (message for record in batch if wanted.takes(message := _message(record)))


def _message(record: Any) -> Message:
    key, value = record.key, record.value
    read: Any = glimpse(value, record.headers)
    if "type" not in read:  # no CloudEvent: as it is
        read = str(record) if isinstance(record, Unreadable) else _json(value)
    if not _can_be_written(read, value):
        read = (value or b"").decode(errors="replace")
    name = None if key is None else key.decode(errors="replace")
    time = instant_of(record.timestamp / 1000)
    return Message(record.topic, record.partition, record.offset, time, name, read)


def _can_be_written(read: Any, value: bytes | None) -> bool:
    """Return whether a message can be shown as JSON: orjson reads what is nested 1,024 deep, and writes 254."""
    if value is None or value.count(b"[") + value.count(b"{") < DEEP:
        return True
    try:
        return bool(orjson.dumps(read))
    except orjson.JSONEncodeError:
        return False


def _json(value: bytes | None) -> Any:
    try:
        return None if value is None else orjson.loads(value)
    except orjson.JSONDecodeError:
        return value.decode(errors="replace") if value is not None else None


def as_json(message: Message) -> str:
    """Return a message on a line, whole."""
    return orjson.dumps(message._asdict()).decode()


def as_text(message: Message) -> str:
    """Return a message for a person: where it is and what it is, and below that what it says."""
    envelope = message.value if isinstance(message.value, dict) else {}
    head = [message.time, f"{message.topic}/{message.partition}@{message.offset}", _readable(message.key or "(no key)")]
    head.append(typer.style(_readable(message.type or "(no type)"), bold=True, fg=_colour(message)))
    if "sequence" in envelope:
        head.append(f"version {envelope['sequence']}")
    said = envelope.get("data", message.value)
    return f"{'  '.join(head)}\n    {_readable(said)}"


def _readable(said: Any) -> str:
    """Return JSON on a line; what a terminal would take for a command is escaped."""
    text = said if isinstance(said, str) else orjson.dumps(said).decode()
    return "".join(each if each.isprintable() else f"\\u{ord(each):04x}" for each in text)


def _colour(message: Message) -> str:
    if message.type in ("CommandRejected", "DeadLetter"):
        return "red"
    return "cyan" if "commands" in message.topic else "green"
