"""Checks whether Kafka answers, before a process starts and for readiness."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection
from typing import Any

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError, RequestTimedOutError

from streams.kafka.clients import aiokafka_config
from streams.kafka.diagnosis import diagnose
from streams.kafka.metadata import check_topics
from streams.runtime.settings import Settings

log = logging.getLogger(__name__)
SILENT_SECONDS = 5.0  # time limit of an answer: a busy broker may take a while, a stopped one refuses at once
WAIT_SECONDS = 0.5  # longest wait of a caller that checks whether the broker answers
PAUSE_SECONDS = 0.5  # pause between attempts

Ask = Callable[[], Awaitable[Any]]


async def answers(ask: Ask, seconds: float = SILENT_SECONDS) -> bool:
    """Return whether the broker answers the request `ask` in time."""
    try:
        async with asyncio.timeout(seconds):
            await ask()
    except (KafkaError, OSError, TimeoutError):
        return False
    return True


class Pulse:
    """Knows whether a broker answers, for callers that cannot wait; it does not if it refuses or is silent.

    `ask` asks it, about the `topics` (full names) that this process needs; `why` is the reason if it does not answer.
    """

    def __init__(self, settings: Settings, ask: Ask, topics: Collection[str] = ()) -> None:
        self._settings, self._ask, self._topics = settings, ask, topics
        self._asking: asyncio.Task[None] | None = None
        self._refused = False
        self._silent_since: float | None = None
        self.why = unanswered(settings)

    async def beats(self) -> bool:
        """Ask the broker, wait briefly, and return whether it answers as far as is known."""
        if self._asking is None:
            self._silent_since = self._silent_since or time.monotonic()
            self._asking = asyncio.create_task(self._listen())
        await asyncio.wait({self._asking}, timeout=WAIT_SECONDS)
        silent = self._silent_since is not None and time.monotonic() - self._silent_since > SILENT_SECONDS
        return not (self._refused or silent)

    async def _listen(self) -> None:
        try:
            async with asyncio.timeout(2 * SILENT_SECONDS):
                await self._ask()
            self._refused, self._silent_since = False, None
            self.why = unanswered(self._settings)
        except (TimeoutError, RequestTimedOutError):
            self._refused = False
            self.why = await why_not(self._settings, self._topics)
        except (KafkaError, OSError):
            self._refused = True
            self.why = await why_not(self._settings, self._topics)
        finally:
            self._asking = None


async def why_not(settings: Settings, topics: Collection[str] = ()) -> str:
    """Return why Kafka does not answer, or not about `topics`, as a sentence without a full stop."""
    return str(await diagnose(settings, topics) or unanswered(settings))


def unanswered(settings: Settings) -> str:
    """Return that Kafka does not answer, as long as nothing else is known."""
    return f"Kafka is unreachable: {settings.kafka} does not answer"


async def until_kafka_answers(settings: Settings, topics: Collection[str], say: Callable[[str | None], None]) -> None:
    """Return once a broker answers about `topics`; call `say` with the reason for waiting, and finally with None."""
    while not await answers(lambda: _reach(settings, topics), 2 * SILENT_SECONDS):
        why = await why_not(settings, topics)
        say(why)
        log.warning("%s; retrying", why)
        await asyncio.sleep(PAUSE_SECONDS)
    say(None)


async def _reach(settings: Settings, topics: Collection[str]) -> None:
    client = AIOKafkaClient(**aiokafka_config(settings))
    try:
        await client.bootstrap()
        await check_topics(client, topics)
    finally:
        await client.close()
