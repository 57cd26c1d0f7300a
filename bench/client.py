"""A cheap load client: keep-alive HTTP/1.1 over plain asyncio streams, one request at a time per connection."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import orjson

from bench.figure import percentile


@dataclass(slots=True)
class Answer:
    """A response: its status, headers (lower case) and body."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the body's JSON."""
        return orjson.loads(self.body)


class Connection:
    """One keep-alive connection to the API."""

    def __init__(self, base: str) -> None:
        parts = urlsplit(base)
        self._host, self._port, self._prefix = parts.hostname or "", parts.port or 80, parts.path
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter

    async def __aenter__(self) -> "Connection":
        self._reader, self._writer = await asyncio.open_connection(self._host, self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()

    async def ask(self, method: str, path: str, body: Any = None, headers: str = "") -> Answer:
        """Send a request and return its answer."""
        payload = b"" if body is None else orjson.dumps(body)
        head = (
            f"{method} {self._prefix}{path} HTTP/1.1\r\nHost: {self._host}\r\n{headers}"
            f"Content-Type: application/json\r\nContent-Length: {len(payload)}\r\n\r\n"
        )
        self._writer.write(head.encode() + payload)
        return await self._read()

    async def _read(self) -> Answer:
        first, *lines = (await self._reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
        body = await self._reader.readexactly(int(headers.get("content-length", 0)))
        return Answer(int(first.split()[1]), headers, body)


@dataclass(slots=True)
class Load:
    """The result of a load: the duration of each request, and the unsuccessful answers."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    failures: list[Answer] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Successful requests per second."""
        return len(self.latencies) / self.seconds if self.seconds else 0.0

    def percentile(self, share: float) -> float:
        """Return the latency in ms that `share` (0 to 1) of the requests did not exceed."""
        return 1000 * percentile(self.latencies, share)


Request = Callable[[Connection, int], Awaitable[Answer]]


async def run_load(base: str, connections: int, numbers: Iterator[int], request: Request, pause: float = 0.0) -> Load:
    """Send one request per number over several connections, with `pause` seconds between two on a connection."""
    load = Load()
    started = time.perf_counter()

    async def work() -> None:
        async with Connection(base) as connection:
            for number in numbers:
                begun = time.perf_counter()
                answer = await request(connection, number)
                if answer.status < 300:
                    load.latencies.append(time.perf_counter() - begun)
                else:
                    load.failures.append(answer)
                if pause:
                    await asyncio.sleep(pause)

    await asyncio.gather(*(work() for _ in range(connections)))
    load.seconds = time.perf_counter() - started
    return load
