"""A receiver of webhooks on this machine: it answers as a test says, and keeps what it got."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import orjson
from aiohttp import web


class Receiver:
    """The received bodies with their headers; `answer` returns the status of each request."""

    def __init__(self) -> None:
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.answer: Callable[[dict[str, Any]], Awaitable[web.StreamResponse] | int] = lambda _: 200
        self.url = ""

    @property
    def events(self) -> list[dict[str, Any]]:
        """The events that were received, in order."""
        return [orjson.loads(body) for _, body in self.requests]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Keep a request and answer it."""
        body = await request.read()
        self.requests.append(({name.lower(): value for name, value in request.headers.items()}, body))
        answer = self.answer(orjson.loads(body))
        return web.Response(status=answer, text="thanks") if isinstance(answer, int) else await answer


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """Run a receiver on a free port."""
    receiver, application = Receiver(), web.Application()
    application.router.add_post("/{path:.*}", receiver.handle)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hooks"
    try:
        yield receiver
    finally:
        await runner.cleanup()


async def never(_: object = None) -> web.StreamResponse:
    """Do not answer."""
    await asyncio.Event().wait()
    raise AssertionError("it waits for ever")
