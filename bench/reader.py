"""An even cheaper load client for GETs: prepared requests, and answers parsed only as far as their length."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

END = b"\r\n\r\n"
LENGTH = b"content-length:"


class Reader(asyncio.Protocol):
    """One keep-alive connection that sends the next request as soon as the last one is answered."""

    def __init__(self, requests: Iterator[bytes], latencies: list[float]) -> None:
        self._requests, self._latencies = requests, latencies
        self._transport: asyncio.Transport
        self._got, self._asked = b"", 0.0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        self._transport = transport  # type: ignore[assignment]
        self._ask()

    def _ask(self) -> None:
        if (request := next(self._requests, None)) is None:
            self.done.set_result(None)
            return
        self._asked = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Continue when the answer is complete; any status but 200 ends the load."""
        self._got = self._got + data if self._got else data
        if (size := length(self._got)) is None or len(self._got) < size:
            return
        if not self._got.startswith(b"HTTP/1.1 200"):
            self._fail(AssertionError(self._got[:500]))
            return
        self._latencies.append(time.perf_counter() - self._asked)
        self._got = b""
        self._ask()

    def connection_lost(self, error: Exception | None) -> None:
        """Fail unless all requests were answered."""
        self._fail(error or ConnectionError("the API closed the connection"))

    def _fail(self, error: BaseException) -> None:
        if not self.done.done():
            self.done.set_exception(error)
        self._transport.abort()


def length(got: bytes) -> int | None:
    """Return the length of the answer that begins with `got`, head and body; None until its head is complete."""
    if (end := got.find(END)) < 0:
        return None
    head = got[:end].lower()
    if (at := head.find(LENGTH)) < 0:
        return end + len(END)
    line_end = head.find(b"\r\n", at)
    return end + len(END) + int(head[at + len(LENGTH) : line_end if line_end >= 0 else end])


async def read(base: str, paths: Sequence[str], connections: int) -> tuple[float, list[float]]:
    """GET all of `paths` below `base` over several connections; return the total time and that of each request."""
    parts, latencies = urlsplit(base), list[float]()
    head = f" HTTP/1.1\r\nHost: {parts.hostname}\r\n\r\n"
    requests = iter([f"GET {parts.path}{path}{head}".encode() for path in paths])
    loop, began = asyncio.get_running_loop(), time.perf_counter()
    opened = [
        await loop.create_connection(lambda: Reader(requests, latencies), parts.hostname or "", parts.port or 80)
        for _ in range(min(connections, len(paths)))
    ]
    await asyncio.gather(*(reader.done for _, reader in opened))
    seconds = time.perf_counter() - began
    for transport, _ in opened:
        transport.close()
    return seconds, latencies
