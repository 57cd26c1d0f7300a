"""Messages of several topics, decoded as far as possible."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from ops.errors import Misconfigured
from ops.kafka import records
from streams.kafka.unreadable import Unreadable
from streams.messages.cloudevents import glimpse
from streams.messages.envelope import instant_of
from streams.runtime.settings import Settings
from streams.topics import MESSAGE_TOPICS

TOPICS = tuple(topic.name for topic in MESSAGE_TOPICS)
DEEP = 250  # brackets that a message needs before it can be nested too deeply to encode


class Wanted(NamedTuple):
    """A choice of messages: by topic (without prefix), by type (an empty set accepts all) and by key."""

    topics: tuple[str, ...]
    types: frozenset[str]
    key: str | None

    def accepts(self, message: "Message") -> bool:
        """Return whether a message is wanted."""
        return (not self.types or message.type in self.types) and self.key in (None, message.key)


class Message(NamedTuple):
    """A record, decoded as far as possible."""

    topic: str
    partition: int
    offset: int
    time: str  # when Kafka received it
    key: str | None
    value: Any  # JSON, or text if it is not JSON

    @property
    def type(self) -> str | None:
        """The type of the message; None if it has none."""
        found = self.value.get("type") if isinstance(self.value, dict) else None
        return found if isinstance(found, str) else None


def wanted(topics: Sequence[str], types: Sequence[str], key: str | None) -> Wanted:
    """Return a choice of messages, of all topics if none are named; `Misconfigured` if a topic does not exist."""
    if unknown := [name for name in topics if name not in TOPICS]:
        raise Misconfigured(f"There is no topic {unknown[0]!r}: choose from {', '.join(TOPICS)}.")
    return Wanted(tuple(topics) or TOPICS, frozenset(types), key)


def messages(settings: Settings, wanted: Wanted, *, from_beginning: bool, last: int, follow: bool) -> Iterator[Message]:
    """Yield all messages or the `last` ones, oldest first; with `follow`, continue with new ones without end."""
    spans = {topic: records.watermarks(settings, topic) for topic in wanted.topics}
    ends = {topic: records.ends_of(span) for topic, span in spans.items()}
    if from_beginning:
        for topic, span in spans.items():
            begins = {number: begin for number, (begin, _) in span.items()}
            for batch in records.read(settings, topic, begins, ends[topic]):
                yield from decoded(batch, wanted)
    elif last:
        yield from _newest(settings, spans, wanted, last)
    if follow:
        for batch in records.follow(settings, ends):
            yield from decoded(batch, wanted)


def _newest(settings: Settings, spans: Mapping[str, records.Span], wanted: Wanted, count: int) -> list[Message]:
    """Return the `count` newest messages that are wanted, oldest first."""
    found = records.newest(settings, spans, count, lambda batch: list(decoded(batch, wanted)))
    return sorted(found, key=lambda message: message.time)[-count:]


def decoded(batch: list[Any], wanted: Wanted) -> Iterator[Message]:
    """Yield the messages in records that are wanted."""
    return (message for record in batch if wanted.accepts(message := _message(record)))


def _message(record: Any) -> Message:
    key, value = record.key, record.value
    read: Any = glimpse(value, record.headers)
    if "type" not in read:  # it is not a CloudEvent
        read = str(record) if isinstance(record, Unreadable) else _json(value)
    if not _can_be_encoded(read, value):
        read = (value or b"").decode(errors="replace")
    name = None if key is None else key.decode(errors="replace")
    time = instant_of(record.timestamp / 1000)
    return Message(record.topic, record.partition, record.offset, time, name, read)


def _can_be_encoded(read: Any, value: bytes | None) -> bool:
    """Return whether a message can be shown as JSON: orjson decodes 1,024 levels of nesting, and encodes 254."""
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
