"""Bodies that clients compress: `Content-Encoding: gzip` or `deflate`.

aiohttp's parser would decompress them itself. It takes a gzip that ends too early for a whole one, so that a request
could be carried out in part, and it closes the connection without saying so after one that it cannot read.
"""

import zlib
from collections.abc import Callable


class NotCompressed(ValueError):
    """Bytes that are not what their coding says."""


class TooLarge(ValueError):
    """More bytes than are taken."""


def _gzip(_: bytes) -> int:
    return 16 + zlib.MAX_WBITS


def _deflate(body: bytes) -> int:
    """Return zlib's format; for clients that send a bare deflate stream, that (RFC 9110, 8.4.1.2)."""
    is_zlib = body[0] & 0xF == zlib.DEFLATED and int.from_bytes(body[:2], "big") % 31 == 0
    return zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS


CODINGS: dict[str, Callable[[bytes], int]] = {"gzip": _gzip, "deflate": _deflate}  # name → format of a body, for zlib


def decompressed(body: bytes, coding: str, most: int) -> bytes:
    """Return `body` without its coding; raise `NotCompressed`, or `TooLarge` when it becomes more than `most` bytes.

    No body stays none, and a gzip may have several members.
    """
    found = bytearray()
    while body:
        decompressor = zlib.decompressobj(CODINGS[coding](body))
        try:
            found += decompressor.decompress(body, most + 1 - len(found))
        except zlib.error as error:
            raise NotCompressed(f"it is no {coding}: {error}") from None
        if len(found) > most:
            raise TooLarge
        if not decompressor.eof:
            raise NotCompressed(f"its {coding} ends too early")
        body = decompressor.unused_data
        if body and coding != "gzip":
            raise NotCompressed(f"its {coding} is followed by other bytes")
    return bytes(found)
