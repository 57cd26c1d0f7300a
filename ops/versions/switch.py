"""Promote a version, roll back to the previous one, and retire versions that are no longer needed."""

import asyncio
import re
import time
from datetime import datetime

from ops.versions.deploy import wait_until_caught_up
from ops.versions.readers import refuse_unfollowed
from ops.versions.work import Work
from projections.mongo.live import RETIRED_AFTER_SECONDS
from projections.mongo.progress import forget_progress
from projections.projection import Projection
from projections.table import OLDER_SHAPES, PROJECTIONS
from projections.versions import Denied, Versions, promotable, promoted, retired, rolled_back
from streams.messages.envelope import now

LAG_SECONDS = 10.0  # time for a version to catch up before it becomes live
PROJECTORS_SECONDS = 2.0  # after this, no projector writes to a retired version


async def promote(work: Work, name: str, force: bool = False) -> Versions:
    """Make the candidate live if it is verified and has caught up; with `force`, without these checks."""
    versions = await work.registry.get(name)
    candidate = promotable(versions, force)
    projection = _known(versions, candidate.number)
    if not force:
        await refuse_unfollowed(work, projection)
        await wait_until_caught_up(work, versions.live_projection, projection, LAG_SECONDS)
    return await work.registry.change(
        name, lambda found: promoted(found, promotable(found, force).number, now()), versions.revision
    )


async def roll_back(work: Work, name: str, force: bool = False) -> Versions:
    """Make the previous version live again; it was kept up to date."""
    versions = await work.registry.get(name)
    before = rolled_back(versions, now())
    assert before.live is not None
    if not force:
        projection = _known(versions, before.live)
        await refuse_unfollowed(work, projection)
        await wait_until_caught_up(work, versions.live_projection, projection, LAG_SECONDS)
    return await work.registry.change(name, lambda found: rolled_back(found, now()), versions.revision)


async def retire(work: Work, name: str, number: int | None = None) -> list[int]:
    """Retire a version, or all that are not live, and drop their collections; return their numbers."""
    versions = await work.registry.get(name)
    numbers = [number] if number is not None else [v.number for v in versions.versions if v.number != versions.live]
    await _wait_for_readers(versions)
    for each in numbers:
        await work.registry.change(name, lambda found, each=each: retired(found, each))  # type: ignore[misc]
    if numbers:
        await asyncio.sleep(PROJECTORS_SECONDS)
    await _sweep(work, name)
    return numbers


async def _wait_for_readers(versions: Versions) -> None:
    if versions.switched_at is not None:
        since = time.time() - datetime.fromisoformat(versions.switched_at).timestamp()
        await asyncio.sleep(max(0.0, RETIRED_AFTER_SECONDS - since))


async def _sweep(work: Work, name: str) -> None:
    """Drop the collections of all retired versions, even if their retirement was interrupted."""
    versions = await work.registry.get(name)
    collections = {each for one in (*PROJECTIONS, *OLDER_SHAPES) if one.name == name for each in one.collections}
    for found in await work.mongo.database.list_collection_names():
        match = re.fullmatch(r"(?P<name>.+)_v(?P<number>\d+)", found)
        if match and match["name"] in collections:
            number = int(match["number"])
            if number <= versions.newest and versions.get(number) is None:
                await work.mongo.database.drop_collection(found)
    for of, number in await work.registry.progress():
        if of == name and number <= versions.newest and versions.get(number) is None:
            await forget_progress(work.mongo, name, number)


def _known(versions: Versions, number: int) -> Projection:
    if (projection := versions.projection(number)) is None:
        raise Denied(
            f"{versions.name} v{number} has a shape that this release does not know: use the release that built it."
        )
    return projection
