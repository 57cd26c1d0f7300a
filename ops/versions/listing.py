"""The versions of the projections, with their lag."""

import asyncio
from typing import Any

from ops.kafka import records
from ops.versions.work import work
from projections.mongo.overview import overview
from projections.table import PROJECTIONS
from streams.runtime.settings import Settings


async def listing(settings: Settings) -> list[dict[str, Any]]:
    """Return the answer of `GET /projections` with the `lag`: offsets up to the last record that are not projected."""
    async with work(settings) as here:
        topics = {one.name: one.topic.name for one in PROJECTIONS}
        lasts = {topic: await asyncio.to_thread(_lasts, settings, topic) for topic in sorted(set(topics.values()))}
        known, reached = await overview(here.registry), await here.registry.progress()
        for one in known:
            topic = topics.get(one["name"], "")
            for version in one["versions"]:
                offsets = reached.get((one["name"], version["version"]), {})
                ends = lasts.get(topic, {})
                behind = (max(end - offsets.get((settings.named(topic), n), 0), 0) for n, end in ends.items())
                version["lag"] = sum(behind)
    names = {one["name"] for one in known}
    missing: list[dict[str, Any]] = [
        {"name": name, "live": None, "previous": None, "versions": []} for name in topics if name not in names
    ]
    return [*known, *missing]


def _lasts(settings: Settings, topic: str) -> dict[int, int]:
    with records.kafka(settings):
        return records.last_records(settings, topic)
