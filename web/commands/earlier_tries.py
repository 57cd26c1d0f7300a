"""The results of earlier tries of a request, for a repeat under its Idempotency-Key.

An aggregate remembers only its last `FULFILLMENT_RECENT_COMMANDS` commands, and a busy product decides more than that
before the lease of a dead process ends. The read model of commands remembers all of them for a week.
"""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import get_args

from msgspec.structs import replace

from parking.letter import LETTER_COMMANDS
from projections.commands import document_ids, outcome_of
from streams.messages.codec import aggregate_of
from streams.messages.envelope import Aggregate, CommandMessage, Outcome, derived_id
from streams.messages.expected import EXISTS
from streams.topics import COMMAND_OUTCOMES
from web.errors import Problem
from web.queries.consistency import until
from web.services import Services

AGGREGATES: tuple[Aggregate, ...] = get_args(Aggregate)
TOGETHER = 100  # attempts looked up at once: about ten seconds of retries
MOST_ATTEMPTS = 100_000  # hours of retries of one request
FIRST_PAUSE, LONGEST_PAUSE = 0.02, 0.25  # seconds between queries of the read model


def attempt_id(command_id: str, number: int) -> str:
    """Return the id of an attempt; attempt 0 has the command's own id."""
    return derived_id(command_id, "attempt", number) if number else command_id


@dataclass(frozen=True, slots=True)
class Tries:
    """The known facts about earlier tries of a request.

    `possible` says that there may have been one, in a process that died; `sent` is the id of an attempt that is
    certainly in Kafka.
    """

    possible: bool = False
    sent: str | None = None


FIRST_TRY = Tries()


def number_of(command_id: str, attempt: str) -> int | None:
    """Return the number of the attempt with the id `attempt`; None if the id belongs to another command."""
    return next((number for number in range(MOST_ATTEMPTS) if attempt_id(command_id, number) == attempt), None)


def continues(message: CommandMessage, outcome: Outcome) -> bool:
    """Return whether to try again: stock has not answered, and the client named no version."""
    return outcome.code == "ALLOCATION_PENDING" and message.expected_version in (None, EXISTS)


async def earlier(services: Services, message: CommandMessage, first: int = 0) -> tuple[int, Outcome | None]:
    """Return the attempt of `message` to continue with, from `first` on, and its outcome if it is final.

    Attempts that ended in ALLOCATION_PENDING are skipped, unless the client named a version; then there is only one
    attempt. Raise a 503 if the read model lags, because the answer is unknown then.
    """
    await _caught_up(services)
    number = first
    while True:
        ids = [attempt_id(message.id, each) for each in range(number, number + TOGETHER)]
        known = await _known(services, [replace(message, id=each) for each in ids])
        for outcome in map(known.get, ids):
            if outcome is None or not outcome.retryable:
                return number, outcome
            if not continues(message, outcome):
                return number, None
            number += 1


async def undecided(services: Services, messages: Sequence[CommandMessage]) -> list[CommandMessage]:
    """Return the `messages` that no earlier try of their request got decided; raise a 503 if the read model lags."""
    await _caught_up(services)
    known = await outcomes(services, messages)
    return [message for message, outcome in zip(messages, known, strict=True) if outcome is None]


async def outcomes(services: Services, messages: Sequence[CommandMessage]) -> list[Outcome | None]:
    """Return the outcome of each message, as far as the read model has them."""
    ids = [each for message in messages for each in document_ids(message, aggregate_of(message.command))]
    known: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in map(outcome_of, await services.queries.find_many("commands", ids)):
        known[outcome.command_id].append(outcome)
    return [next((one for one in known[each.id] if one.answers(each)), None) for each in messages]


async def awaited(services: Services, message: CommandMessage, deadline: float) -> Outcome | None:
    """Return the outcome of a command that is already in Kafka; None if it does not come before `deadline`.

    The command may have been decided before this process began to read outcomes, so the read model is asked too.
    """
    async with services.waiting.of(message) as future:
        pause = FIRST_PAUSE
        while True:
            if found := await _known(services, [message]):
                return found[message.id]
            left = deadline - asyncio.get_running_loop().time()
            await asyncio.wait([future], timeout=max(0.0, min(pause, left)))
            if future.done():
                return future.result()
            if left <= 0:
                return None
            pause = min(2 * pause, LONGEST_PAUSE)


async def _known(services: Services, attempts: Sequence[CommandMessage]) -> dict[str, Outcome]:
    """Return the outcomes of `attempts` by command id; of several outcomes the last one counts."""
    first = attempts[0]
    aggregates: tuple[Aggregate, ...] = AGGREGATES if first.type in LETTER_COMMANDS else (aggregate_of(first.command),)
    ids = [each for attempt in attempts for kind in aggregates for each in document_ids(attempt, kind)]
    found = map(outcome_of, await services.queries.find_many("commands", ids))
    ours = [one for one in found if one.aggregate in aggregates and one.aggregate_id == first.key]
    return {one.command_id: one for one in sorted(ours, key=lambda one: not one.retryable)}


async def _caught_up(services: Services) -> None:
    """Wait until the read model includes every outcome that this process has read."""
    topic = services.settings.named(COMMAND_OUTCOMES.name)
    try:
        async with asyncio.timeout(services.settings.consistency_timeout):
            for partition, read in list(services.waiting.read.items()):
                await until(read, partial(services.queries.reached, "commands", (topic, partition)))
    except TimeoutError:
        sentence = "the read models lag, so it is unknown whether the first request was carried out; retry later"
        raise Problem("READ_MODEL_BEHIND", sentence, headers={"Retry-After": "5"}) from None
