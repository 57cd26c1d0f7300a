"""Helpers of the tests in this folder."""

import asyncio
import time
from collections.abc import Callable

from system import PATIENCE_SECONDS, free_ports


async def until(condition: Callable[[], object]) -> None:
    """Return as soon as `condition` holds; fail when it does not in time."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"not so after {PATIENCE_SECONDS:.0f} s: {condition}"
        await asyncio.sleep(0.01)


def some_ports(count: int) -> list[int]:
    """Return free ports below the kernel's ephemeral range, so that no connection takes them in the meantime."""
    first = free_ports(count)
    return list(range(first, first + count))
