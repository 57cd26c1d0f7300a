"""Spans and their ids: a trace is a correlation id, and a span is the handling of one message (docs/adr/0026)."""

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Literal

Kind = Literal["internal", "server", "client", "producer", "consumer"]
Place = tuple[int, int]  # the ids of a trace and of a span in it

_TRACE_ID = re.compile(r"(?!0{32})[0-9a-f]{32}")
_TRACEPARENT = re.compile(rf"(?!ff)[0-9a-f]{{2}}-({_TRACE_ID.pattern})-((?!0{{16}})[0-9a-f]{{16}})-[0-9a-f]{{2}}.*")


@dataclass(slots=True)
class Span:
    """An operation with its beginning and end (Unix time, nanoseconds)."""

    name: str
    kind: Kind
    trace: int
    id: int
    parent: int | None = None
    attributes: Mapping[str, str | int] = field(default_factory=dict)
    links: Sequence[Place] = ()
    began: int = 0
    ended: int = 0
    error: str | None = None


def about(message_id: str, correlation_id: str, aggregate_id: str) -> dict[str, str | int]:
    """Return the attributes of a message; names follow OpenTelemetry's semantic conventions where they exist."""
    return {
        "messaging.system": "kafka",
        "messaging.message.id": message_id,
        "messaging.message.conversation_id": correlation_id,
        "fulfillment.aggregate.id": aggregate_id,
    }


# --- ids


def trace_of(correlation_id: str) -> int:
    """Return the trace id of a correlation id; 32 hexadecimal digits are a trace id already."""
    if _TRACE_ID.fullmatch(correlation_id):
        return int(correlation_id, 16)
    return _hash(correlation_id, 16)


def span_of(*parts: str) -> int:
    """Return the id of a span; a message's id alone gives the span of its handling."""
    return _hash("/".join(parts), 8)


def _hash(text: str, size: int) -> int:
    # Not a UUID, because some of its bits are constant, and sampling by ratio looks at them.
    return (
        int.from_bytes(blake2b(text.encode(errors="surrogatepass"), digest_size=size).digest()) or 1
    )  # 0 is not a valid id


def new_trace() -> int:
    """Return a unique trace id."""
    return random.getrandbits(128) or 1


def new_span() -> int:
    """Return a unique span id."""
    return random.getrandbits(64) or 1


def caller_of(traceparent: str | None) -> tuple[str, int] | None:
    """Return the trace (in hexadecimal digits) and the span in a W3C `traceparent`; None if it is invalid."""
    found = _TRACEPARENT.fullmatch(traceparent) if traceparent else None
    return (found[1], int(found[2], 16)) if found else None


# --- spans below one whose trace is known only at its end


class Scope:
    """A running span and the spans below it: the trace of an HTTP request is known only when its command is."""

    def __init__(self) -> None:
        self.id = new_span()
        self._below: list[Span] | None = []

    def add(self, span: Span) -> None:
        """Add a span below this one; it is dropped if it ends later, like that of a background task."""
        if self._below is not None:
            self._below.append(span)

    def close(self, own: Span) -> list[Span]:
        """Return all spans, `own` last; spans with a trace of their own (not 0) are linked with it."""
        below, self._below = self._below or [], None
        for span in below:
            if span.trace in (0, own.trace):
                span.trace, span.parent = own.trace, own.id
            else:
                span.links = ((own.trace, own.id),)
        return [*below, own]


SCOPE: ContextVar[Scope | None] = ContextVar("scope", default=None)


@contextmanager
def scope() -> Iterator[Scope]:
    """Collect the spans of the operations in this context."""
    opened = Scope()
    token = SCOPE.set(opened)
    try:
        yield opened
    finally:
        SCOPE.reset(token)
