"""Which versions are live, as a process that reads them knows it: looked up again several times a second."""

import asyncio
import logging
from contextlib import suppress

from pymongo.errors import PyMongoError

from projections.metrics import LIVE
from projections.mongo.failures import describe
from projections.mongo.queries import Queries
from projections.mongo.readers import Presence
from projections.mongo.registry import Registry
from projections.projection import Projection
from projections.versions import Versions

log = logging.getLogger(__name__)
LOOK_SECONDS = 0.25  # a promoted version is read everywhere within twice that
RETIRED_AFTER_SECONDS = 5.0  # so long after a switch nobody reads the version before it


class LiveVersions:
    """Keeps queries reading the live versions."""

    def __init__(self, registry: Registry, queries: Queries, presence: Presence | None = None) -> None:
        self.registry, self._queries, self._presence = registry, queries, presence
        self._read: dict[str, int | None] | None = None
        self.versions: dict[str, Versions] = {}  # as they were last looked up
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look."""
        self._task = asyncio.create_task(self._look())

    async def stop(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._presence is not None:
            with suppress(PyMongoError):
                await self._presence.forget()

    async def refresh(self) -> None:
        """Look which versions are live, and read those."""
        if not self.versions:
            await self.registry.bootstrap()
        self.versions = await self.registry.read()
        live = {name: versions.live for name, versions in self.versions.items()}
        if live != self._read:
            self._queries.read_from(projections_of(self.versions))
            self._read = live
            for name, number in live.items():
                LIVE.labels(name).set(number or 0)
            log.info("reading %s", ", ".join(f"{name} v{number}" for name, number in live.items() if number))
        if self._presence is not None:
            await self._presence.tell([one.id for one in projections_of(self.versions)])

    async def _look(self) -> None:
        away = False
        while True:
            try:
                await self.refresh()
                away = False
            except PyMongoError as error:  # what was live then is read meanwhile
                if not away:
                    log.warning("%s; reading the live versions again until it answers", describe(error))
                away = True
            await asyncio.sleep(LOOK_SECONDS)


def projections_of(known: dict[str, Versions]) -> list[Projection]:
    """Return the live projections, but for those whose shape this code does not know."""
    return [projection for versions in known.values() if (projection := versions.live_projection) is not None]
