"""A version of a projection built from offset zero as `fulfillment projections deploy` does it, indexes included.

    python -m bench.fresh NAME

prints {"events", "seconds", "cpu", "documents"}; `cpu`: seconds of this process and those it started. The database is
dropped afterwards.
"""

import asyncio
import json
import os
import sys
import time

from ops.kafka.records import last_records
from ops.versions.deploy import deploy
from ops.versions.work import newest, work
from streams.runtime.settings import Settings


async def build(name: str) -> dict[str, float]:
    """Build a new version of a projection and return the resources it took."""
    settings, newest_shape = Settings(), newest(name)
    events = sum(last_records(settings, newest_shape.topic.name).values())
    async with work(settings, name) as here:
        began, used = time.perf_counter(), cpu_seconds()
        built = await deploy(here, name, newest_shape.shape)
        taken = {"events": events, "seconds": time.perf_counter() - began, "cpu": cpu_seconds() - used}
        documents = await here.mongo.collection(built.collection(name)).count_documents({})
        await here.mongo.client.drop_database(here.mongo.database.name)
    return taken | {"documents": documents}


def cpu_seconds() -> float:
    """Return the CPU seconds of this process and of its children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


if __name__ == "__main__":
    print(json.dumps(asyncio.run(build(sys.argv[1]))))
