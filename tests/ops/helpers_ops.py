"""Helpers of the tests in this folder."""

import asyncio
import time
from collections.abc import Callable

from system import free_ports


async def until(condition: Callable[[], object], within: float = 60.0) -> None:
    """Return as soon as `condition` holds; fail if it does not within `within` seconds."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"not so after {within} s: {condition}"
        await asyncio.sleep(0.01)


def some_ports(count: int) -> list[int]:
    """Return free ports below the kernel's ephemeral range, so that no connection takes them in the meantime."""
    first = free_ports(count)
    return list(range(first, first + count))
