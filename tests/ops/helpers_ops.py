"""Shared by the tests of this folder."""

import asyncio
import time
from collections.abc import Callable

from system import free_ports


async def until(condition: Callable[[], object], within: float = 10.0) -> None:
    """Return as soon as `condition` holds; fail when it does not in time."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"not so after {within} s: {condition}"
        await asyncio.sleep(0.01)


def some_ports(count: int) -> list[int]:
    """Return free ports below the range the kernel hands out, so that no connection gets them in the meantime."""
    first = free_ports(count)
    return list(range(first, first + count))
