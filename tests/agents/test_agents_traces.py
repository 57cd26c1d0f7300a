"""Spans of decisions and projections: each recorded once, under ids that other processes know, and only on request."""

import json
from dataclasses import replace
from typing import Any

import pytest
from aiokafka import ConsumerRecord
from faust.types import TP
from test_agents_deciding import Desk, key_on, receive

from agents.inventory import PRODUCT
from agents.traces import Projected, committed
from streams.kafka.transport import Fetch, Member, Offsets, Part
from streams.tracing import traces
from streams.tracing.spans import Span, span_of, trace_of
from streams.tracing.traces import Recorder


class Kept:
    """Keeps the spans that are sent to it."""

    def __init__(self) -> None:
        self.spans: list[Span] = []

    def send(self, span: Span) -> None:
        self.spans.append(span)

    def stop(self) -> None:
        """Keep the spans."""


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Kept:
    """Traces are on, and kept."""
    kept = Kept()
    monkeypatch.setattr(traces, "ON", Recorder(kept, 1.0))
    return kept


def outcomes(spans: list[Span]) -> list[object]:
    return [span.attributes["fulfillment.outcome"] for span in spans]


def test_the_span_of_a_command_has_its_id_and_is_below_its_cause(kept: Kept) -> None:
    desk = Desk()
    ours = desk.record(receive(id="c-1", source="web", correlationid="flow"))
    caused = desk.record(receive(id="c-2", correlationid="flow", causationid="e-1"))
    first, second, third = desk.decide(ours, caused, desk.record(receive(id="c-3"))).spans
    assert (first.trace, first.id, first.parent) == (trace_of("flow"), span_of("c-1"), span_of("c-1", "send"))
    assert (second.trace, second.id, second.parent) == (trace_of("flow"), span_of("c-2"), span_of("e-1"))
    assert (third.trace, third.id, third.parent) == (trace_of("c-3"), span_of("c-3"), None)
    assert {span.name for span in (first, second, third)} == {"decide ReceiveStock"}


def test_a_command_that_is_handled_again_is_another_span(kept: Kept) -> None:
    desk = Desk()
    far = key_on(2)
    spans = desk.decide(
        desk.record(receive(id="c-1")),
        desk.record(receive(id="c-1")),
        desk.record(receive(id="c-2"), key=far),
        desk.record({"type": "AdjustStock", "data": {"delta": -9}}),
    ).spans
    forwarded = desk.decide(desk.record(receive(id="c-2"), key=far, partition=2)).spans
    assert outcomes(spans) == ["accepted", "repeated", "forwarded", "INSUFFICIENT_STOCK"]
    assert outcomes(forwarded) == ["accepted"]
    assert len({span.id for span in spans + forwarded}) == 5
    assert forwarded[0].id == span_of("c-2")


def test_the_span_of_a_parked_command_says_so(kept: Kept) -> None:
    def broken(*_: object) -> Any:
        raise ZeroDivisionError

    desk = Desk(replace(PRODUCT, decide=broken))
    assert outcomes(desk.decide(desk.record(receive()), desk.record(receive())).spans) == ["parked", "parked"]


def test_traces_that_are_not_recorded_leave_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk()
    monkeypatch.setattr(traces, "ON", Recorder(Kept(), 0.0))
    assert desk.decide(desk.record(receive())).spans == []
    monkeypatch.setattr(traces, "ON", None)
    assert desk.decide(desk.record(receive())).spans == []


def test_a_transaction_and_its_commands_are_linked_both_ways(kept: Kept) -> None:
    desk = Desk()
    decided = desk.decide(*(desk.record(receive()) for _ in range(200)))
    assert traces.ON is not None
    committed(traces.ON, decided.spans, decided.began, 0.001)
    *commands, own = kept.spans
    assert (own.name, own.attributes["messaging.batch.message_count"]) == ("transaction", 200)
    assert list(own.links) == [(span.trace, span.id) for span in commands[:128]]
    assert all(span.links == ((own.trace, own.id),) for span in commands)
    assert all(0 < span.began < span.ended == own.ended for span in commands)


# --- projections


def event(offset: int, value: Any = None) -> Any:
    envelope = {"id": f"e-{offset}", "type": "StockReceived", "subject": "boots", "causationid": f"c-{offset}"}
    sent = json.dumps(envelope | {"correlationid": "flow"}).encode() if value is None else value
    return ConsumerRecord("inventory-events", 0, offset, 0, 0, b"boots", sent, None, 0, 0, ())


def brought(*records: Any, topic: str = "inventory-events") -> Fetch:
    return Fetch(1, Member(1, "m"), {TP(topic, 0): Part(0, list(records))})  # type: ignore[call-arg]


async def done(fetch: Fetch) -> Offsets:
    return {tp: part.ended for tp, part in fetch.parts.items()}


async def left(fetch: Fetch) -> None:
    """Leave it to the new owner of its partitions."""


async def test_an_event_is_projected_below_its_command_once(kept: Kept) -> None:
    assert traces.ON is not None
    projected = Projected(traces.ON, "command-outcomes")
    await projected.around(left)(brought(event(0), event(1)))
    assert kept.spans == []
    apply = projected.around(done)
    await apply(brought(event(0), event(1)))
    first, second, batch = kept.spans
    assert (first.name, first.trace, first.parent) == ("project StockReceived", trace_of("flow"), span_of("c-0"))
    assert (first.id, second.id) == (span_of("e-0", "project"), span_of("e-1", "project"))
    assert (batch.name, batch.attributes["messaging.batch.message_count"]) == ("batch", 2)
    await apply(brought(event(0), event(1), event(2)))  # read again, for a new version
    assert [span.id for span in kept.spans[3:-1]] == [span_of("e-2", "project")]


async def test_a_message_that_is_not_an_event_has_no_span(kept: Kept) -> None:
    assert traces.ON is not None
    apply = Projected(traces.ON, "command-outcomes").around(done)
    await apply(brought(event(0), topic="command-outcomes"))
    await apply(brought(event(0, b"{"), event(1, b"[]"), event(2, b'{"id": 1}')))
    assert kept.spans == []
