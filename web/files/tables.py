"""The table in a file that was uploaded, whatever its format."""

import asyncio
import io
import json
import sys
from collections.abc import Iterator
from typing import IO

from .cells import Cell
from .reading import Row, Rows, Unreadable, csv_rows, not_empty

ZIP, OLE = b"PK", b"\xd0\xcf\x11\xe0"
PATIENCE_SECONDS = 180.0  # for the process that reads a workbook


async def table_in(file: io.BytesIO, sheet: str | None) -> Rows:
    """Return a reader of the table in a file; raise `Unreadable`. `sheet` names one of several sheets of a workbook."""
    start = file.getvalue()[:4]
    if start.startswith(OLE):
        raise Unreadable("this is an old or encrypted workbook: save it as XLSX without a password, or as CSV")
    if not start.startswith(ZIP):
        if sheet is not None:
            raise Unreadable("CSV has no sheets: leave out `sheet`")
        return lambda: not_empty(csv_rows(file))
    rows = io.BytesIO(await _converted(file, sheet))
    return lambda: _rows(rows)


async def _converted(file: io.BytesIO, sheet: str | None) -> bytes:
    """Return the rows of a workbook, as its process writes them."""
    command = [sys.executable, "-m", "web.files.workbook", *([sheet] if sheet else [])]
    pipe, nothing = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=nothing)
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            rows, _ = await process.communicate(file.getvalue())
    except TimeoutError:
        rows = b""
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise Unreadable("the workbook needs too much memory or time to be read: split it, or save it as CSV")
    return rows


def _rows(file: IO[bytes]) -> Iterator[Row]:
    file.seek(0)
    for line in file:
        found = json.loads(line)  # orjson refuses infinity and long numbers, which are bad cells only
        if isinstance(found, dict):
            raise Unreadable(*found["unreadable"])
        number, cells = found
        yield Row(number, [Cell(*each) for each in cells])
