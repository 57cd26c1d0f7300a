"""Answers that are expensive and often requested: computed once for all requests, and reused for a while."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")
SHARE = 20  # reuse an answer for this many times its duration, so that computing it takes at most 5 % of the time


class Aged(Generic[T]):
    """An answer that may be some seconds old; requests that come while it is computed wait for the same one."""

    def __init__(self, ask: Callable[[], Awaitable[T]], seconds: float) -> None:
        self._ask, self._seconds = ask, seconds
        self._until = float("-inf")
        self._answer: T | None = None
        self._asking = asyncio.Lock()

    async def get(self) -> T:
        """Return the answer."""
        async with self._asking:
            if self._answer is None or time.monotonic() > self._until:
                began = time.monotonic()
                self._answer = await self._ask()
                ended = time.monotonic()
                self._until = ended + max(self._seconds, SHARE * (ended - began))
            return self._answer
