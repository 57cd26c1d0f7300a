"""Rebuild a read model: as a whole, beside the live version, or for some aggregates, in place."""

from ops.errors import Misconfigured
from ops.progress import ShowProgress, silent
from ops.replay.aggregates import replay_aggregates
from ops.versions.deploy import deploy, wait_until_caught_up
from ops.versions.readers import refuse_unaware
from ops.versions.work import newest, work
from projections.mongo.registry import live_version
from projections.versions import Versions, promoted
from streams.messages.envelope import now
from streams.runtime.settings import Settings
from streams.wording import counted


async def replay_whole(settings: Settings, name: str, progress: ShowProgress = silent) -> str:
    """Build a version with the shape of the live one from offset zero, and switch to it once it has caught up."""
    async with work(settings, name, progress) as here:
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


async def replay_some(
    settings: Settings, name: str, identifier: str | None, since: str | None, progress: ShowProgress = silent
) -> str:
    """Rewrite the documents of one aggregate, or of all aggregates with events since a time, in place."""
    if newest(name).sums:
        raise Misconfigured(f"Documents of {name} are about several orders: replay it without --id and --since.")
    if not newest(name).models:
        raise Misconfigured(f"{name} has no documents per aggregate: replay it without --id and --since.")
    async with work(settings, name, progress) as here:
        projection = await live_version(here.mongo, newest(name))
        keys = None if identifier is None else {identifier.encode()}
        written = await replay_aggregates(here, projection, keys, since)
        await here.registry.touch(name)
        what = identifier or counted(written.aggregates, "aggregate")
        return f"{projection.id}: {what}, {written}"
