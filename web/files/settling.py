"""Waiting until everything that was sent before has been decided, and its outcomes can be looked up.

A command that is sent again while its first copy waits in Kafka could be decided twice: an aggregate remembers only its
last commands, and others may be in between.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence

from streams.kafka.ends import ends_of
from streams.kafka.groups import Groups, Place
from streams.kafka.open_transactions import connected
from streams.kafka.partitions import partition_of
from streams.topics import COMMAND_OUTCOMES, INVENTORY_COMMANDS
from streams.topology import group_of
from web.errors import unavailable
from web.services import Services

PATIENCE_SECONDS = 60.0
PAUSE_SECONDS = 0.2  # between two checks

Positions = Callable[[], Awaitable[Sequence[Place]]]


async def until_decided(services: Services, product_ids: Iterable[str]) -> None:
    """Return once the read model of commands has the outcomes of all commands that products have in Kafka now."""
    settings, groups = services.settings, Groups(services.settings)
    numbers = sorted({partition_of(each.encode(), settings.partitions) for each in product_ids})
    commands, outcomes = settings.named(INVENTORY_COMMANDS.name), settings.named(COMMAND_OUTCOMES.name)
    sent = [Place(group_of("inventory", settings), commands, number) for number in numbers]

    async def projected() -> list[Place]:
        group, reached = group_of("projector", settings), services.queries.reached
        partitions = range(settings.partitions)
        found = await asyncio.gather(*(reached("commands", (outcomes, number)) for number in partitions))
        return [Place(group, outcomes, number, offset) for number, offset in zip(partitions, found, strict=True)]

    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await _until_passed(services, groups, lambda: groups.committed(sent))
            await _until_passed(services, groups, projected)
    except TimeoutError:
        sentence = (
            "commands of an earlier try are still being handled, so it is unknown what is left to do; retry later"
        )
        raise unavailable("READ_MODEL_BEHIND", sentence) from None


async def _until_passed(services: Services, groups: Groups, positions: Positions) -> None:
    """Return once the messages that partitions have now are handled."""
    places = await positions()
    async with connected(services.settings, {place.topic for place in places}) as client:
        ends = await ends_of(client, {(place.topic, place.partition) for place in places})
    while True:
        behind = [place for place in places if (place.position or 0) < ends[place.topic, place.partition].high]
        if not behind or not await groups.left(behind):  # markers of transactions are not messages
            return
        await asyncio.sleep(PAUSE_SECONDS)
        places = await positions()
