"""Standby copies continue after errors, and end when they are told to. `test_streams_state.py` has a real Kafka."""

import asyncio
from collections.abc import Mapping

import pytest

from streams.runtime.settings import Settings
from tables import standby
from tables.rows import MemoryRows, Rows
from tables.standby import Standby


@pytest.fixture
def following(monkeypatch: pytest.MonkeyPatch) -> Standby:
    monkeypatch.setattr(standby, "FOLLOW_SECONDS", 0.01)
    return Standby(Settings(), "orders-states-changelog")


async def test_an_error_is_logged_and_the_rows_are_opened_again(
    following: Standby, caplog: pytest.LogCaptureFixture
) -> None:
    again = asyncio.Event()

    async def opened() -> Mapping[int, Rows]:
        if not caplog.records:
            raise FileNotFoundError("no manifest")
        again.set()
        return {0: MemoryRows()}

    following.follow(opened)
    await asyncio.wait_for(again.wait(), 60)
    await following.stop()
    assert "no manifest" in caplog.text
    assert "the standby copies of orders-states-changelog are not up to date" in caplog.text


async def test_it_ends_even_if_a_cancellation_is_lost(following: Standby) -> None:
    begun, lost = asyncio.Event(), 0

    async def opened() -> Mapping[int, Rows]:
        nonlocal lost
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            lost += 1
            if lost == 1:  # as a client of Kafka does while it closes
                await asyncio.Event().wait()
            raise
        return {}

    following.follow(opened)
    await asyncio.wait_for(begun.wait(), 60)
    await asyncio.wait_for(following.stop(), 60)
    assert lost == 1
