"""Leases: a process that does exclusive work records it here for as long as it runs.

Leased                         who has it
"""

import asyncio
import os
import platform
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import psutil
from pymongo.errors import DuplicateKeyError, PyMongoError

from projections.document import Document
from projections.mongo.client import Collection, Mongo
from streams.messages.envelope import new_id
from streams.runtime.tasks import cancel

LEASES = "leases"
LEASE_SECONDS = 30.0


class Leased(Exception):
    """Another process holds the lease; `holder` names it."""

    def __init__(self, holder: Document) -> None:
        super().__init__(
            f"process {holder['pid']} on {holder['host']} has been doing this since {holder['since']:%H:%M:%S}: "
            f"wait for it or stop it. If it crashed, retry in {LEASE_SECONDS:.0f} s"
        )


@asynccontextmanager
async def lease(mongo: Mongo, name: str) -> AsyncIterator[None]:
    """Hold `name` while a context lasts; raise `Leased` if another process does. Leases of dead processes expire."""
    owner, leases = new_id(), mongo.durable(LEASES)
    await _acquire(leases, name, owner)
    renewing = asyncio.create_task(_renew(leases, name, owner))
    try:
        yield
    finally:
        await cancel(renewing)
        await leases.delete_one({"_id": name, "owner": owner})


async def _acquire(leases: Collection, name: str, owner: str) -> None:
    mine = {"owner": owner, "host": platform.node(), "pid": os.getpid(), "since": _now(), "until": _until()}
    found = await leases.find_one({"_id": name})
    held = found is not None and found["until"] > _now() and not _dead(found)
    if found is not None and held:
        raise Leased(found)
    free = {"_id": name, "owner": found["owner"] if found else None}
    try:
        await leases.replace_one(free, {"_id": name, **mine}, upsert=True)
    except DuplicateKeyError:  # another process was faster
        return await _acquire(leases, name, owner)


async def _renew(leases: Collection, name: str, owner: str) -> None:
    while True:
        await asyncio.sleep(LEASE_SECONDS / 6)
        try:
            await leases.update_one({"_id": name, "owner": owner}, {"$set": {"until": _until()}})
        except PyMongoError:
            continue  # the lease outlasts this interval


def _dead(holder: Document) -> bool:
    return bool(holder["host"] == platform.node() and not psutil.pid_exists(holder["pid"]))


def _now() -> datetime:
    return datetime.now(UTC)


def _until() -> datetime:
    return _now() + timedelta(seconds=LEASE_SECONDS)
