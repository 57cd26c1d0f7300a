"""The progress of deliveries in MongoDB: one document per subscription, and a log of deliveries for a week.

The document also says which process delivers. Its lease is renewed with every write, and every write is guarded by it,
so a process that was paused for a long time cannot overwrite the progress of its successor. Losing the collection means
that events since the subscription's beginning are delivered again.
"""

import os
import platform
from collections.abc import Collection as Ids
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import psutil
from pymongo import ASCENDING, DESCENDING, IndexModel, ReplaceOne, ReturnDocument
from pymongo.errors import DuplicateKeyError

from projections.document import Document
from projections.mongo.client import Mongo
from streams.messages.envelope import new_id

PROGRESS, DELIVERIES = "webhook_progress", "webhook_deliveries"
LEASE_SECONDS = 15.0
KEPT = timedelta(days=7)
_UNTIL: Document = {"$add": ["$$NOW", int(LEASE_SECONDS * 1000)]}  # by MongoDB's clock


class Progress:
    """The progress of all subscriptions, as one process sees it."""

    def __init__(self, mongo: Mongo) -> None:
        self._documents, self._deliveries = mongo.durable(PROGRESS), mongo.collection(DELIVERIES)
        self.owner = new_id()

    async def prepare(self) -> None:
        """Create the indexes."""
        newest = [("subscription", ASCENDING), ("lastAttempt", DESCENDING), ("_id", DESCENDING)]
        await self._deliveries.create_indexes(
            [IndexModel(newest), IndexModel([("expires", ASCENDING)], expireAfterSeconds=0)]
        )

    async def free(self, identifiers: Ids[str]) -> list[str]:
        """Return those subscriptions that no process delivers."""
        held = {"_id": {"$in": list(identifiers)}, "$expr": {"$gt": ["$until", "$$NOW"]}}
        taken = {each["_id"] async for each in self._documents.find(held) if not _is_dead(each)}
        return [each for each in identifiers if each not in taken]

    async def acquire(self, identifier: str) -> Document | None:
        """Take a subscription and return its progress; None if another process has it."""
        with suppress(DuplicateKeyError):  # it exists already
            await self._documents.insert_one(
                {"_id": identifier, "owner": None, "until": datetime.fromtimestamp(0, UTC)}
            )
        found = await self._documents.find_one({"_id": identifier})
        dead = [{"owner": found["owner"]}] if found is not None and _is_dead(found) else []
        expired: Document = {"$expr": {"$lte": ["$until", "$$NOW"]}}
        mine = {"owner": self.owner, "host": platform.node(), "pid": os.getpid()}
        return await self._documents.find_one_and_update(
            {"_id": identifier, "$or": [{"owner": self.owner}, expired, *dead]},
            [{"$set": {**mine, "until": _UNTIL}}],
            return_document=ReturnDocument.AFTER,
        )

    async def store(self, identifier: str, fields: Document) -> bool:
        """Store the progress and renew the lease; return False if another process has the subscription."""
        literal = {name: {"$literal": value} for name, value in fields.items()}
        done = await self._documents.update_one(
            {"_id": identifier, "owner": self.owner}, [{"$set": {**literal, "until": _UNTIL}}]
        )
        return done.matched_count == 1

    async def release(self, identifier: str) -> None:
        """Give up the lease, so that another process can take the subscription."""
        await self._documents.update_one({"_id": identifier, "owner": self.owner}, [{"$set": {"until": "$$NOW"}}])

    async def log(self, deliveries: Iterable[Document]) -> None:
        """Record deliveries; a later record of the same event replaces the earlier one."""
        expires = datetime.now(UTC) + KEPT
        writes = [ReplaceOne({"_id": each["_id"]}, {**each, "expires": expires}, upsert=True) for each in deliveries]
        if writes:
            await self._deliveries.bulk_write(writes, ordered=False)

    # --- for clients

    async def show(self, identifier: str) -> Document | None:
        """Return the progress of a subscription; None before its first delivery."""
        return await self._documents.find_one({"_id": identifier})

    async def newest(
        self, identifier: str, most: int, status: str | None = None, before: tuple[str, str] | None = None
    ) -> list[Document]:
        """Return deliveries, the newest attempt first; `before`: after this attempt and id in that order."""
        query: Document = {"subscription": identifier}
        if status is not None:
            query["status"] = status
        if before is not None:
            time, last = before
            query["$or"] = [{"lastAttempt": {"$lt": time}}, {"lastAttempt": time, "_id": {"$lt": last}}]
        found = self._deliveries.find(query, {"expires": 0}).sort([("lastAttempt", -1), ("_id", -1)])
        return await found.to_list(most)

    async def forget(self, identifier: str) -> None:
        """Delete the progress and the log of a subscription."""
        await self._documents.delete_one({"_id": identifier})
        await self._deliveries.delete_many({"subscription": identifier})


def _is_dead(document: Any) -> bool:
    """Return whether the process that had a subscription ran on this machine, and has ended."""
    return bool(document.get("host") == platform.node() and not psutil.pid_exists(document["pid"]))
