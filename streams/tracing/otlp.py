"""Sends spans to an OTLP receiver over HTTP, in batches from a thread of its own; needs the extra `otel`.

Callers never wait for the receiver: spans that it does not accept in time are dropped, with one warning a minute.
"""

import logging
import time
from threading import Thread

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from streams.runtime.settings import Settings
from streams.tracing.spans import Kind, Span

log = logging.getLogger(__name__)

QUEUE_SPANS = 16_384  # kept while the receiver is slow or unreachable; then the oldest are dropped
DELAY_MILLISECONDS = 1_000  # before a batch that is not full is sent
REQUEST_SECONDS = 5.0  # retries included
STOP_SECONDS = 2.0  # `fulfillment down` waits nine
SAY_SECONDS = 60.0

KINDS: dict[Kind, SpanKind] = {
    "internal": SpanKind.INTERNAL,
    "server": SpanKind.SERVER,
    "client": SpanKind.CLIENT,
    "producer": SpanKind.PRODUCER,
    "consumer": SpanKind.CONSUMER,
}
SCOPE = InstrumentationScope("order-fulfillment")
SAMPLED = TraceFlags(TraceFlags.SAMPLED)
UNSET = Status(StatusCode.UNSET)


class OnceInAWhile(logging.Handler):
    """Passes on the first warning of OpenTelemetry, and none for a minute, because it repeats them."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._silent_until = float("-inf")

    def emit(self, record: logging.LogRecord) -> None:
        """Log the record as ours, if the minute is over."""
        if time.monotonic() >= self._silent_until:
            self._silent_until = time.monotonic() + SAY_SECONDS
            log.warning("traces: %s (logged once in %.0f s)", record.getMessage(), SAY_SECONDS)


class Otlp:
    """Sends the spans of one process."""

    def __init__(self, role: str, settings: Settings) -> None:
        theirs = logging.getLogger("opentelemetry")
        theirs.handlers, theirs.propagate = [OnceInAWhile()], False
        self._resource = Resource.create(
            {
                "service.namespace": settings.named("fulfillment"),
                "service.name": f"fulfillment-{role}",
                "service.instance.id": f"{role}-{settings.instance}",
            }
        )
        exporter = OTLPSpanExporter(f"{settings.otlp_endpoint.rstrip('/')}/v1/traces", timeout=REQUEST_SECONDS)
        self._processor = BatchSpanProcessor(exporter, QUEUE_SPANS, DELAY_MILLISECONDS)
        log.info("traces go to %s", settings.otlp_endpoint)

    def send(self, span: Span) -> None:
        """Queue a span without waiting."""
        self._processor.on_end(
            ReadableSpan(  # a tracer cannot set ids and times without a context of its own
                span.name,
                context=_context(span.trace, span.id, remote=False),
                parent=None if span.parent is None else _context(span.trace, span.parent),
                resource=self._resource,
                attributes=span.attributes,
                links=[Link(_context(*place)) for place in span.links],
                kind=KINDS[span.kind],
                status=UNSET if span.error is None else Status(StatusCode.ERROR, span.error),
                start_time=span.began,
                end_time=span.ended,
                instrumentation_scope=SCOPE,
            )
        )

    def stop(self) -> None:
        """Send the queued spans, within a time limit."""
        flush = Thread(target=self._processor.shutdown, daemon=True)
        flush.start()
        flush.join(STOP_SECONDS)


def _context(trace: int, span: int, remote: bool = True) -> SpanContext:
    return SpanContext(trace, span, remote, SAMPLED)
