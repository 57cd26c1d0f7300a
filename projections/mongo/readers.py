"""A registry of running projectors and APIs: every few seconds, each records the read models it knows and follows."""

import time
from collections.abc import Collection
from typing import Literal

from pymongo import ASCENDING, IndexModel

from projections.document import Document
from projections.mongo.client import Mongo
from projections.readers import KNOWN, Reader, Shape
from streams.messages.envelope import new_id
from streams.runtime.settings import Settings

READERS = "readers"
TELL_SECONDS = 3.0
GONE_SECONDS = 10.0  # a process that has been silent for longer is not running, by MongoDB's clock
FORGET_SECONDS = 3600


class Presence:
    """One process's entry; `tell` writes it at most every few seconds."""

    def __init__(
        self, mongo: Mongo, role: Literal["projector", "api"], settings: Settings, knows: Collection[Shape] = KNOWN
    ) -> None:
        self._documents, self._role, self._name = mongo.collection(READERS), role, f"{role}-{settings.instance}"
        # Only one projector can have an instance's name, so a new one replaces it at once. APIs may share a name.
        self._id = self._name if role == "projector" else f"{self._name}-{new_id()}"
        self._knows = [list(shape) for shape in sorted(knows)]
        self._told: frozenset[str] | None = None
        self._told_at = 0.0

    async def tell(self, follows: Collection[str]) -> None:
        """Record that the process runs and what it follows; raises `PyMongoError`."""
        if self._told == (now := frozenset(follows)) and time.monotonic() - self._told_at < TELL_SECONDS:
            return
        if self._told is None:
            await self._documents.create_indexes([IndexModel([("seen", ASCENDING)], expireAfterSeconds=FORGET_SECONDS)])
        facts = {"name": self._name, "role": self._role, "knows": self._knows, "follows": sorted(now)}
        await self._documents.update_one(
            {"_id": self._id}, {"$set": facts, "$currentDate": {"seen": True}}, upsert=True
        )
        self._told, self._told_at = now, time.monotonic()

    async def forget(self) -> None:
        """Record that the process ends; raises `PyMongoError`."""
        await self._documents.delete_one({"_id": self._id})


async def running_readers(mongo: Mongo) -> list[Reader]:
    """Return the processes that are running, by their entries; raises `PyMongoError`."""
    lately = {"$expr": {"$gt": ["$seen", {"$subtract": ["$$NOW", GONE_SECONDS * 1000]}]}}
    return [_reader(document) async for document in mongo.collection(READERS).find(lately).sort("_id")]


def _reader(document: Document) -> Reader:
    knows = frozenset((name, shape) for name, shape in document["knows"])
    follows = frozenset(document["follows"])
    return Reader(document["_id"], document["seen"], document["name"], document["role"], knows, follows)
