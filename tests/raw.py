"""HTTP as raw bytes, for requests that no client library would send."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

SECONDS = 180.0


async def raw(address: str, sent: bytes, *, end: bool = False) -> tuple[int, Mapping[str, str], Any]:
    """Send bytes, and their end if asked, to the server at `address`; return status, headers and JSON of the answer."""
    base = urlsplit(address)
    return parsed(await exchange(base.hostname or "", base.port or 80, sent, end=end))


async def exchange(host: str, port: int, sent: bytes, *, end: bool = False) -> bytes:
    """Return everything a server answers to `sent` until it closes the connection."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        async with asyncio.timeout(SECONDS):
            writer.write(sent)
            if end:
                writer.write_eof()
            return await reader.read()
    finally:
        writer.close()


def parsed(answer: bytes) -> tuple[int, Mapping[str, str], Any]:
    """Return status, headers (names in lower case) and JSON of one answer."""
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return int(first.split()[1]), headers, json.loads(body) if body else None
