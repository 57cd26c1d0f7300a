"""Check that the running processes know a version, before it is built or becomes live."""

import asyncio
import time
from collections.abc import Callable, Sequence

from ops.versions.work import Work
from projections.mongo.readers import GONE_SECONDS, TELL_SECONDS, running_readers
from projections.projection import Projection
from projections.readers import Reader, absent, idle, unaware
from projections.versions import Denied

SHORTEST_SECONDS = TELL_SECONDS + 1.0  # every running process reports the versions it follows within this time
LONGEST_SECONDS = GONE_SECONDS + 2.0
LOOK_SECONDS = 0.25


async def refuse_unaware(work: Work, name: str, shape: int) -> None:
    """Raise `Denied` if a projector or an API runs whose code does not know this shape."""
    await _until(work, lambda readers: unaware(readers, (name, shape)))


async def refuse_unfollowed(work: Work, projection: Projection) -> None:
    """Raise `Denied` if a running process does not know a version, or no projector keeps it up to date."""
    shape = projection.name, projection.shape
    await _until(work, lambda readers: unaware(readers, shape) or idle(readers, projection.id))


async def refuse_unattended(work: Work, name: str, shape: int) -> None:
    """Raise `Denied` if a running process does not know a shape, or no projector runs to keep a version up to date."""
    await _until(work, lambda readers: unaware(readers, (name, shape)) or absent(readers, name))


async def _until(work: Work, trouble: Callable[[Sequence[Reader]], str | None]) -> None:
    """Return when there is no trouble; `Denied` once the processes that cause it have reported that they still run."""
    began, before = time.monotonic(), await running_readers(work.mongo)
    readers = before
    while (found := trouble(readers)) is not None:
        waited = time.monotonic() - began
        unsure = any(one in before for one in readers)  # it has not reported since: it may have been killed
        if waited > LONGEST_SECONDS or (waited > SHORTEST_SECONDS and not unsure):
            raise Denied(found)
        await asyncio.sleep(LOOK_SECONDS)
        readers = await running_readers(work.mongo)
