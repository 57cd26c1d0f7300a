"""Whether the processes that run know a read model, before it is built or becomes live."""

import asyncio
import time
from collections.abc import Callable, Sequence

from ops.versions.work import Work
from projections.mongo.readers import GONE_SECONDS, TELL_SECONDS, running_readers
from projections.projection import Projection
from projections.readers import Reader, absent, idle, unaware
from projections.versions import Denied

SHORTEST_SECONDS = TELL_SECONDS + 1.0  # in which every process that lives has said again what it follows
LONGEST_SECONDS = GONE_SECONDS + 2.0
LOOK_SECONDS = 0.25


async def refuse_unaware(work: Work, name: str, shape: int) -> None:
    """Refuse while a projector or an API runs whose code does not know this shape."""
    await _until(work, lambda readers: unaware(readers, (name, shape)))


async def refuse_unfollowed(work: Work, projection: Projection) -> None:
    """Refuse while running code does not know a version, or no projector keeps it up to date."""
    shape = projection.name, projection.shape
    await _until(work, lambda readers: unaware(readers, shape) or idle(readers, projection.id))


async def refuse_unattended(work: Work, name: str, shape: int) -> None:
    """Refuse while running code does not know a shape, or no projector runs that would keep a version up to date."""
    await _until(work, lambda readers: unaware(readers, (name, shape)) or absent(readers, name))


async def _until(work: Work, trouble: Callable[[Sequence[Reader]], str | None]) -> None:
    """Return once there is no trouble; `Denied` once the processes that cause it are known to live."""
    began, before = time.monotonic(), await running_readers(work.mongo)
    readers = before
    while (found := trouble(readers)) is not None:
        waited = time.monotonic() - began
        unsure = any(one in before for one in readers)  # has said nothing since: perhaps it was killed
        if waited > LONGEST_SECONDS or (waited > SHORTEST_SECONDS and not unsure):
            raise Denied(found)
        await asyncio.sleep(LOOK_SECONDS)
        readers = await running_readers(work.mongo)
