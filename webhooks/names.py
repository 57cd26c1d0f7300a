"""Resolves names in threads of its own, so that a slow name server blocks nothing else."""

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

RESOLVING = 32  # names at the same time
_NUMERIC = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV


class Resolver(AbstractResolver):
    """A resolver for aiohttp. Callers that ask for the same name at the same time share one request."""

    def __init__(self, at_once: int = RESOLVING) -> None:
        self._pool = ThreadPoolExecutor(at_once, "webhook-names")
        self._asked = dict[tuple[Any, ...], asyncio.Future[Any]]()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses of a host."""
        asked = host, port, family
        if (future := self._asked.get(asked)) is None:
            loop = asyncio.get_running_loop()
            future = loop.run_in_executor(self._pool, socket.getaddrinfo, host, port, family, socket.SOCK_STREAM)
            self._asked[asked] = future
            future.add_done_callback(lambda _: self._asked.pop(asked, None))
        return [
            ResolveResult(
                hostname=host, host=str(address[0]), port=int(address[1]), family=kind, proto=proto, flags=_NUMERIC
            )
            for kind, _, proto, _, address in await asyncio.shield(future)
        ]

    async def close(self) -> None:
        """End the threads without waiting for them."""
        self._pool.shutdown(wait=False, cancel_futures=True)
