"""The spans that workers record: one per message in the trace of that message, and one for the whole fetch.

A fetch is one transaction, or one batch of writes to MongoDB, for messages of many traces. Its span is in a trace of
its own, and linked with the messages' spans both ways.
"""

import time
from collections.abc import Iterator, Sequence
from typing import Any

import orjson
from aiokafka import ConsumerRecord
from faust.types import TP

from streams.kafka.transport import Fetch, Handle, Offsets
from streams.messages.envelope import CommandMessage, EventMessage
from streams.tracing.spans import Span, about, new_span, new_trace, scope, span_of, trace_of
from streams.tracing.traces import Recorder

MOST_LINKS = 128  # links of one span, which receivers accept by default
ONCE_MORE = frozenset({"repeated", "forwarded"})  # outcomes a command may have besides that of its decision


def deciding(recorder: Recorder, record: ConsumerRecord, command: CommandMessage, outcome: str) -> list[Span]:
    """Return the span of a handled command, without times; none if its trace is not recorded."""
    trace = trace_of(command.correlation_id)
    if not recorder.wants(trace):
        return []
    own, parent = span_of(command.id), _cause(command)
    if outcome in ONCE_MORE:
        own = span_of(command.id, record.topic, str(record.partition), str(record.offset))
    attributes = _about(record, command.id, command.correlation_id, command.key)
    attributes["fulfillment.outcome"] = outcome
    return [Span(f"decide {command.type}", "consumer", trace, own, parent, attributes)]


def _cause(command: CommandMessage) -> int | None:
    """Return the parent span of a command: the api's span for sending it, or the event that caused it."""
    if command.source == "web":
        return span_of(command.id, "send")
    return None if command.causation_id is None else span_of(command.causation_id)


def managing(recorder: Recorder, event: EventMessage, commands: int) -> list[Span]:
    """Return the span of an event that causes commands, without times."""
    trace = trace_of(event.correlation_id)
    if not recorder.wants(trace):
        return []
    attributes = {**about(event.id, event.correlation_id, event.key), "fulfillment.commands": commands}
    name, parent = f"manage {event.type}", span_of(event.causation_id)
    return [Span(name, "consumer", trace, span_of(event.id), parent, attributes)]


def committed(recorder: Recorder, spans: Sequence[Span], began: int, seconds: float) -> None:
    """Record a committed fetch: it was decided from `began` (Unix nanoseconds) on, its transaction took `seconds`."""
    ended = time.time_ns()
    own = Span("transaction", "internal", new_trace(), new_span(), began=ended - int(seconds * 1e9), ended=ended)
    for span in _linked(own, spans, began):
        recorder.record(span)


def _linked(own: Span, spans: Sequence[Span], began: int) -> Iterator[Span]:
    """Yield the spans of a fetch's messages and the span of the fetch, linked with one another."""
    own.attributes = {"messaging.system": "kafka", "messaging.batch.message_count": len(spans)}
    own.links = [(span.trace, span.id) for span in spans[:MOST_LINKS]]
    for span in spans:
        span.began, span.ended, span.links = began, own.ended, ((own.trace, own.id),)
        yield span
    yield own


class Projected:
    """Records each projected event once, although the projector reads events again for new versions of read models."""

    def __init__(self, recorder: Recorder, outcomes: str) -> None:
        self._recorder, self._outcomes = recorder, outcomes  # the topic without events
        self._reached: dict[TP, int] = {}

    def around(self, apply: Handle) -> Handle:
        """Return `apply` with spans."""

        async def applied(fetch: Fetch) -> Offsets | None:
            began = time.time_ns()
            with scope() as batch:
                handled = await apply(fetch)
            own = Span("batch", "internal", new_trace(), batch.id, began=began, ended=time.time_ns())
            writes = batch.close(own)[:-1]
            if handled is None:
                return None
            if spans := [span for tp, part in fetch.parts.items() for span in self._of(tp, part.records, handled[tp])]:
                for span in (*writes, *_linked(own, spans, began)):
                    self._recorder.record(span)
            return handled

        return applied

    def _of(self, tp: TP, records: Sequence[ConsumerRecord], handled: int) -> Iterator[Span]:
        if tp.topic == self._outcomes:
            return
        reached = self._reached.get(tp, 0)
        self._reached[tp] = max(reached, handled)
        for record in records:
            if reached <= record.offset < handled and (event := _envelope(record.value)) is not None:
                yield from self._event(record, event)

    def _event(self, record: ConsumerRecord, event: dict[str, Any]) -> Iterator[Span]:
        trace = trace_of(event["correlationid"])
        if self._recorder.wants(trace):
            name, own = f"project {event['type']}", span_of(event["id"], "project")
            attributes = _about(record, event["id"], event["correlationid"], event["subject"])
            yield Span(name, "consumer", trace, own, span_of(event["causationid"]), attributes)


def _envelope(value: bytes | None) -> dict[str, Any] | None:
    """Return an event's envelope; None if it cannot be read, because an operator has skipped it."""
    try:
        envelope = orjson.loads(value or b"")
    except orjson.JSONDecodeError:
        return None
    needed = ("id", "type", "subject", "correlationid", "causationid")
    is_one = isinstance(envelope, dict) and all(isinstance(envelope.get(name), str) for name in needed)
    return envelope if is_one else None


def _about(record: ConsumerRecord, message_id: str, correlation_id: str, aggregate_id: str) -> dict[str, str | int]:
    return {
        **about(message_id, correlation_id, aggregate_id),
        "messaging.destination.name": record.topic,
        "messaging.destination.partition.id": str(record.partition),
        "messaging.kafka.offset": record.offset,
    }
