"""Makes fetches larger under load, because a fetch and its transaction cost the same for one record as for a hundred.

aiokafka sends the next fetch as soon as records are taken, and the broker answers it with the first record that
arrives. Under load, each record is then fetched by itself, and a broker on the same machine needs three quarters of a
core for that. Here the next fetch is sent when the records before it have been handled, and returns everything that
arrived meanwhile. Only a backlog is fetched ahead. In addition, fetches take turns: a few at once after a pause, then
at a steady pace. For roles that clients wait for, the pace depends on the traffic: if few records arrive, they are
fetched at once.
"""

import asyncio
import math
from contextlib import suppress
from typing import Any

from aiokafka.errors import KafkaError
from aiokafka.protocol.fetch import FetchRequest
from faust.types import TP

from streams.kafka.library_patches import AIOKafkaConsumer, intercept_fetches
from streams.runtime.settings import Role, Settings

AWAITED = {"orders": 0.2, "api": 0.2, "projector": 0.3}  # roles that HTTP clients wait for: their share of the pace
UNPACED_FETCHES = 8  # fetches made at once after a pause
BUSY_BYTES = 1_000_000  # bytes per second from which on roles that clients wait for use their whole pace
MUCH_BYTES = 256 << 10  # bytes of a fetch that show a backlog, so that the next fetch need not wait
FORGET_SECONDS = 0.5  # the time constant with which earlier bytes count less
# If the records of a partition are not taken for this long, aiokafka leaves the partition out of the next fetch. New
# records of that partition then wait until this fetch is answered, which takes 1.5 s if nothing else arrives. The
# default of 0.1 s is shorter than a transaction under load. A stopped partition delays the others once.
UNTAKEN_SECONDS = 1.0
HELD_SECONDS = 1.0  # the longest a fetch waits for the records before it to be handled
# Errors of the broker that a retry hardly fixes. aiokafka logs them and retries at once.
REFUSED = {-1: "UNKNOWN_SERVER_ERROR", 2: "CORRUPT_MESSAGE", 56: "KAFKA_STORAGE_ERROR"}
FETCHES = "fetches"  # the name of the connection in aiokafka's client


class Turns:
    """Hands out turns, `seconds` apart after `UNPACED_FETCHES` turns at once; after a large fetch, the next is at once.

    If clients wait for the records (`awaited`), turns are the closer together the fewer bytes arrive.
    """

    def __init__(self, seconds: float, *, awaited: bool = False) -> None:
        self._seconds, self._awaited = seconds, awaited
        self._due = self._counted = 0.0
        self._bytes = 0.0  # recently fetched
        self._backlog = False  # whether the last fetch was large
        self._handled = asyncio.Event()
        self._handled.set()

    def hold(self) -> None:
        """Give no turn until `release`, because records are being handled; call both on the loop that takes turns."""
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
        """Count the bytes that a turn fetched."""
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
    """Return the turns of a role's fetches."""
    return Turns(settings.pace * AWAITED.get(role, 1.0), awaited=role in AWAITED)


class Fetches:
    """The client of aiokafka's fetcher: it sends fetches on a connection of their own, and counts their bytes.

    A broker answers the requests of a connection one after the other. On a shared connection, a request for the end of
    a partition would wait as long as a fetch does, up to 1.5 s.
    """

    def __init__(self, client: Any, turns: Turns, refused: dict[TP, str]) -> None:
        self._client, self._turns, self._refused = client, turns, refused

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def send(self, node_id: int, request: Any, **options: Any) -> Any:
        """Send a request to a broker and return its answer."""
        if not isinstance(request, FetchRequest):
            return await self._client.send(node_id, request, **options)
        try:
            answer = await self._client.send(node_id, request, **options, group=FETCHES)
        except KafkaError:
            self._client.force_metadata_update()  # another broker may lead these partitions now
            raise
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

    Partitions that the broker cannot read are added to `refused`, with its error.
    """
    note = {} if refused is None else refused
    intercept_fetches(consumer, turns.take, lambda client: Fetches(client, turns, note), UNTAKEN_SECONDS)
