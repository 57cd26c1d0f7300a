"""The time that an audit waits for projections, which all partitions share."""

import asyncio
import time
from dataclasses import dataclass
from typing import Protocol

PAUSE_SECONDS = 0.2


class Seconds(Protocol):
    """A number that several processes may share."""

    value: float


@dataclass
class Patience:
    """The total time that is left."""

    left: Seconds

    async def pause(self) -> bool:
        """Wait a moment; return False if the time is used up."""
        if self.left.value <= 0:
            return False
        began = time.monotonic()
        await asyncio.sleep(PAUSE_SECONDS)
        self.left.value -= time.monotonic() - began
        return True
