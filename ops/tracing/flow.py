"""Reading a flow: all topics in bulk from where it can have begun; what does not name it is not even parsed."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from confluent_kafka import Consumer, TopicPartition

from domain.message import instant
from ops.errors import Misconfigured
from ops.kafka import records
from ops.progress import progress
from ops.tracing.nodes import Flow, Node
from parking.letter import letter_in
from streams.messages.cloudevents import glimpse
from streams.runtime.settings import Settings
from streams.topics import COMMAND_OUTCOMES, DEAD_LETTERS, MESSAGE_TOPICS, Topic
from streams.topology import AGGREGATES

SKEW_SECONDS = 300  # ids are made on machines with clocks of their own
KINDS: dict[Topic, tuple[str, str]] = {  # topic → what is on it, and whose
    **{topics.commands: ("command", aggregate) for aggregate, topics in AGGREGATES.items()},
    **{topics.events: ("event", aggregate) for aggregate, topics in AGGREGATES.items()},
    COMMAND_OUTCOMES: ("outcome", ""),
    DEAD_LETTERS: ("letter", ""),
}


def begin(correlation: str, since: str | None) -> float | None:
    """Return when a flow can have begun (Unix seconds): as told, or as an id of ours says; None: nobody knows."""
    if since is not None:
        try:
            return datetime.fromisoformat(instant(since)).timestamp()
        except ValueError as error:
            raise Misconfigured(f"--since {error}") from None
    try:
        made = UUID(correlation)
    except ValueError:
        return None
    return (made.int >> 80) / 1000 - SKEW_SECONDS if made.version == 7 else None


def read(settings: Settings, correlation: str, begins: float | None) -> list[Node]:
    """Return the flow's first messages with all others below them; none when nothing belongs to it."""
    flow, spans = Flow(), _spans(settings, begins)
    total = sum(end - start for span in spans.values() for start, end in span.values())
    with records.kafka(settings), progress("offsets read", total) as advance:
        for topic, span in spans.items():
            with records.Log(settings, topic.name, {number: start for number, (start, _) in span.items()}) as log:
                before = sum(log.positions.values())
                for batch in log.upto({number: end for number, (_, end) in span.items()}):
                    for record, envelope in _matching(batch, correlation):
                        with suppress(KeyError, TypeError, AttributeError):  # none of ours that names the flow
                            _add(flow, KINDS[topic], record, envelope)
                    advance(sum(log.positions.values()) - before)
                    before = sum(log.positions.values())
    return flow.roots()


def _spans(settings: Settings, begins: float | None) -> dict[Topic, dict[int, tuple[int, int]]]:
    """Return which offsets of each partition the flow can be at."""
    spans = {topic: records.watermarks(settings, topic.name) for topic in MESSAGE_TOPICS}
    if begins is None:
        return spans
    topics = {settings.named(topic.name): topic for topic in MESSAGE_TOPICS}
    at = max(int(begins * 1000), 0)
    asked = [TopicPartition(name, number, at) for name, topic in topics.items() for number in spans[topic]]
    consumer = Consumer(
        {"bootstrap.servers": settings.kafka, "group.id": settings.named(records.GROUP), "log_level": 0}
    )
    try:
        with records.kafka(settings):
            for tp in consumer.offsets_for_times(asked, timeout=records.ASK_SECONDS):
                _, end = spans[topics[tp.topic]][tp.partition]
                spans[topics[tp.topic]][tp.partition] = (tp.offset if tp.offset >= 0 else end, end)
    finally:
        consumer.close()
    return spans


def _matching(batch: list[Any], correlation: str) -> Iterator[tuple[Any, Mapping[str, Any]]]:
    named, raw = orjson.dumps(correlation)[1:-1], correlation.encode()
    for record in batch:
        value, headers = record.value or b"", record.headers
        if named not in value and not any(raw == said for _, said in headers):
            continue
        envelope = glimpse(value, headers)  # empty where nothing can be read: a command topic takes anything
        said = envelope
        if envelope.get("type") == "DeadLetter" and (letter := letter_in(value)) is not None:
            said = {"id": letter.command_id, **glimpse(letter.value, letter.headers)}
        if correlation in (said.get("correlationid"), said.get("id")):
            yield record, envelope


def _add(flow: Flow, what: tuple[str, str], record: Any, envelope: Mapping[str, Any]) -> None:
    kind, aggregate = what
    if kind == "outcome":
        flow.outcome(envelope)
    elif kind == "letter":
        if envelope["data"].get("commandId"):
            flow.letter(envelope["data"])
    elif "id" in envelope and "type" in envelope:
        key = (record.key or b"").decode(errors="replace") or envelope.get("subject", "")
        at = f"{record.topic}/{record.partition}@{record.offset}"
        flow.add("command" if kind == "command" else "event", aggregate, envelope, key, at)
