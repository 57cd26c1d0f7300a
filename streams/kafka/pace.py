"""Lets records gather under load: a fetch, and the transaction it becomes, cost the same for one record or a hundred.

aiokafka sends the next fetch as soon as records are taken, and the broker answers it with the first record that
arrives, so that under load every record is fetched by itself: a broker on the same machine spent three quarters of a
core on that. Here the next fetch is sent when the records before it have been handled, and brings everything that
arrived meanwhile. Only a backlog is fetched ahead. Besides, fetches take turns: a few at once after a pause, then at a
steady pace. For roles that clients wait for, the pace depends on how much arrives: when little does, it is fetched at
once.
"""

import asyncio
import math
from contextlib import suppress
from typing import Any

from aiokafka.protocol.fetch import FetchRequest
from faust.types import TP

from streams.kafka.library_patches import AIOKafkaConsumer, intercept_fetches
from streams.runtime.settings import Role, Settings

AWAITED = {"orders": 0.2, "api": 0.2, "projector": 0.3}  # roles HTTP clients wait for: their share of the pace setting
UNPACED_FETCHES = 8  # made at once after a pause
BUSY_BYTES = 1_000_000  # fetched in a second: where somebody waits, the pace is full from there on
MUCH_BYTES = 256 << 10  # in one fetch: there is a backlog, and nothing has to gather
FORGET_SECONDS = 0.5  # what came before counts less and less
# aiokafka leaves partitions with records that nobody took for so long out of the next fetch, and what comes to them
# then waits until it is answered: 1.5 s, where nothing else comes. Its default of 0.1 s is shorter than a transaction
# under load; what a stopped partition has buffered keeps the others waiting once for as long.
UNTAKEN_SECONDS = 1.0
HELD_SECONDS = 1.0  # the longest a fetch waits for the records before it to be handled
# The broker's errors that asking again hardly helps against. aiokafka logs them, and asks again at once.
REFUSED = {-1: "UNKNOWN_SERVER_ERROR", 2: "CORRUPT_MESSAGE", 56: "KAFKA_STORAGE_ERROR"}
FETCHES = "fetches"  # what aiokafka's client calls the connection


class Turns:
    """Hands out turns, `seconds` apart once `UNPACED_FETCHES` were taken at once; after one that brought much, at once.

    `awaited`: for who waits for what comes, they are the closer the less that is.
    """

    def __init__(self, seconds: float, *, awaited: bool = False) -> None:
        self._seconds, self._awaited = seconds, awaited
        self._due = self._counted = 0.0
        self._bytes = 0.0  # that came lately
        self._backlog = False  # the last turn brought much
        self._handled = asyncio.Event()
        self._handled.set()

    def hold(self) -> None:
        """Give no turn until `release`, because records are being handled. Both are for the loop that takes turns."""
        self._handled.clear()

    def release(self) -> None:
        """Give turns again."""
        self._handled.set()

    async def take(self) -> None:
        """Return when it is the caller's turn."""
        if not (self._backlog or self._handled.is_set()):
            with suppress(TimeoutError):
                await asyncio.wait_for(self._handled.wait(), HELD_SECONDS)
        now = asyncio.get_running_loop().time()
        seconds = self._apart(now)
        early = self._due - UNPACED_FETCHES * seconds - now
        self._due = max(self._due, now) + seconds
        if early > 0:
            await asyncio.sleep(early)

    def came(self, size: int) -> None:
        """Count what a turn brought, in bytes."""
        now = asyncio.get_running_loop().time()
        self._bytes, self._counted = self._left(now) + size, now
        self._backlog = size >= MUCH_BYTES
        if self._backlog:
            self._due = min(self._due, now + UNPACED_FETCHES * self._apart(now))  # the next one's turn is now

    def _apart(self, now: float) -> float:
        if not self._awaited:
            return self._seconds
        return self._seconds * min(1.0, self._left(now) / FORGET_SECONDS / BUSY_BYTES)

    def _left(self, now: float) -> float:
        return self._bytes * math.exp((self._counted - now) / FORGET_SECONDS)


def turns_of(role: Role, settings: Settings) -> Turns:
    """Return the turns of what a role fetches."""
    return Turns(settings.pace * AWAITED.get(role, 1.0), awaited=role in AWAITED)


class Fetches:
    """aiokafka's client, as its fetcher has it: fetches go over a connection of their own, and are counted.

    A broker answers one request after the other on each, so that whoever asks where a partition ends, for the lag or to
    know whether Kafka answers, waited for as long as a fetch does: up to 1.5 s.
    """

    def __init__(self, client: Any, turns: Turns, refused: dict[TP, str]) -> None:
        self._client, self._turns, self._refused = client, turns, refused

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def send(self, node_id: int, request: Any, **options: Any) -> Any:
        """Send a request to a broker and return its answer."""
        if not isinstance(request, FetchRequest):
            return await self._client.send(node_id, request, **options)
        answer = await self._client.send(node_id, request, **options, group=FETCHES)
        self._turns.came(sum(len(records or b"") for _, partitions in answer.topics for *_, records in partitions))
        self._note_refused(answer)
        return answer

    def _note_refused(self, answer: Any) -> None:
        for topic, partitions in answer.topics:
            for number, code, *_ in partitions:
                if code in REFUSED:
                    self._refused[TP(topic, number)] = REFUSED[code]
                elif self._refused:
                    self._refused.pop(TP(topic, number), None)


def pace_fetches(consumer: AIOKafkaConsumer, turns: Turns, refused: dict[TP, str] | None = None) -> None:
    """Make a started consumer's fetch requests take turns, on a connection of their own.

    `refused`: is told of partitions that the broker cannot read, and its error.
    """
    note = {} if refused is None else refused
    intercept_fetches(consumer, turns.take, lambda client: Fetches(client, turns, note), UNTAKEN_SECONDS)
