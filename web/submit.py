"""A command's way: into Kafka, and back as an outcome."""

import asyncio
from dataclasses import replace
from itertools import count

from streams.faults import fault
from streams.messages import CommandMessage, Outcome, now
from streams.topics import Topic

from .earlier import attempt_id, earlier
from .metrics import COMMANDS, WAITS
from .requests import Preference
from .services import Services

FIRST_PAUSE, LONGEST_PAUSE = 0.01, 0.1  # seconds, between two attempts while stock has not answered


async def submit(
    services: Services,
    message: CommandMessage,
    preference: Preference,
    topic: Topic | None = None,
    *,
    again: bool = False,
) -> tuple[CommandMessage, Outcome | None]:
    """Return the attempt that was decided, and its outcome; None when nobody waits, or it did not come in time.

    ALLOCATION_PENDING is no answer yet: it is tried again, under ids derived from the first, until the wait is over,
    unless the client named the version it had seen. `topic`: where to, for commands that both kinds of aggregate take.
    `again`: it may have been sent before, by a process that died; what has an outcome is not sent again.
    """
    first, known = await earlier(services, message) if again else (0, None)
    if known is not None:
        return _attempt(message, first), known
    deadline = asyncio.get_running_loop().time() + preference.seconds
    for number in count(first):
        attempt = _attempt(message, number)
        outcome = await _ask(services, attempt, deadline, preference.asynchronous, topic)
        _count(attempt, outcome)
        if outcome is None or outcome.code != "ALLOCATION_PENDING" or message.expected_version is not None:
            break
        pause = min(FIRST_PAUSE * 2 ** (number - first), LONGEST_PAUSE)
        if asyncio.get_running_loop().time() + pause >= deadline:
            break
        await asyncio.sleep(pause)
    return attempt, outcome


def _attempt(message: CommandMessage, number: int) -> CommandMessage:
    return replace(message, id=attempt_id(message.id, number), time=now()) if number else message


async def _ask(
    services: Services, message: CommandMessage, deadline: float, asynchronous: bool, topic: Topic | None
) -> Outcome | None:
    async with services.waiting.of(message.id) as future:
        fault("sending")
        await services.gateway.send([message], *([topic] if topic else []))
        fault("sent")
        try:
            async with asyncio.timeout_at(deadline):
                outcome = await future
            fault("answered")
            return outcome
        except TimeoutError:
            if not asynchronous:
                WAITS.inc()
            services.accepted.add(message.id)
            return None


def _count(message: CommandMessage, outcome: Outcome | None) -> None:
    COMMANDS.labels(message.type, outcome.code or "accepted" if outcome else "pending").inc()
