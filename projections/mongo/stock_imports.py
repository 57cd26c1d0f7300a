"""Records the progress of imports of stock files, so that a repeat changes nothing, even much later.

    {_id: "9b1f…/200", began: "2026-11-23T10:00:00.000Z", rejected: [[203, "INVALID_ID", "…"]]}

A file is carried out in windows of lines. The document of a window is written before its commands are sent, and gets
`rejected` once the outcome of every line is known: line, code and message of the rejected ones.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

from projections.mongo.client import Mongo
from projections.mongo.leases import lease
from streams.messages.envelope import now

STOCK_IMPORTS = "stock_imports"
Rejected = tuple[int, str, str]  # line, code, message


class Window(NamedTuple):
    """A window of lines: since when it may have been sent, and the result once it is known."""

    id: str
    is_new: bool
    began: str
    rejected: Sequence[Rejected] | None


class StockImports:
    """The progress of imports."""

    def __init__(self, mongo: Mongo) -> None:
        self._mongo, self._windows = mongo, mongo.durable(STOCK_IMPORTS)

    @asynccontextmanager
    async def alone(self, import_id: str) -> AsyncIterator[None]:
        """Exclude others from an import while a context lasts; raise `Leased` if another process has it."""
        async with lease(self._mongo, f"stock-import/{import_id}"):
            yield

    async def begin(self, import_id: str, first: int) -> Window:
        """Return the window of the lines from the `first`-th on, and record that it may be sent from now on."""
        identifier, began = f"{import_id}/{first}", now()
        done = await self._windows.update_one({"_id": identifier}, {"$setOnInsert": {"began": began}}, upsert=True)
        if done.upserted_id is not None:
            return Window(identifier, True, began, None)
        found = await self._windows.find_one({"_id": identifier}) or {}
        rejected = found.get("rejected")
        known = None if rejected is None else [(line, code, message) for line, code, message in rejected]
        return Window(identifier, False, found.get("began", began), known)

    async def settle(self, window: Window, rejected: Sequence[Rejected]) -> None:
        """Record that the outcome of every line of a window is known."""
        await self._windows.update_one({"_id": window.id}, {"$set": {"rejected": [list(each) for each in rejected]}})
