"""A read model made again: whole, beside the live one, which is then switched; or a few aggregates of it, in place."""

from ops.errors import Misconfigured
from ops.replay.aggregates import replay_aggregates
from ops.versions.deploy import deploy, wait_until_caught_up
from ops.versions.readers import refuse_unaware
from ops.versions.work import newest, work
from projections.mongo.registry import live_version
from projections.versions import Versions, promoted
from streams.messages.envelope import now
from streams.runtime.settings import Settings


async def replay_whole(settings: Settings, name: str) -> str:
    """Build the live version's shape again, from offset zero, and switch to it once it has caught up."""
    async with work(settings, name) as here:
        versions = await here.registry.get(name)
        live = versions.get(versions.live)
        shape = live.shape if live else newest(name).shape
        await refuse_unaware(here, name, shape)
        built = await deploy(here, name, shape)
        await wait_until_caught_up(here, versions.live_projection, built)

        def switched(found: Versions) -> Versions:
            return promoted(found, built.version, now())

        after = await here.registry.change(name, switched)
        kept = f"; v{after.previous} is kept up to date until `fulfillment projections retire {name}`"
        return f"{name}: v{after.live} is live" + (kept if after.previous else "")


async def replay_some(settings: Settings, name: str, identifier: str | None, since: str | None) -> str:
    """Write the documents of an aggregate anew, or of all that had events since a time; in place."""
    if newest(name).sums:
        raise Misconfigured(f"A document of {name} is of many orders: replay it whole.")
    if not newest(name).models:
        raise Misconfigured(f"{name} has no aggregates: replay it whole.")
    async with work(settings, name) as here:
        projection = await live_version(here.mongo, newest(name))
        keys = None if identifier is None else {identifier.encode()}
        written = await replay_aggregates(here, projection, keys, since)
        await here.registry.touch(name)
        what = identifier or f"{written.aggregates:,} aggregates"
        return f"{projection.id}: {what}, {written.events:,} events; {written.changed:,} documents were written anew"
