"""The changelogs of the workers' tables, read for an operator."""

from collections.abc import Iterable
from typing import Any

from ops.errors import CommandFailed
from streams.runtime.settings import Settings
from tables.restore import LostChangelog, restore
from tables.store import Codec, Entries


async def restored(
    settings: Settings, changelog: str, partitions: Iterable[int], codec: Codec[Any]
) -> dict[int, Entries[Any]]:
    """Return a table's entries by partition, as its changelog (its full name) has them."""
    try:
        return await restore(settings, changelog, partitions, codec)
    except LostChangelog as error:
        remedy = "stop the workers and rebuild it with `fulfillment replay tables --rebuild`"
        raise CommandFailed(f"A changelog cannot be read ({error}): {remedy}.") from error
