"""Answers that many ask for and that cost something: computed once for all, and kept as long as they were dear."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")
SHARE = 20  # an answer is kept this many times as long as it took: at most a twentieth of the time goes into it


class Aged(Generic[T]):
    """An answer that may be some seconds old; who asks while it is being computed waits for that one."""

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
