"""Checks over HTTP, as any client can, that orders are allocated and shown by every read model."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any
from urllib.parse import quote

import aiohttp
import orjson

from bench.client import Connection
from bench.stacks import Install, Spent, Used

WAITING = "&".join(f"allocationStatus={each}" for each in ("PENDING", "BACKORDERED", "PARTIALLY_ALLOCATED"))
PAGE = 500
PATIENCE_SECONDS = 600
POLL_SECONDS = 0.1


async def wait_visible(install: Install, count: int, since: str, spent: Spent) -> Used:
    """Wait until `count` orders placed at `since` or later are allocated and the projector has no lag.

    Return the resources used until then. The orders are counted page by page afterwards, so that counting is not
    included.
    """
    end = time.monotonic() + PATIENCE_SECONDS
    ports = [port for name, port in install.ports.items() if name.startswith("projector")]
    async with aiohttp.ClientSession() as session:
        while True:
            if not await _lag(session, ports):
                async with Connection(install.base) as api:  # only now: the api closes a connection that is idle
                    if not await _waiting(api, since):
                        used = spent.used()
                        found = await _count(api, f"/orders?from={quote(since)}&allocationStatus=ALLOCATED")
                        if found == count:
                            return used
                        assert found < count, f"{found:,} orders are visible, {count:,} were accepted"
            assert time.monotonic() < end, f"not all {count:,} orders are visible after {PATIENCE_SECONDS} s"
            await asyncio.sleep(POLL_SECONDS)


async def check_stock(install: Install, products: Sequence[str], run: str, lines: int) -> None:
    """Check that the read models of stock show a reservation for each of the `lines` of a run's orders."""
    ours = f"{run}-"
    async with Connection(install.base) as api:
        for kind, wanted in (("reservations", {"held": 1}), ("ledger", {"type": "StockReserved"})):
            found = 0
            for product in products:
                async for item in _items(api, f"/inventory/{product}/{kind}?"):
                    found += (item.get("orderId") or "").startswith(ours) and wanted.items() <= item.items()
            assert found == lines, f"{kind}: {found:,} of {lines:,}"


async def check_outcomes(install: Install, command_ids: Sequence[str]) -> None:
    """Check that each command was accepted."""
    async with Connection(install.base) as api:
        for command_id in command_ids:
            answer = await api.ask("GET", f"/commands/{command_id}")
            assert answer.status == 200, answer.body
            assert answer.json()["data"]["status"] == "accepted", answer.body


async def order_ids(install: Install, most: int) -> list[str]:
    """Return the ids of up to `most` orders."""
    found = list[str]()
    async with Connection(install.base) as api:
        async for item in _items(api, "/orders?"):
            found.append(item["id"])
            if len(found) == most:
                break
    return found


async def _waiting(api: Connection, since: str) -> bool:
    """Return whether any visible order still waits for stock."""
    return bool((await _page(api, f"/orders?from={quote(since)}&{WAITING}&limit=1"))["data"])


async def _count(api: Connection, path: str) -> int:
    return sum([1 async for _ in _items(api, path)])


async def _items(api: Connection, path: str) -> AsyncIterator[dict[str, Any]]:
    """Yield the items of all pages of a list."""
    cursor: str | None = ""
    while cursor is not None:
        page = await _page(api, f"{path}&limit={PAGE}" + (f"&cursor={quote(cursor)}" if cursor else ""))
        for item in page["data"]:
            yield item
        cursor = page["nextCursor"]


async def _page(api: Connection, path: str) -> dict[str, Any]:
    answer = await api.ask("GET", path)
    assert answer.status == 200, answer.body
    return dict(orjson.loads(answer.body))


async def _lag(session: aiohttp.ClientSession, ports: Sequence[int]) -> int:
    lags = 0
    for port in ports:
        async with session.get(f"http://127.0.0.1:{port}/lag") as answer:
            lags += sum((await answer.json())["lag"].values())
    return lags
