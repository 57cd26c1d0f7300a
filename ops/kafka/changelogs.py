"""Read the changelogs of the workers' tables."""

from collections.abc import Iterable
from typing import Any

from ops.errors import CommandFailed
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
        remedy = "Stop the workers, and rebuild it with `fulfillment replay tables --rebuild`."
        raise CommandFailed(f"A changelog cannot be read ({error}). {remedy}") from error
