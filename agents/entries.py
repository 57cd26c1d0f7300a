"""The entries of a table over HTTP, for audits: one partition at one moment."""

import asyncio
from collections.abc import Mapping
from itertools import islice
from typing import Any

from aiohttp import web

from streams.runtime.app import RoleApp
from tables.rows import Closed
from tables.store import Entries

CHUNK = 500  # entries written before other tasks run


def entries_page(app: RoleApp) -> None:
    """Serve `/entries?partition=N`: one line per entry, `{"key":…,"value":…}`.

    For a partition that this worker does not own, answer 404 and the partitions it owns.
    """

    @app.page("/entries")
    async def entries(self: Any, request: Any) -> Any:
        owned, asked = _owned(app), request.query.get("partition", "")
        if not (asked.isascii() and asked.isdecimal()) or len(asked) > 9 or int(asked) not in owned:
            return self.json({"partitions": sorted(owned)}, status=404)
        return await _stream(request, owned[int(asked)])


def _owned(app: RoleApp) -> Mapping[int, Entries[Any]]:
    """Return the partitions whose entries are current: none while they are being assigned or restored."""
    table = next(iter(app.tables.values()), None)
    return table.data.partitions if table is not None and app.consumer.prepared else {}


async def _stream(request: Any, entries: Entries[Any]) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
    await response.prepare(request)
    left = entries.rows.items()
    try:
        while chunk := list(islice(left, CHUNK)):
            await response.write(b"".join(b'{"key":"%b","value":%b}\n' % entry for entry in chunk))
            await asyncio.sleep(0)
    except Closed:
        request.transport.close()  # without the end of the answer, so that the client knows
        return response
    await response.write_eof()
    return response
