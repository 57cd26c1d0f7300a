"""Submitting a command: into Kafka, and back as an outcome."""

import asyncio
from collections.abc import Callable
from itertools import count

from aiohttp import web
from msgspec.structs import replace

from streams.messages.envelope import CommandMessage, Outcome, now
from streams.runtime.faults import fault
from streams.topics import Topic
from web.answers import Answer
from web.metrics import WAITS, count_command
from web.requests import Preference
from web.services import SERVICES, Services

from .earlier_tries import Tries, attempt_id, awaited, continues, earlier, number_of
from .idempotency import Executed, keyed

FIRST_PAUSE, LONGEST_PAUSE = 0.01, 0.1  # seconds between attempts while stock has not answered

Submitted = tuple[CommandMessage, Outcome | None]
# From a command id, a remembered id (a new order's) and the earlier tries of the request.
Making = Callable[[str, str, Tries], CommandMessage]
Responding = Callable[[CommandMessage, Outcome | None], Answer]


async def carry_out(
    request: web.Request,
    body: bytes,
    remembered: str | None,
    message: Making,
    respond: Responding,
    topic: Topic | None = None,
) -> Answer:
    """Send the command that `message` makes, once for each Idempotency-Key, and respond to its outcome.

    `remembered` is an id that a repeated request uses again; without one it is a new id. `topic` is the destination of
    commands that both kinds of aggregate take.
    """
    services = request.app[SERVICES]
    preference = Preference.of(request.headers, services.settings.command_timeout)

    async def execute(command_id: str, remembered_id: str, tries: Tries) -> Executed:
        made = message(command_id, remembered_id, tries)
        attempt, outcome = await submit(services, made, preference, topic, tries)
        if outcome is None:
            return Executed(respond(attempt, None), sent=attempt.id)
        return Executed(respond(attempt, outcome), again=outcome.retryable)

    return await keyed(request, body, remembered, execute)


async def submit(
    services: Services, message: CommandMessage, preference: Preference, topic: Topic | None, tries: Tries
) -> Submitted:
    """Return the attempt that was decided and its outcome; None if it did not come in time, or is not waited for.

    After ALLOCATION_PENDING the command is tried again, under ids derived from the first, until the wait is over;
    unless the client named the version it had seen. An attempt that already has an outcome, or is in Kafka, is not sent
    again.
    """
    deadline = asyncio.get_running_loop().time() + preference.seconds
    first = await _next(services, message, tries, deadline)
    if not isinstance(first, int):
        return first
    for number in count(first):
        attempt = _attempt(message, number)
        outcome = await _ask(services, attempt, deadline, preference.asynchronous, topic)
        count_command(attempt.type, outcome.code or "accepted" if outcome else "pending")
        if outcome is None or not continues(message, outcome):
            break
        pause = min(FIRST_PAUSE * 2 ** (number - first), LONGEST_PAUSE)
        if asyncio.get_running_loop().time() + pause >= deadline:
            break
        await asyncio.sleep(pause)
    return attempt, outcome


async def _next(services: Services, message: CommandMessage, tries: Tries, deadline: float) -> int | Submitted:
    """Return the number of the attempt to send next, or the result of earlier tries if nothing is to be sent."""
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
        services.imports.refuse_commands()
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
