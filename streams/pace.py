"""Lets records gather under load: a fetch, and the transaction it becomes, cost the same for one record or a hundred.

aiokafka asks again as soon as an answer is there, so that under load every record is fetched by itself: a broker on the
same machine spent three quarters of a core on that. Here fetches take turns: a few at once after a pause, so that an
idle system answers at once, and a steady pace when they go on.
"""

import asyncio
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.protocol.fetch import FetchRequest

UNPACED_FETCHES = 8  # made at once after a pause
FETCHES = "fetches"  # what aiokafka's client calls the connection


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


class OwnConnection:
    """aiokafka's client, as its fetcher has it: fetches go over a connection of their own.

    A broker answers one request after the other on each, so that whoever asks where a partition ends, for the lag or to
    know whether Kafka answers, waited for as long as a fetch does: up to 1.5 s.
    """

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def send(self, node_id: int, request: Any, **options: Any) -> Any:
        """Send a request to a broker and return its answer."""
        if isinstance(request, FetchRequest):
            options["group"] = FETCHES
        return await self._client.send(node_id, request, **options)


def pace_fetches(consumer: AIOKafkaConsumer, seconds: float) -> None:
    """Make a started consumer's fetch requests take turns, on a connection of their own."""
    turns, fetcher = Turns(seconds), consumer._fetcher
    send = fetcher._proc_fetch_request

    async def send_in_turn(assignment: Any, node_id: int, request: Any) -> Any:
        try:
            await turns.take()
        except asyncio.CancelledError:  # the fetcher awaits those it cancels, and closes no further where one raises
            return False
        return await send(assignment, node_id, request)

    fetcher._proc_fetch_request = send_in_turn
    fetcher._client = OwnConnection(fetcher._client)
