"""Build a version beside the live one, in bulk; the projector then keeps it up to date."""

import asyncio
import time
from collections.abc import Mapping

from ops.errors import CommandFailed, Unavailable
from ops.replay.bulk import CannotBuild, build, left_to_build
from ops.versions.work import Work
from projections.mongo.indexes import create_collections, create_indexes
from projections.mongo.progress import offsets_of
from projections.projection import Projection
from projections.versions import Denied, Version, Versions, begun, in_state
from streams.messages.envelope import now

FEW = 1_000  # offsets that the projector catches up with almost immediately
ROUNDS = 20  # after these, even a topic that grows as fast as it is read is left to the projector
CAUGHT_UP_SECONDS = 60.0


async def deploy(work: Work, name: str, shape: int) -> Projection:
    """Build a version of `name`, or resume an interrupted build; return it once the projector follows it.

    The caller has checked that the running processes know the shape (`ops/versions/readers.py`).
    """
    version = await _begin(work, name, shape)
    projection = (await work.registry.get(name)).projection(version.number)
    assert projection is not None, "the chosen shape exists"
    try:
        await _build(work, projection)
    except CannotBuild as error:
        reason = str(error)
        await work.registry.change(name, lambda versions: in_state(versions, version.number, "stopped", reason))
        raise
    await work.registry.change(name, lambda versions: in_state(versions, version.number, "following"))
    return projection


async def _begin(work: Work, name: str, shape: int) -> Version:
    began: list[Version] = []

    def begin(versions: Versions) -> Versions:
        after, version = begun(versions, shape, now())
        began.append(version)
        return after

    await work.registry.change(name, begin)
    return began[-1]


async def _build(work: Work, projection: Projection) -> None:
    """Build to the end of the topic, then the indexes, which is cheaper than before, then the events since."""
    topic_ids = await work.topic_ids()
    if work.settings.named(projection.topic.name) not in topic_ids:
        raise Unavailable(f"Topic {projection.topic.name} is missing: run `fulfillment topics create`.")
    await create_collections(work.mongo, [projection])
    await _catch_up(work, projection, topic_ids)
    await create_indexes(work.mongo, [projection])
    await _catch_up(work, projection, topic_ids)


async def _catch_up(work: Work, projection: Projection, topic_ids: Mapping[str, str]) -> None:
    for _ in range(ROUNDS):
        starts, ends = await left_to_build(work.settings, work.mongo, projection)
        total = sum(ends.values()) - sum(starts.values())
        if not total:
            return
        with work.progress(projection.id, total) as advance:
            await build(work.settings, projection, topic_ids, starts, ends, advance)
        if total < FEW:
            return


async def caught_up(work: Work, ahead: Projection | None, projection: Projection) -> bool:
    """Return whether a version has reached the offsets that another one had a moment ago."""
    wanted = await offsets_of(work.mongo, ahead) if ahead is not None else {}
    reached = await offsets_of(work.mongo, projection)
    return all(reached.get(at, 0) >= offset for at, offset in wanted.items())


async def wait_until_caught_up(
    work: Work, ahead: Projection | None, projection: Projection, seconds: float = CAUGHT_UP_SECONDS
) -> None:
    """Wait until a version has caught up with `ahead`; fail if that takes too long, or the version has stopped."""
    until = time.monotonic() + seconds
    while not await caught_up(work, ahead, projection):
        version = (await work.registry.get(projection.name)).get(projection.version)
        if version is None or version.state != "following":
            state = "retired" if version is None else f"{version.state}: {version.reason}"
            raise CommandFailed(f"{projection.id} is not kept up to date: {state}.")
        if time.monotonic() > until:
            raise Denied(
                f"{projection.id} lags behind the live version. Check that a projector runs whose code knows it, and "
                "try again when it has caught up."
            )
        await asyncio.sleep(0.1)
