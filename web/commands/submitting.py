"""A command's way: into Kafka, and back as an outcome."""

import asyncio
from itertools import count

from msgspec.structs import replace

from streams.messages.envelope import CommandMessage, Outcome, now
from streams.runtime.faults import fault
from streams.topics import Topic
from web.metrics import WAITS, count_command
from web.requests import Preference
from web.services import Services

from .earlier_tries import FIRST_TRY, Tries, attempt_id, awaited, continues, earlier, number_of

FIRST_PAUSE, LONGEST_PAUSE = 0.01, 0.1  # seconds, between two attempts while stock has not answered

Submitted = tuple[CommandMessage, Outcome | None]


async def submit(
    services: Services,
    message: CommandMessage,
    preference: Preference,
    topic: Topic | None = None,
    tries: Tries = FIRST_TRY,
) -> Submitted:
    """Return the attempt that was decided, and its outcome; None when nobody waits, or it did not come in time.

    ALLOCATION_PENDING is no answer yet: it is tried again, under ids derived from the first, until the wait is over,
    unless the client named the version it had seen. `topic`: where to, for commands that both kinds of aggregate take.
    `tries`: what is known of earlier ones. What has an outcome is not sent again, and neither is what is in Kafka.
    """
    deadline = asyncio.get_running_loop().time() + preference.seconds
    first = await _next(services, message, tries, deadline)
    if not isinstance(first, int):
        return first
    for number in count(first):
        attempt = _attempt(message, number)
        outcome = await _ask(services, attempt, deadline, preference.asynchronous, topic)
        _count(attempt, outcome)
        if outcome is None or not continues(message, outcome):
            break
        pause = min(FIRST_PAUSE * 2 ** (number - first), LONGEST_PAUSE)
        if asyncio.get_running_loop().time() + pause >= deadline:
            break
        await asyncio.sleep(pause)
    return attempt, outcome


async def _next(services: Services, message: CommandMessage, tries: Tries, deadline: float) -> int | Submitted:
    """Return the number of the attempt to send next, or what earlier tries led to when nothing is to be sent."""
    first = 0
    if tries.sent is not None and (sent := number_of(message.id, tries.sent)) is not None:
        attempt = _attempt(message, sent)
        outcome = await awaited(services, attempt, deadline)
        if outcome is None:
            services.accepted.add(attempt.id)
        if outcome is None or not continues(message, outcome):
            return attempt, outcome
        first = sent + 1
    if not tries.possible:
        return first
    number, known = await earlier(services, message, first)
    return number if known is None else (_attempt(message, number), known)


def _attempt(message: CommandMessage, number: int) -> CommandMessage:
    return replace(message, id=attempt_id(message.id, number), time=now()) if number else message


async def _ask(
    services: Services, message: CommandMessage, deadline: float, asynchronous: bool, topic: Topic | None
) -> Outcome | None:
    async with services.waiting.of(message) as future:
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
    count_command(message.type, outcome.code or "accepted" if outcome else "pending")
