"""Answers of any length: written as they are made, no faster than the client reads."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from aiohttp import web

from web.errors import problem_of
from web.requests import CORRELATION

log = logging.getLogger(__name__)
WRITE_SECONDS = 60.0  # after this time without reading, a client counts as disconnected


class Streamed:
    """The body of an answer, which begins with the first write."""

    def __init__(self, request: web.Request, headers: Mapping[str, str]) -> None:
        sent = request.get(CORRELATION)
        known = {"Correlation-Id": sent} if sent else {}
        # Without the last one, a proxy would keep the whole answer until it is complete.
        self.response = web.StreamResponse(headers={**headers, **known, "X-Accel-Buffering": "no"})
        self._request = request

    async def write(self, chunk: bytes) -> None:
        """Send a chunk; return once the client has room for more."""
        async with asyncio.timeout(WRITE_SECONDS):
            if not self.response.prepared:
                await self.response.prepare(self._request)
            if chunk:
                await self.response.write(chunk)


@asynccontextmanager
async def streamed(request: web.Request, headers: Mapping[str, str]) -> AsyncIterator[Streamed]:
    """Open an answer to write to; if it fails half-way, cut the connection, so that clients see that it is incomplete.

    An error before the first write is answered like any other.
    """
    stream = Streamed(request, headers)
    try:
        yield stream
    except (TimeoutError, ConnectionError) as error:
        if not stream.response.prepared:
            raise
        log.info("%s %s: the client has disconnected: %r", request.method, request.path, error)
        _cut(request)
    except Exception as error:
        if not stream.response.prepared:
            raise
        known = problem_of(error) is not None
        log.log(
            logging.WARNING if known else logging.ERROR,
            "%s %s ends half-way: %r", request.method, request.path, error, exc_info=None if known else error,
        )  # fmt: skip
        _cut(request)


def _cut(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()
