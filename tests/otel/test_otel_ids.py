"""Ids of traces and spans, the recorded share, and spans whose trace is not known yet."""

from uuid import uuid4

import pytest

from domain.orders.commands import Hold
from streams.messages.envelope import CommandMessage
from streams.tracing.spans import Span, caller_of, scope, span_of, trace_of
from streams.tracing.traces import Recorder, sent


class Kept:
    """Keeps the spans that are sent to it."""

    def __init__(self) -> None:
        self.spans: list[Span] = []

    def send(self, span: Span) -> None:
        self.spans.append(span)

    def stop(self) -> None:
        """Keep the spans."""


def test_ids_are_the_same_everywhere_and_never_change() -> None:
    assert f"{trace_of('checkout-1001'):032x}" == "1077c5636b7150a2b912398027e5e62a"
    assert f"{span_of('checkout-1001'):016x}" == "0421d625e53ba119"
    assert span_of("checkout-1001", "send") != span_of("checkout-1001")


def test_a_correlation_id_that_is_a_trace_id_is_that_trace() -> None:
    given = "4bf92f3577b34da6a3ce929d0e0e4736"
    assert trace_of(given) == int(given, 16)
    for other in (given.upper(), given[1:], "0" * 32, str(uuid4())):
        assert 0 < trace_of(other) < 1 << 128
        assert f"{trace_of(other):032x}" != other


@pytest.mark.parametrize("text", ["", "ü" * 128, "\ud800", "a/b"])
def test_any_text_has_an_id(text: str) -> None:
    assert 0 < trace_of(text) < 1 << 128
    assert 0 < span_of(text) < 1 << 64


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", True),
        ("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00-what-comes", True),
        ("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", False),
        (f"00-{'0' * 32}-00f067aa0ba902b7-01", False),
        (f"00-4bf92f3577b34da6a3ce929d0e0e4736-{'0' * 16}-01", False),
        ("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", False),
        ("00-4bf92f3577b34da6a3ce929d0e0e4736", False),
        ("", False),
        (None, False),
    ],
)
def test_the_traceparent_of_a_caller_is_read_as_w3c_defines_it(header: str | None, found: bool) -> None:
    assert caller_of(header) == (("4bf92f3577b34da6a3ce929d0e0e4736", 0x00F067AA0BA902B7) if found else None)


@pytest.mark.parametrize("ratio", [0.0, 0.1, 0.9, 1.0])
def test_the_recorded_share_of_traces_is_the_same_everywhere(ratio: float) -> None:
    here, there = Recorder(Kept(), ratio), Recorder(Kept(), ratio)
    traces = [trace_of(str(uuid4())) for _ in range(4_000)]
    wanted = [here.wants(trace) for trace in traces]
    assert wanted == [there.wants(trace) for trace in traces]
    assert abs(sum(wanted) / len(wanted) - ratio) < 0.05


def command(correlation_id: str) -> CommandMessage:
    return CommandMessage("c-1", "order-1", Hold(reason="why not"), "2026-11-23T10:00:00.000Z", "web", correlation_id)


def test_spans_of_a_request_are_below_it_once_its_trace_is_known() -> None:
    with scope() as opened:
        sent(Recorder(Kept(), 1.0), [command("mine"), command("another")], 1, 2)
        opened.add(Span("find orders_v1", "client", 0, 7))
    own = Span("POST /orders", "server", trace_of("mine"), opened.id)
    mine, another, asked, last = opened.close(own)
    assert last is own
    assert (mine.trace, mine.parent, asked.trace, asked.parent) == (own.trace, own.id, own.trace, own.id)
    assert (another.parent, another.links) == (None, ((own.trace, own.id),))


def test_work_that_outlives_a_request_is_not_below_it() -> None:
    with scope() as opened:
        pass
    own = Span("POST /orders", "server", 1, opened.id)
    assert opened.close(own) == [own]
    opened.add(Span("find orders_v1", "client", 0, 7))
    assert opened.close(own) == [own]


def test_outside_of_a_request_only_requested_spans_are_recorded() -> None:
    kept = Kept()
    sent(Recorder(kept, 0.0), [command("mine")], 1, 2)
    assert kept.spans == []
    sent(Recorder(kept, 1.0), [command("mine")], 1, 2)
    (span,) = kept.spans
    assert (span.name, span.id, span.parent) == ("send Hold", span_of("c-1", "send"), None)
