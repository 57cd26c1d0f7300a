"""The database: one client a process, and which of its collections is which."""

from typing import Any, TypeAlias

from bson.codec_options import CodecOptions
from pymongo import AsyncMongoClient, WriteConcern
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase

from projections.document import Document
from streams.runtime.settings import Settings
from streams.tracing import traces

Collection: TypeAlias = AsyncCollection[Document]
SERVER_SELECTION_MS = 2_000  # without a server for so long, say so: the projector waits and tries again
SOCKET_MS = 30_000  # a connection that was silently cut must not hang a projector for ever

# A projector goes on only after its progress was written, and what it wrote before must then survive a crash: otherwise
# it would go on behind a hole. In a replica set the majority that every write waits for keeps it (and journals it). A
# standalone mongod keeps one journal in order, so that journaling the progress, the last write of a batch, journals
# all before it; waiting for the disk once a batch is enough.
REPLICATED = WriteConcern(w="majority")
DURABLE = WriteConcern(w="majority", j=True)


def _listeners() -> list[Any]:
    if traces.ON is None:
        return []
    from projections.mongo.traces import Listener

    return [Listener()]


class Mongo:
    """The installation's database; `close` it when done."""

    def __init__(self, settings: Settings) -> None:
        self.client: AsyncMongoClient[Document] = AsyncMongoClient(
            settings.mongo,
            tz_aware=True,
            uuidRepresentation="standard",
            serverSelectionTimeoutMS=SERVER_SELECTION_MS,
            socketTimeoutMS=SOCKET_MS,
            appname="fulfillment",
            event_listeners=_listeners(),
        )
        self.database: AsyncDatabase[Document] = self.client.get_database(
            settings.named(settings.database).replace(".", "_"),  # a prefix may have dots, a database's name may not
            # MongoDB shortens long ids in its error messages, in the middle of a letter of several bytes.
            codec_options=CodecOptions(tz_aware=True, unicode_decode_error_handler="replace"),
            write_concern=REPLICATED,
        )

    def collection(self, name: str) -> Collection:
        """Return a collection whose writes survive what its replica set survives."""
        return self.database[name]

    def durable(self, name: str) -> Collection:
        """Return a collection whose writes, and all before them, are on disk when they are acknowledged."""
        return self.database[name].with_options(write_concern=DURABLE)

    async def ping(self) -> None:
        """Return once the database answers; `PyMongoError` when it does not."""
        await self.database.command("ping")

    async def close(self) -> None:
        """Close all connections."""
        await self.client.close()
