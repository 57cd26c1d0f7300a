"""Exporting orders to a file through the HTTP API, a page at a time."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from ops.errors import Misconfigured, file_error
from ops.http import HttpApi, http_api
from ops.progress import ShowProgress, silent
from streams.runtime.settings import Settings
from web.files.order_tables import ParquetNotInstalled, Table, rows_of, table_of

PAGE = 500
Filters = Mapping[str, Sequence[str]]


async def export(
    settings: Settings, filters: Filters, kind: str, file: IO[bytes], progress: ShowProgress = silent
) -> int:
    """Write all orders of a list to `file`; return their number."""
    table, count = _table(kind), 0
    async with http_api(settings, connections=1) as api:
        headers = await api.head("/exports/orders", format=kind, **filters)
        with progress("orders", int(headers.get("Order-Count", 0))) as advance:
            file.write(table.begin())
            async for orders in _pages(api, filters):
                file.write(await asyncio.to_thread(lambda found: table.add(rows_of(found)), orders))
                advance(len(orders))
                count += len(orders)
            file.write(table.end())
    return count


async def _pages(api: HttpApi, filters: Filters) -> AsyncIterator[Any]:
    cursor: dict[str, str] = {}
    while True:
        page = await api.get("/orders", **filters, **cursor, sort="createdAt", limit=PAGE)
        yield page.data
        if page.next_cursor is None:
            return
        cursor = {"cursor": page.next_cursor}


def _table(kind: str) -> Table:
    try:
        return table_of(kind)
    except ParquetNotInstalled:
        raise Misconfigured(
            "Parquet needs the extra `parquet`: run `pip install 'order-fulfillment[parquet]'`, or export CSV."
        ) from None


@contextmanager
def complete_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that replaces `path` once it is complete; until then, it is next to `path`."""
    beside = path.with_name(f"{path.name}.part")
    try:
        with beside.open("wb") as file:
            yield file
        os.replace(beside, path)
    except OSError as error:
        raise file_error(error, path) from None
    finally:
        beside.unlink(missing_ok=True)
