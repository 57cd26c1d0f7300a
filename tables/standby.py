"""Standby copies: a worker keeps the tables of partitions that it does not own close to their changelogs.

When it is assigned such a partition, it reads only the last records, as after a restart.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Mapping

from streams.runtime.settings import Settings
from streams.runtime.tasks import cancel

from .restore import catch_up
from .rows import MemoryRows, Rows

log = logging.getLogger(__name__)

FOLLOW_SECONDS = 5.0  # between two rounds
Opened = Callable[[], Awaitable[Mapping[int, Rows]]]


class Standby:
    """Follows partitions of a changelog (its full name). It must be stopped before they are restored.

    `up_to_date` is called after each round with the time at which it began, in seconds since 1970.
    """

    def __init__(
        self, settings: Settings, changelog: str, up_to_date: Callable[[float], object] = lambda began: None
    ) -> None:
        self._settings, self._changelog, self._up_to_date = settings, changelog, up_to_date
        self._following: asyncio.Task[None] | None = None

    def follow(self, rows: Opened) -> None:
        """Keep the rows that `rows` opens up to date from now on, except those in memory."""
        self._following = asyncio.create_task(self._follow(rows))

    async def stop(self) -> None:
        """Change no rows any more."""
        if self._following is not None:
            await cancel(self._following)

    async def _follow(self, opened: Opened) -> None:
        """Follow until it is cancelled; after an error, open the rows again."""
        while True:
            try:
                await self._catch_up(opened)
                return
            except Exception:
                log.exception("the standby copies of %s are not up to date, trying again", self._changelog)
            await asyncio.sleep(FOLLOW_SECONDS)

    async def _catch_up(self, opened: Opened) -> None:
        """Follow the changelog; return when no partition is left that can be followed."""
        rows = {partition: each for partition, each in (await opened()).items() if not isinstance(each, MemoryRows)}
        unreadable: Collection[int] = ()
        while left := {partition: each for partition, each in rows.items() if partition not in unreadable}:
            lost: dict[int, str] = {}
            began = time.time()
            await catch_up(self._settings, self._changelog, left, lost)
            for reason in lost.values():
                log.error("there is no standby copy of %s", reason)
            unreadable = {*unreadable, *lost}
            self._up_to_date(began)
            await asyncio.sleep(FOLLOW_SECONDS)
