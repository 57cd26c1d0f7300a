"""What an earlier try of a request came to, for who asks again under its Idempotency-Key after it got no answer.

The aggregate remembers its last `FULFILLMENT_RECENT_COMMANDS` only, and a busy product takes more of them than that
before the lease of a process that died is over. The read model of commands remembers all, for a week.
"""

import asyncio

from projections.commands import outcome_of
from streams.messages import CommandMessage, Outcome
from streams.partitions import partition_of
from streams.topics import COMMAND_OUTCOMES

from .errors import Problem
from .services import Services

PAUSE_SECONDS = 0.02  # between two looks how far the read model is


async def earlier(services: Services, message: CommandMessage) -> Outcome | None:
    """Return the outcome of an earlier try of `message`; None when it has none yet, or one that is no answer.

    ALLOCATION_PENDING is one, unless the client named a version: what was tried after it has an outcome of its own.
    A 503 when the read model is behind, so that nobody can tell.
    """
    await _caught_up(services, message.id)
    for document in await services.queries.find_many("commands", [message.id]):
        outcome = outcome_of(document)
        if not outcome.retryable or (outcome.code == "ALLOCATION_PENDING" and message.expected_version is None):
            return outcome
    return None


async def _caught_up(services: Services, command_id: str) -> None:
    """Wait until the read model has what this process has read of the partition with the command's outcome."""
    settings = services.settings
    partition = partition_of(command_id.encode(), settings.partitions)
    read = services.waiting.read.get(partition, 0)
    at = settings.named(COMMAND_OUTCOMES.name), partition
    try:
        async with asyncio.timeout(settings.consistency_timeout):
            while await services.queries.reached("commands", at) < read:  # noqa: ASYNC110  # of another process
                await asyncio.sleep(PAUSE_SECONDS)
    except TimeoutError:
        sentence = (
            "the read models are behind: whether this was done before cannot be told yet, so it is not done again"
        )
        raise Problem(503, "READ_MODEL_BEHIND", sentence, headers={"Retry-After": "5"}) from None
