"""The database: one client per process, and its collections. No other module names a class of a driver.

UnusableUri                    FULFILLMENT_MONGO is not a URI of MongoDB, or names a file that cannot be read
"""

from collections.abc import Sequence
from inspect import isawaitable
from typing import Any, TypeAlias, cast
from urllib.parse import parse_qsl, urlsplit

from bson.codec_options import CodecOptions
from pymongo import AsyncMongoClient, ReadPreference, WriteConcern
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import ConfigurationError

from projections.document import Document
from streams.runtime.settings import Settings
from streams.tracing import traces

Collection: TypeAlias = AsyncCollection[Document]
SERVER_SELECTION_MS = 2_000  # Report a missing server after this time; the projector waits and tries again.
# A replica set elects a new primary within this time, by default; operations wait for it instead of failing.
ELECTION_MS = 12_000
# A member of a replica set that does not answer for the sum of both is given up, with the operations that wait for it.
HEARTBEAT_MS, CONNECT_MS = 1_000, 3_000
SOCKET_MS = 30_000  # a silently cut connection must not hang a projector forever

# A projector continues only after its progress is written, and everything it wrote before must then survive a crash;
# otherwise it would skip records. In a replica set, the majority that acknowledges each write keeps (and journals) it.
# A standalone mongod writes one journal in order: journaling the progress, the last write of a batch, journals all
# writes before it. Waiting for the disk once per batch is therefore enough.
REPLICATED = WriteConcern(w="majority")
DURABLE = WriteConcern(w="majority", j=True)


def _listeners() -> list[Any]:
    if traces.ON is None:
        return []
    from projections.mongo.traces import Listener

    return [Listener()]


def _patience(uri: str) -> dict[str, Any]:
    """Return the time limits of a client, which are longer if another server can take over; those in the URI apply."""
    limits = {"serverSelectionTimeoutMS": SERVER_SELECTION_MS, "socketTimeoutMS": SOCKET_MS}
    if "," in uri or "replicaSet=" in uri or uri.startswith("mongodb+srv:"):
        limits |= {
            "serverSelectionTimeoutMS": ELECTION_MS,
            "heartbeatFrequencyMS": HEARTBEAT_MS,
            "connectTimeoutMS": CONNECT_MS,
            "timeoutMS": SOCKET_MS,  # with it, an operation is repeated through several elections, not only once
        }
    given = {name.lower() for name, _ in parse_qsl(urlsplit(uri).query)}
    return {name: milliseconds for name, milliseconds in limits.items() if name.lower() not in given}


def _client(settings: Settings) -> AsyncMongoClient[Document]:
    """Return a client of the driver that is set. Motor's is used alike, except for the two functions below."""
    options: dict[str, Any] = {
        "tz_aware": True,
        "uuidRepresentation": "standard",
        **_patience(settings.mongo),
        "appname": "fulfillment",
        "event_listeners": _listeners(),
    }
    if settings.mongo_driver == "motor":
        from motor.motor_asyncio import AsyncIOMotorClient  # an optional package, the extra `motor`

        return cast(AsyncMongoClient[Document], AsyncIOMotorClient(settings.mongo, **options))
    return AsyncMongoClient(settings.mongo, **options)


async def aggregate(collection: Collection, stages: Sequence[Document]) -> Any:
    """Return the cursor of an aggregation, which PyMongo starts at once and Motor as soon as it is read."""
    cursor = collection.aggregate(stages)
    return await cursor if isawaitable(cursor) else cursor


class UnusableUri(ValueError):
    """FULFILLMENT_MONGO is not a URI of MongoDB, or names a file that cannot be read."""


class Mongo:
    """The installation's database; `close` it after use. Raises `UnusableUri`."""

    def __init__(self, settings: Settings) -> None:
        try:
            self.client = _client(settings)
        except (ConfigurationError, ValueError, OSError) as error:  # none of them quotes the password
            raise UnusableUri(f"FULFILLMENT_MONGO cannot be used: {error}") from None
        self.database: AsyncDatabase[Document] = self.client.get_database(
            settings.named(settings.database).replace(".", "_"),  # a prefix may contain dots, a database name may not
            # MongoDB shortens long ids in its error messages, possibly in the middle of a multi-byte character.
            codec_options=CodecOptions(tz_aware=True, unicode_decode_error_handler="replace"),
            write_concern=REPLICATED,
        )

    def collection(self, name: str) -> Collection:
        """Return a collection whose writes survive any failure that its replica set survives."""
        return self.database[name]

    def durable(self, name: str) -> Collection:
        """Return a collection whose acknowledged writes, and all writes before them, are on disk."""
        return self.database[name].with_options(write_concern=DURABLE)

    @property
    def errors(self) -> list[Exception]:
        """Why servers could not be reached when the driver last tried; empty if all could."""
        servers = self.client.topology_description.server_descriptions().values()
        return [each.error for each in servers if each.error is not None]

    async def ping(self) -> None:
        """Return once the database answers; raise `PyMongoError` if it does not.

        While a replica set elects its primary, another member answers.
        """
        await self.database.command("ping", read_preference=ReadPreference.PRIMARY_PREFERRED)

    async def close(self) -> None:
        """Close all connections; Motor's client does so without a task."""
        if isawaitable(closing := self.client.close()):
            await closing
