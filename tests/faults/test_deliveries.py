"""Fault schedules find deliveries that are missing or in the wrong order."""

from typing import Any

import deliveries as module
import pytest
from deliveries import Deliveries


def event(subject: str, sequence: int, kind: str = "OrderPlaced") -> dict[str, Any]:
    return {"id": f"{subject}-{sequence}", "subject": subject, "sequence": sequence, "type": kind}


@pytest.fixture
def taking(monkeypatch: pytest.MonkeyPatch) -> Deliveries:
    monkeypatch.setattr(module, "REFUSED", 0.0)
    return Deliveries(1)


async def test_repeats_and_events_of_other_types_are_right(taking: Deliveries) -> None:
    for each in (event("a", 1), event("b", 1), event("a", 1), event("a", 3)):
        assert taking.answer(each) == 200
    assert await taking.broken([event("a", 1), event("a", 2, "StockReceived"), event("a", 3), event("b", 1)]) == []


async def test_first_copies_that_change_places_are_found(taking: Deliveries) -> None:
    for each in (event("a", 2), event("a", 1), event("a", 2)):
        taking.answer(each)
    assert await taking.broken([event("a", 1), event("a", 2)]) == ["the webhook delivered a in the order [2, 1]"]


async def test_an_event_that_never_arrives_is_found(taking: Deliveries, monkeypatch: pytest.MonkeyPatch) -> None:
    async def give_up(*_: object) -> None:
        raise AssertionError("it took too long")

    monkeypatch.setattr(module, "eventually", give_up)
    taking.answer(event("a", 1))
    assert await taking.broken([event("a", 1), event("a", 2)]) == ["the webhook did not deliver a@2"]


def test_a_refused_event_is_taken_the_second_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REFUSED", 1.0)
    refusing = Deliveries(1)
    assert [refusing.answer(event("a", 1)) for _ in range(2)] == [503, 200]
