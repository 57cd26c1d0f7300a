"""Traces: which are recorded, and by what. Off unless `FULFILLMENT_OTLP_ENDPOINT` names a receiver.

The ids of traces and spans are hashes, so that every process arrives at the same ones and nothing more needs to travel
(`streams/tracing/spans.py`, docs/adr/0026). Where something may be recorded it says `if traces.ON is not None`;
`streams/tracing/otlp.py` is the only module that knows OpenTelemetry, and is loaded when on.
"""

from collections.abc import Sequence
from typing import Protocol

from streams.messages.envelope import CommandMessage
from streams.runtime.settings import Settings
from streams.tracing.spans import SCOPE, Span, about, span_of, trace_of

_LOW = (1 << 64) - 1  # sampling by ratio uses these bits of a trace's id, as OpenTelemetry's own samplers do


class Sender(Protocol):
    """Takes spans and never waits."""

    def send(self, span: Span) -> None:
        """Record a span."""

    def stop(self) -> None:
        """Send the remaining spans, within a time limit."""


class Recorder:
    """Records the spans of a share of all traces, the same share in every process."""

    def __init__(self, sender: Sender, ratio: float) -> None:
        self._sender, self._bound = sender, round(ratio * (_LOW + 1))
        self.record = sender.send
        self.stop = sender.stop

    def wants(self, trace: int) -> bool:
        """Return whether spans of a trace are recorded."""
        return trace & _LOW < self._bound


ON: Recorder | None = None


def start(role: str, settings: Settings) -> None:
    """Record from now on, if the settings name a receiver."""
    global ON
    if settings.otlp_endpoint:
        from streams.tracing.otlp import Otlp

        ON = Recorder(Otlp(role, settings), settings.trace_ratio)


def stop() -> None:
    """Send the remaining spans, and record no more."""
    global ON
    recorder, ON = ON, None
    if recorder is not None:
        recorder.stop()


def sent(recorder: Recorder, messages: Sequence[CommandMessage], began: int, ended: int) -> None:
    """Record that the api has sent commands."""
    around = SCOPE.get()
    for message in messages:
        span = Span(
            f"send {message.type}",
            "producer",
            trace_of(message.correlation_id),
            span_of(message.id, "send"),
            attributes=about(message.id, message.correlation_id, message.key),
            began=began,
            ended=ended,
        )
        if around is not None:
            around.add(span)
        elif recorder.wants(span.trace):
            recorder.record(span)
