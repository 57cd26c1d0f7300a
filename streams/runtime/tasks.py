"""Ending tasks."""

import asyncio
from typing import Any

AGAIN_SECONDS = 1.0


async def cancel(task: "asyncio.Task[Any]") -> None:
    """Cancel a task, and return when it has ended; its result and its error are ignored.

    Python 3.11's `asyncio.wait_for` loses a cancellation that arrives at the moment when what it waits for ends, and
    the drivers of MongoDB and Kafka use it. A task that runs forever would then never end, so it is cancelled again.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=AGAIN_SECONDS)
    if not task.cancelled():
        task.exception()  # otherwise asyncio logs that it was never retrieved
