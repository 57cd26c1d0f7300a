"""The database and the registry for work on versions, with refusals turned into command failures."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from pymongo.errors import PyMongoError

from ops.errors import CommandFailed, Misconfigured, mongo_error
from ops.kafka import records
from ops.progress import ShowProgress, silent
from projections.mongo.client import Mongo
from projections.mongo.leases import Leased, lease
from projections.mongo.registry import Registry
from projections.projection import Projection
from projections.table import PROJECTIONS
from projections.versions import Denied
from streams.runtime.settings import Settings
from streams.topics import topic_ids


@dataclass(frozen=True)
class Work:
    """An installation whose versions are worked on, and a display for the progress."""

    settings: Settings
    mongo: Mongo
    registry: Registry
    progress: ShowProgress = silent

    async def topic_ids(self) -> dict[str, str]:
        """Return the ids of the topics by full name."""
        with records.kafka(self.settings):
            return await topic_ids(self.settings)


@asynccontextmanager
async def work(settings: Settings, name: str | None = None, progress: ShowProgress = silent) -> AsyncIterator[Work]:
    """Work on versions; with `name`, hold the lease of that projection, which other commands then wait for."""
    mongo = Mongo(settings)
    try:
        registry = Registry(mongo)
        await registry.bootstrap()
        if name is None:
            yield Work(settings, mongo, registry, progress)
        else:
            newest(name)
            async with lease(mongo, f"projections/{name}"):
                yield Work(settings, mongo, registry, progress)
    except Leased as held:
        raise CommandFailed(f"Another command is working on {name}: {held}.") from held
    except Denied as error:
        raise CommandFailed(str(error)) from error
    except PyMongoError as error:
        raise mongo_error(settings.mongo, error) from error
    finally:
        await mongo.close()


def newest(name: str) -> Projection:
    """Return a projection in its newest shape; `Misconfigured` if it does not exist."""
    for one in PROJECTIONS:
        if one.name == name:
            return one
    raise Misconfigured(f"There is no projection {name!r}: choose from {', '.join(one.name for one in PROJECTIONS)}.")
