"""Replaces Faust's recovery after a rebalance, because the transport prepares partitions itself.

Faust's own recovery restores tables one event at a time through the stream consumer (10,000 entries/s) and starts again
with every rebalance. This one waits for the assignment, lets `FetchConsumer.perform_seek` restore in bulk without
delaying heartbeats, and opens the flow.
"""

from typing import Any

from aiokafka.errors import IllegalStateError
from faust.tables.manager import TableManager
from faust.tables.recovery import RebalanceAgain, Recovery, ServiceStopped
from mode import Service

__all__ = ["PreparedRecovery", "PreparedTables"]


class PreparedRecovery(Recovery):
    """Prepares the assigned partitions after every rebalance."""

    @Service.task
    async def _restart_recovery(self) -> None:
        while not self.should_stop:
            if await self.wait_for_stopped(self.signal_recovery_start):
                return
            self.signal_recovery_start.clear()
            try:
                if (
                    not self.app.consumer.assignment()
                ):  # Faust would prepare nothing, and a spare worker would look blocked
                    await self.app.consumer.perform_seek()
                await self._resume_streams(generation_id=self._generation_id)
            except (RebalanceAgain, IllegalStateError):
                continue  # the next assignment is on its way, and signals again
            except ServiceStopped:
                return

    async def _wait(self, coro: Any, timeout: Any = None) -> None:  # noqa: ASYNC109  # Faust's signature
        """Wait for `coro` however long it takes; after a time-out, Faust would continue as if it were done."""
        await super()._wait(coro)


class PreparedTables(TableManager):
    """Faust's table manager with our recovery, started at once."""

    _recovery: Recovery | None = None

    @property
    def recovery(self) -> Recovery:
        """The recovery service of this app."""
        if self._recovery is None:
            self._recovery = PreparedRecovery(self.app, self, beacon=self.beacon, loop=self.loop)
        return self._recovery

    async def on_start(self) -> None:
        """Start without the second that Faust waits for tables that are declared late; ours are not."""
        await self._update_channels()
        await self.recovery.start()
