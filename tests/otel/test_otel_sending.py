"""Sending spans: nothing waits for the receiver, and spans it does not accept are reported once."""

import json
import logging
import socket
import time

import pytest
from receiver import receiving
from system import PATIENCE_SECONDS

from streams.runtime.settings import Settings
from streams.tracing import otlp, traces
from streams.tracing.otlp import Otlp
from streams.tracing.spans import Span


def span(number: int) -> Span:
    return Span(f"span {number}", "internal", 1, number, began=1, ended=2)


def test_queued_spans_are_sent_at_the_end() -> None:
    with receiving() as receiver:
        traces.start("orders", Settings(otlp_endpoint=receiver.endpoint + "/"))
        assert traces.ON is not None
        for number in range(1, 4):
            traces.ON.record(span(number))
        traces.stop()
    assert traces.ON is None
    assert {found.name for found in receiver.spans} == {"span 1", "span 2", "span 3"}
    assert {found.service for found in receiver.spans} == {"fulfillment-orders"}


@pytest.mark.parametrize("silent", [True, False])
def test_an_unreachable_receiver_is_reported_once_and_nothing_waits(
    silent: bool, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(otlp, "REQUEST_SECONDS", 10 * PATIENCE_SECONDS)  # a caller that waited would wait for that long
    with socket.socket() as nobody:  # accepts connections without answering, or accepts none
        nobody.bind(("127.0.0.1", 0))
        if silent:
            nobody.listen()
        port = nobody.getsockname()[1]
        caplog.clear()  # messages of another test's exporter, which still retries
        sender = Otlp("orders", Settings(otlp_endpoint=f"http://127.0.0.1:{port}"))
        began = time.monotonic()
        for number in range(1, 20_001):
            sender.send(span(number))
        sender.stop()
        assert time.monotonic() - began < PATIENCE_SECONDS
    said = [record for record in caplog.records if record.levelno >= logging.WARNING]
    ours = [record for record in said if record.name == "streams.tracing.otlp"]
    theirs = [each for each in said if each not in ours and f"port={port}" in each.getMessage()]
    assert (len(ours), theirs) == (1, []), json.dumps([record.getMessage() for record in said])
