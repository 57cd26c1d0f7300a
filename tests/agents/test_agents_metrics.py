"""Metrics of commands: counted by type and outcome after the commit, and unaffected by texts of other senders."""

from dataclasses import replace
from typing import Any

import pytest
from prometheus_client import REGISTRY
from test_agents_deciding import Desk, key_on, receive

from agents.inventory import PRODUCT


def counted(kind: str, outcome: str) -> float:
    return REGISTRY.get_sample_value("fulfillment_commands_total", {"type": kind, "outcome": outcome}) or 0.0


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_every_command_is_counted_by_its_outcome(desk: Desk) -> None:
    far = key_on(2)
    decided = desk.decide(
        desk.record(receive(id="a")),
        desk.record(receive(id="a")),
        desk.record({"type": "AdjustStock", "data": {"delta": -9}}),
        desk.record(receive(), key=far),
        desk.record(receive(-1)),
        desk.record({"type": "Nonsense of a stranger", "data": {}}),
        desk.record(b"{"),
    )
    assert decided.commands == {
        ("ReceiveStock", "accepted"): 1,
        ("ReceiveStock", "repeated"): 1,
        ("AdjustStock", "INSUFFICIENT_STOCK"): 1,
        ("ReceiveStock", "forwarded"): 1,
        ("ReceiveStock", "INVALID_QUANTITY"): 1,
        ("unread", "UNKNOWN_TYPE"): 1,
        ("unread", "INVALID_MESSAGE"): 1,
    }


def test_parked_commands_are_counted_as_parked() -> None:
    def broken(*_: object) -> Any:
        raise ZeroDivisionError

    desk = Desk(replace(PRODUCT, decide=broken))
    decided = desk.decide(desk.record(receive()), desk.record(receive()))
    assert decided.commands == {("ReceiveStock", "parked"): 2}


def test_nothing_is_counted_before_the_commit(desk: Desk) -> None:
    before = counted("ReceiveStock", "accepted")
    decided = desk.decide(desk.record(receive()), merge=False)
    assert counted("ReceiveStock", "accepted") == before
    decided.merge()
    assert counted("ReceiveStock", "accepted") == before + 1
