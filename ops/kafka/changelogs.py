"""Read the changelogs of the workers' tables."""

from collections.abc import Generator, Iterable
from typing import Any

from ops.errors import CommandFailed
from ops.kafka import records
from streams.kafka.unreadable import Unreadable
from streams.runtime.settings import Settings
from tables.restore import LostChangelog, restore
from tables.store import Codec, Entries


async def restored(
    settings: Settings, changelog: str, partitions: Iterable[int], codec: Codec[Any]
) -> dict[int, Entries[Any]]:
    """Return the entries of a table by partition, from its changelog, which is given by its full name."""
    try:
        return await restore(settings, changelog, partitions, codec)
    except LostChangelog as error:
        raise _lost(error) from error


def changes(
    settings: Settings, changelog: str, partition: int
) -> Generator[list[tuple[bytes, bytes | None]], None, None]:
    """Yield the keys and values in one partition of a changelog, some at a time, in order; None deletes an entry."""
    begin, end = records.watermarks(settings, changelog)[partition]
    for batch in records.read(settings, changelog, {partition: begin}, {partition: end}):
        for record in batch:
            if isinstance(record, Unreadable):
                raise _lost(f"{record.topic}/{partition}, {record}")
        yield [(record.key or b"", record.value) for record in batch]


def _lost(why: object) -> CommandFailed:
    remedy = "Stop the workers, and rebuild it with `fulfillment replay tables --rebuild`."
    return CommandFailed(f"A changelog cannot be read ({why}). {remedy}")
