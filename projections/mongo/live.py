"""The live versions as a reading process knows them, refreshed several times per second."""

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
from streams.runtime.tasks import cancel

log = logging.getLogger(__name__)
LOOK_SECONDS = 0.25  # a promoted version is read everywhere within twice this time
RETIRED_AFTER_SECONDS = 5.0  # this long after a switch, no process reads the previous version any more


class LiveVersions:
    """Keeps queries reading the live versions."""

    def __init__(self, registry: Registry, queries: Queries, presence: Presence | None = None) -> None:
        self.registry, self._queries, self._presence = registry, queries, presence
        self._read: dict[str, int | None] | None = None
        self.versions: dict[str, Versions] = {}  # as of the last refresh
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start refreshing."""
        self._task = asyncio.create_task(self._look())

    async def stop(self) -> None:
        """Stop refreshing."""
        if self._task is not None:
            await cancel(self._task)
        if self._presence is not None:
            with suppress(PyMongoError):
                await self._presence.forget()

    async def refresh(self) -> None:
        """Look up the live versions and read them from now on."""
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
            except PyMongoError as error:  # meanwhile, the versions that were live are read
                if not away:
                    log.warning("%s; reading the live versions again until it answers", describe(error))
                away = True
            await asyncio.sleep(LOOK_SECONDS)


def projections_of(known: dict[str, Versions]) -> list[Projection]:
    """Return the live projections, except those whose shape this code does not know."""
    return [projection for versions in known.values() if (projection := versions.live_projection) is not None]
