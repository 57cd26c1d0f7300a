"""What an earlier try of a request came to, for who asks again under its Idempotency-Key after it got no answer.

The aggregate remembers its last `FULFILLMENT_RECENT_COMMANDS` only, and a busy product takes more of them than that
before the lease of a process that died is over. The read model of commands remembers all, for a week.
"""

import asyncio
from functools import partial

from projections.commands import outcome_of
from streams.messages import CommandMessage, Outcome, derived_id
from streams.topics import COMMAND_OUTCOMES

from .consistency import until
from .errors import Problem
from .services import Services

TOGETHER = 100  # attempts looked up at once: some ten seconds of a client's waiting


def attempt_id(command_id: str, number: int) -> str:
    """Return the id of a command's attempt; the first, 0, is the command's own."""
    return derived_id(command_id, "attempt", number) if number else command_id


async def earlier(services: Services, message: CommandMessage) -> tuple[int, Outcome | None]:
    """Return the attempt of `message` to go on with, and its outcome when it has one that is an answer.

    Attempts that came to ALLOCATION_PENDING are over, unless the client named a version: then there is only one.
    A 503 when the read model is behind, so that nobody can tell.
    """
    await _caught_up(services)
    number = 0
    while True:
        ids = [attempt_id(message.id, each) for each in range(number, number + TOGETHER)]
        known = {each["id"]: outcome_of(each) for each in await services.queries.find_many("commands", ids)}
        for outcome in map(known.get, ids):
            if outcome is None or not outcome.retryable:
                return number, outcome
            if outcome.code != "ALLOCATION_PENDING" or message.expected_version is not None:
                return number, None
            number += 1


async def _caught_up(services: Services) -> None:
    """Wait until the read model has the outcomes that this process has read."""
    topic = services.settings.named(COMMAND_OUTCOMES.name)
    try:
        async with asyncio.timeout(services.settings.consistency_timeout):
            for partition, read in list(services.waiting.read.items()):
                await until(read, partial(services.queries.reached, "commands", (topic, partition)))
    except TimeoutError:
        sentence = (
            "the read models are behind: whether this was done before cannot be told yet, so it is not done again"
        )
        raise Problem(503, "READ_MODEL_BEHIND", sentence, headers={"Retry-After": "5"}) from None
