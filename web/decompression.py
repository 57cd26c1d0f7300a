"""Compressed bodies: `Content-Encoding: gzip` or `deflate`.

aiohttp's parser could decompress them, but it accepts a truncated gzip, so that part of a request would be carried out,
and it closes the connection without an answer when it cannot read a body.
"""

import zlib
from collections.abc import Callable


class NotCompressed(ValueError):
    """The bytes do not have the format that their coding names."""


class TooLarge(ValueError):
    """The decompressed body exceeds the limit."""


def _gzip(_: bytes) -> int:
    return 16 + zlib.MAX_WBITS


def _deflate(body: bytes) -> int:
    """Return the format of zlib, or of a bare deflate stream, which some clients send (RFC 9110, 8.4.1.2)."""
    is_zlib = body[0] & 0xF == zlib.DEFLATED and int.from_bytes(body[:2], "big") % 31 == 0
    return zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS


CODINGS: dict[str, Callable[[bytes], int]] = {"gzip": _gzip, "deflate": _deflate}  # name → window bits for zlib


def decompressed(body: bytes, coding: str, most: int) -> bytes:
    """Return `body` without its coding; raise `NotCompressed`, or `TooLarge` if the result exceeds `most` bytes.

    An empty body stays empty, and a gzip may have several members.
    """
    found = bytearray()
    while body:
        decompressor = zlib.decompressobj(CODINGS[coding](body))
        try:
            found += decompressor.decompress(body, most + 1 - len(found))
        except zlib.error as error:
            raise NotCompressed(f"it is not valid {coding}: {error}") from None
        if len(found) > most:
            raise TooLarge
        if not decompressor.eof:
            raise NotCompressed(f"its {coding} is truncated")
        body = decompressor.unused_data
        if body and coding != "gzip":
            raise NotCompressed(f"other bytes follow its {coding}")
    return bytes(found)
