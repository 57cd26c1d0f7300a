"""Lets records gather under load: a fetch, and the transaction it becomes, cost the same for one record or a hundred.

aiokafka asks again as soon as an answer is there, so that under load every record is fetched by itself: a broker on the
same machine spent three quarters of a core on that. Here fetches take turns: a few at once after a pause, so that an
idle system answers at once, and a steady pace when they go on.
"""

import asyncio
from typing import Any

from aiokafka import AIOKafkaConsumer

UNPACED_FETCHES = 8  # made at once after a pause


class Turns:
    """Hands out turns, `seconds` apart once `UNPACED_FETCHES` were taken at once."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self._due = seconds, 0.0

    async def take(self) -> None:
        """Return when it is the caller's turn."""
        now = asyncio.get_running_loop().time()
        early = self._due - UNPACED_FETCHES * self._seconds - now
        self._due = max(self._due, now) + self._seconds
        if early > 0:
            await asyncio.sleep(early)


def pace_fetches(consumer: AIOKafkaConsumer, seconds: float) -> None:
    """Make a started consumer's fetch requests take turns."""
    turns, fetcher = Turns(seconds), consumer._fetcher
    send = fetcher._proc_fetch_request

    async def send_in_turn(assignment: Any, node_id: int, request: Any) -> Any:
        try:
            await turns.take()
        except asyncio.CancelledError:  # the fetcher awaits those it cancels, and closes no further where one raises
            return False
        return await send(assignment, node_id, request)

    fetcher._proc_fetch_request = send_in_turn
