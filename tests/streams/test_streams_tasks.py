"""Ending tasks."""

import asyncio
from contextlib import suppress

import pytest

from streams.runtime import tasks


async def test_a_task_that_loses_a_cancellation_is_cancelled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "AGAIN_SECONDS", 0.01)
    never, lost = asyncio.Event(), asyncio.Event()

    async def loses_one() -> None:
        with suppress(asyncio.CancelledError):
            await never.wait()
        lost.set()
        await never.wait()

    task = asyncio.create_task(loses_one())
    await asyncio.sleep(0)  # it waits now
    await tasks.cancel(task)
    assert lost.is_set()
    assert task.cancelled()


async def test_the_error_of_a_task_that_has_ended_is_ignored() -> None:
    async def fails() -> None:
        raise ValueError

    task = asyncio.create_task(fails())
    await asyncio.wait([task])
    await tasks.cancel(task)
    assert isinstance(task.exception(), ValueError)
