"""Shared by the tests of this folder."""

import asyncio
import random
import time
from collections.abc import Callable

from ops import ports


async def until(condition: Callable[[], object], within: float = 10.0) -> None:
    """Return as soon as `condition` holds; fail when it does not in time."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"not so after {within} s: {condition}"
        await asyncio.sleep(0.01)


def some_ports(count: int) -> list[int]:
    """Return free ports below the range the kernel hands out, so that nobody gets them in the meantime."""
    found = [ports.next_free(random.randrange(20_000, 31_000))]
    while len(found) < count:
        found.append(ports.next_free(found[-1]))
    return found
