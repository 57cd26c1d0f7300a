"""Commands with a `validuntil` are refused from that time on, once and for good."""

import json
from typing import Any

import pytest
from test_agents_deciding import BOOTS, Desk, messages, receive

from streams.messages.codec import decode_command
from streams.messages.envelope import CommandMessage, instant_of

NOW = 1_800_000_000.5  # Unix seconds, by the worker's clock


@pytest.fixture
def desk() -> Desk:
    desk = Desk()
    desk.deciding.parking.handler.now = lambda: NOW  # type: ignore[attr-defined]  # is an Answering
    return desk


def outcome_of(desk: Desk, **more: Any) -> dict[str, Any]:
    (outcome,) = messages(desk.decide(desk.record(receive(3, **more))), "command-outcomes")
    data: dict[str, Any] = outcome["data"]
    return data


@pytest.mark.parametrize(
    ("until", "status"),
    [
        (instant_of(NOW + 0.001), "accepted"),
        (instant_of(NOW), "rejected"),
        ("2020-01-01", "rejected"),
        ("9999-12-31T23:59:59.999+00:00", "accepted"),
        (None, "accepted"),
    ],
)
@pytest.mark.parametrize("by_hand", [False, True])
def test_a_command_is_valid_before_its_time(desk: Desk, until: str | None, status: str, by_hand: bool) -> None:
    ours = {} if by_hand else {"id": "c", "subject": BOOTS, "specversion": "1.0", "source": "web"}
    outcome = outcome_of(desk, validuntil=until, **ours)
    assert outcome["status"] == status
    if status == "rejected":
        assert outcome["code"] == "COMMAND_EXPIRED"
        assert outcome["retryable"] is False
        assert desk.entry() is None


def test_a_refusal_is_final_even_if_the_clock_is_set_back(desk: Desk) -> None:
    outcome_of(desk)
    late = {"id": "late", "validuntil": instant_of(NOW - 1)}
    assert outcome_of(desk, **late)["code"] == "COMMAND_EXPIRED"
    desk.deciding.parking.handler.now = lambda: NOW - 3_600  # type: ignore[attr-defined]  # is an Answering
    assert outcome_of(desk, **late)["code"] == "COMMAND_EXPIRED"
    assert desk.entry().state.balance.on_hand == 3


def test_a_repeat_gets_the_first_answer_whatever_time_it_allows(desk: Desk) -> None:
    first = outcome_of(desk, id="c", validuntil=instant_of(NOW + 1))
    desk.deciding.parking.handler.now = lambda: NOW + 60  # type: ignore[attr-defined]  # is an Answering
    for until in (instant_of(NOW + 1), instant_of(NOW + 120), None):
        assert outcome_of(desk, id="c", validuntil=until) == first


@pytest.mark.parametrize("until", ["soon", 7, "2026-13-01", ""])
def test_a_time_that_cannot_be_read_is_refused(desk: Desk, until: Any) -> None:
    (outcome,) = messages(desk.decide(desk.record(receive(validuntil=until))), "command-outcomes")
    assert outcome["data"]["code"] == "INVALID_MESSAGE"
    assert "validuntil" in outcome["data"]["message"]


def test_an_envelope_keeps_the_time(desk: Desk) -> None:
    record = desk.record(receive(id="c", validuntil="2030-01-01T01:00:00+01:00"))
    at: Any = record
    message: CommandMessage = decode_command(record.value, at, desk.deciding.types, "productId")
    assert message.valid_until == "2030-01-01T00:00:00.000Z"
    assert json.loads(message.encode())["validuntil"] == message.valid_until
