"""Receiving a file: in memory, limited in size and number, with a digest of its content."""

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import NamedTuple

from aiohttp import web

from web.errors import Problem
from web.requests import body_errors, coding_of, require_type
from web.services import SERVICES

XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
# Browsers on Windows send CSV as Excel's type. None of the types can come from a form of another site.
TYPES = ("text/csv", XLSX, "application/vnd.ms-excel", "application/octet-stream")
AT_ONCE = 2  # files of one process
UPLOAD_SECONDS = 600.0
SLOTS = web.AppKey("import_slots", asyncio.Semaphore)


class Upload(NamedTuple):
    """A file that has arrived completely."""

    file: io.BytesIO
    digest: str  # SHA-256 of the content


@asynccontextmanager
async def upload(request: web.Request) -> AsyncIterator[Upload]:
    """Receive the file in the body, and hold one of the process's slots while a context lasts."""
    require_type(request, TYPES)
    if coding_of(request) != "identity":
        raise Problem("UNSUPPORTED_MEDIA_TYPE", "send the file without Content-Encoding")
    slots = request.app[SLOTS]
    if slots.locked():
        sentence = f"{AT_ONCE} files are being imported by this process: wait for a moment and send the file again"
        raise Problem("TOO_MANY_IMPORTS", sentence, headers={"Retry-After": "5"})
    async with slots:
        yield await _received(request)


async def _received(request: web.Request) -> Upload:
    settings, file, digest = request.app[SERVICES].settings, io.BytesIO(), sha256()
    with body_errors(settings.body_timeout):
        async with asyncio.timeout(UPLOAD_SECONDS):
            while not request.content.at_eof():
                async with asyncio.timeout(settings.body_timeout):
                    chunk = await request.content.readany()
                file.write(chunk)
                digest.update(chunk)
                if file.tell() > settings.import_bytes:
                    raise _too_large(settings.import_bytes)
    return Upload(file, digest.hexdigest())


def _too_large(most: int) -> Problem:
    sentence = f"the file is larger than {most} bytes: split it, or raise FULFILLMENT_IMPORT_BYTES"
    return Problem("BODY_TOO_LARGE", sentence, headers={"Connection": "close"})
