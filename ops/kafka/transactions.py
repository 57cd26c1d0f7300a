"""Open transactions of any producer that block topics of this installation, and how to abort them."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from ops.errors import CommandFailed, Misconfigured, Unavailable
from streams.kafka.open_transactions import NotEnded, connected, end_transaction, open_transactions
from streams.kafka.transaction_watch import all_partitions
from streams.runtime.settings import Settings
from streams.topics import topics_of

PLACE = re.compile(r"(?P<topic>[A-Za-z0-9._-]+)/(?P<partition>[0-9]{1,9})")
ASK_SECONDS = 20.0


class NothingOpen(CommandFailed):
    """There is no transaction to abort."""


async def find(settings: Settings, topic: str | None = None, partition: int | None = None) -> list[Any]:
    """Return the transactions that have blocked a partition, or any, for longer than `settings.open_transaction`."""
    asked = [(topic, partition)] if topic is not None and partition is not None else all_partitions(settings)
    async with _kafka(settings) as client:
        return await open_transactions(client, asked, settings.open_transaction)


async def abort(settings: Settings, place: str, producer: int | None) -> list[str]:
    """Abort the transactions that block the partition `place`; return a sentence for each."""
    topic, partition = _partition(settings, place)
    found = await find(settings, topic, partition)
    chosen = [one for one in found if producer in (None, one.producer_id)]
    if not chosen:
        others = f" of producer id {producer}" if producer is not None and found else ""
        raise NothingOpen(
            f"No transaction{others} has blocked {topic}/{partition} for longer than {settings.open_transaction:g} s."
        )
    done = []
    async with _kafka(settings) as client:
        for one in chosen:
            who = f"{one.transactional_id!r} (producer id {one.producer_id})"
            try:
                await end_transaction(client, settings, one)
            except NotEnded as error:
                raise Unavailable(f"Kafka did not abort the transaction of {who}: {error}.") from error
            done.append(f"aborted the transaction of {who} at {topic}/{partition}, offset {one.offset}")
    return done


def _partition(settings: Settings, place: str) -> tuple[str, int]:
    if (found := PLACE.fullmatch(place)) is None:
        raise Misconfigured(f"{place!r} is not TOPIC/PARTITION: write it as in order-commands/3.")
    names = [settings.named(topic.name) for topic in topics_of(settings)]
    name, number = found["topic"], int(found["partition"])
    topic = name if name in names else settings.named(name)
    if topic not in names:
        raise Misconfigured(f"There is no topic {name!r}: choose from {', '.join(names)}.")
    if number >= settings.partitions:
        raise Misconfigured(f"There is no partition {number}: {topic} has partitions 0 to {settings.partitions - 1}.")
    return topic, number


@asynccontextmanager
async def _kafka(settings: Settings) -> AsyncIterator[Any]:
    from aiokafka.errors import KafkaError

    try:
        async with asyncio.timeout(2 * ASK_SECONDS), connected(settings) as client:
            yield client
    except (KafkaError, OSError, TimeoutError) as error:
        raise Unavailable(
            f"Kafka at {settings.kafka} does not report its open transactions ({error!r}). Start it with "
            "`fulfillment up`, or set FULFILLMENT_KAFKA to a running server."
        ) from error
