"""What the commands about versions share: the database, the registry, and what is refused as a sentence."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from pymongo.errors import PyMongoError

from ops.errors import CommandFailed, Misconfigured, mongo_error
from ops.kafka import records
from projections.mongo.client import Mongo
from projections.mongo.leases import Leased, lease
from projections.mongo.registry import Registry
from projections.projection import Projection
from projections.table import PROJECTIONS
from projections.versions import Denied
from streams.runtime.settings import Settings
from streams.topics import describe_topics


@dataclass(frozen=True)
class Work:
    """An installation whose versions are worked on."""

    settings: Settings
    mongo: Mongo
    registry: Registry

    async def topic_ids(self) -> dict[str, str]:
        """Return full name → id of the topics there are."""
        with records.kafka(self.settings):
            return {topic.name: topic.id for topic in await describe_topics(self.settings)}


@asynccontextmanager
async def work(settings: Settings, name: str | None = None) -> AsyncIterator[Work]:
    """Work on versions; with `name`, alone on that projection's."""
    mongo = Mongo(settings)
    try:
        registry = Registry(mongo)
        await registry.bootstrap()
        if name is None:
            yield Work(settings, mongo, registry)
        else:
            newest(name)
            async with lease(mongo, f"projections/{name}"):
                yield Work(settings, mongo, registry)
    except Leased as held:
        raise CommandFailed(f"{name} is being worked on: {held}.") from held
    except Denied as error:
        raise CommandFailed(str(error)) from error
    except PyMongoError as error:
        raise mongo_error(settings.mongo, error) from error
    finally:
        await mongo.close()


def newest(name: str) -> Projection:
    """Return a projection in its newest shape."""
    for one in PROJECTIONS:
        if one.name == name:
            return one
    raise Misconfigured(f"There is no projection {name!r}: choose from {', '.join(one.name for one in PROJECTIONS)}.")
