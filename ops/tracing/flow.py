"""Read a flow from all topics, starting at the time it can have begun; messages that do not name it are not parsed."""

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from domain.message import instant
from ops.errors import CommandFailed, Misconfigured
from ops.kafka import records
from ops.progress import ShowProgress, silent
from ops.tracing.nodes import Flow, Node
from parking.letter import letter_in
from streams.messages.cloudevents import glimpse
from streams.runtime.settings import Settings
from streams.topics import COMMAND_OUTCOMES, DEAD_LETTERS, MESSAGE_TOPICS, Topic
from streams.topology import AGGREGATES

SKEW_SECONDS = 300  # the id may come from a machine whose clock is ahead
KINDS: dict[Topic, tuple[str, str]] = {  # topic → kind of its messages, and their aggregate
    **{topics.commands: ("command", aggregate) for aggregate, topics in AGGREGATES.items()},
    **{topics.events: ("event", aggregate) for aggregate, topics in AGGREGATES.items()},
    COMMAND_OUTCOMES: ("outcome", ""),
    DEAD_LETTERS: ("letter", ""),
}


class NoFlow(CommandFailed):
    """No message on the topics belongs to the flow."""

    exit_code = os.EX_TEMPFAIL


def begin(correlation: str, since: str | None) -> float | None:
    """Return when a flow can have begun, in Unix seconds: `since`, or the time in a UUIDv7; None if unknown."""
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


def read(settings: Settings, correlation: str, since: str | None, progress: ShowProgress = silent) -> list[Node]:
    """Return the first messages of a flow with all others below them; NoFlow if no message belongs to it."""
    flow, spans = Flow(), _spans(settings, begin(correlation, since))
    total = sum(end - start for span in spans.values() for start, end in span.values())
    with progress("offsets read", total) as advance:
        for topic, span in spans.items():
            with records.Log(settings, topic.name, {number: start for number, (start, _) in span.items()}) as log:
                before = sum(log.positions.values())
                for batch in log.upto({number: end for number, (_, end) in span.items()}):
                    for record, envelope in _matching(batch, correlation):
                        with suppress(KeyError, TypeError, AttributeError):  # another program's message names the flow
                            _add(flow, KINDS[topic], record, envelope)
                    advance(sum(log.positions.values()) - before)
                    before = sum(log.positions.values())
    if not (found := flow.roots()):
        raise NoFlow(
            f"No message on the topics belongs to {correlation}. Commands and outcomes are kept for a week: check the "
            "id, or find older events with `fulfillment tail --from-beginning`."
        )
    return found


def _spans(settings: Settings, begins: float | None) -> dict[Topic, dict[int, tuple[int, int]]]:
    """Return the offsets of each partition between which the flow's messages are."""
    spans = {topic: records.watermarks(settings, topic.name) for topic in MESSAGE_TOPICS}
    if begins is None:
        return spans
    milliseconds = max(int(begins * 1000), 0)
    starts = {topic: records.offsets_at(settings, topic.name, milliseconds) for topic in spans}
    return {
        topic: {number: (starts[topic].get(number, end), end) for number, (_, end) in span.items()}
        for topic, span in spans.items()
    }


def _matching(batch: list[Any], correlation: str) -> Iterator[tuple[Any, Mapping[str, Any]]]:
    named, raw = orjson.dumps(correlation)[1:-1], correlation.encode()
    for record in batch:
        value, headers = record.value or b"", record.headers
        if named not in value and not any(raw == value for _, value in headers):
            continue
        envelope = glimpse(value, headers)  # empty if it is not readable: any program may write to a command topic
        named_by = envelope
        if envelope.get("type") == "DeadLetter" and (letter := letter_in(value)) is not None:
            named_by = {"id": letter.command_id, **glimpse(letter.value, letter.headers)}
        if correlation in (named_by.get("correlationid"), named_by.get("id")):
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
