"""Finds the boundaries of HTTP requests in the bytes of a connection, whose parser does not show what it has begun."""

import re

BLANK_LINE = re.compile(rb"\n\r?\n")  # the end of headers, and of the trailers of chunks
LENGTH = re.compile(rb"\ncontent-length:[ \t]*(\d{1,18})[ \t]*\r?\n", re.IGNORECASE)
CHUNKED = re.compile(rb"\ntransfer-encoding:[^\n]*\bchunked[ \t]*\r?\n", re.IGNORECASE)
CHUNK = re.compile(rb"([0-9a-f]{1,16})[^\n]*\n", re.IGNORECASE)
AFTER_CHUNK = 2  # bytes of the line break


class Frames:
    """Follows the requests of one connection. Malformed ones end the connection, so it need not recognise them."""

    __slots__ = ("_begun", "_chunks", "_headers", "_left")

    def __init__(self) -> None:
        self._headers = 0  # how many have arrived
        self._begun = b""  # the beginning of headers or of a chunk's size
        self._left = 0  # bytes of a body, or of a chunk, that are still to come
        self._chunks = False  # whether a body of chunks is under way

    @property
    def has_begun(self) -> bool:
        """Whether the beginning of headers has arrived without their end."""
        return bool(self._begun) and not self._chunks

    def add(self, data: bytes) -> bool:
        """Follow the next bytes; return whether headers end in them."""
        data, before = self._begun + data if self._begun else data, self._headers
        while data:
            if skipped := min(self._left, len(data)):
                self._left -= skipped
                data = data[skipped:]
            elif (rest := self._after_chunk(data) if self._chunks else self._after_headers(data)) is None:
                break
            else:
                data = rest
        self._begun = data
        return self._headers > before

    def _after_headers(self, data: bytes) -> bytes | None:
        """Return what follows the headers that `data` begins with; None if their end is missing."""
        data = data.lstrip(b"\r\n")  # line breaks before a request mean nothing
        if not data:
            return b""
        if (end := BLANK_LINE.search(data)) is None:
            return None
        headers = data[: end.end()]
        self._headers += 1
        self._chunks = CHUNKED.search(headers) is not None
        if not self._chunks and (length := LENGTH.search(headers)):
            self._left = int(length[1])
        return data[end.end() :]

    def _after_chunk(self, data: bytes) -> bytes | None:
        """Return what follows the size of the chunk that `data` begins with; None if its end is missing."""
        if (line := CHUNK.match(data)) is None:
            return None
        if size := int(line[1], 16):
            self._left = size + AFTER_CHUNK
            return data[line.end() :]
        if (end := BLANK_LINE.search(data, line.end() - 1)) is None:
            return None
        self._chunks = False
        return data[end.end() :]
