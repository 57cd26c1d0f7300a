"""`GET /events`: events as they happen, as server-sent events (https://html.spec.whatwg.org, Server-sent events).

Every message has an `id`, its position in Kafka. A client that sends it back as `Last-Event-ID`, as browsers do,
continues after it, on any process. A client that is too slow, or whose token is no longer valid, gets a last message
`closed` with the reason; so do all clients when the process stops.
"""

import asyncio
import time
from collections.abc import Mapping
from contextlib import aclosing

import orjson
from aiohttp import web
from multidict import MultiMapping

from streams.access.denials import Denied
from streams.messages.codec import EVENTS
from streams.topology import AGGREGATES
from web.authorization import authorize
from web.errors import invalid
from web.requests import identifier, whole_number
from web.services import SERVICES

from .bookmark import Bookmark, decode
from .hub import BadBookmark, Hub
from .listeners import Listener, Wanted

MOST_RECENT = 200
_IDS = ("subject", "customerId")  # as `Wanted` has them
HEARTBEAT_SECONDS = 15.0  # also between two checks of the client's token
REVOKED = "the token is no longer valid"
WRITE_SECONDS = 20.0  # after this time without reading, a client counts as disconnected
RETRY = b"retry: 2000\n\n"  # milliseconds until a browser reconnects
HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # nginx must not buffer them
}


async def stream_events(request: web.Request) -> web.StreamResponse:
    """Stream events until the client disconnects, is too slow or may no longer read, or the process stops."""
    services = request.app[SERVICES]
    listener, hub = Listener(wanted_of(request.query)), services.hub
    position = _position(request, services.settings.partitions)
    newest = _newest(request.query)
    response, credentials = web.StreamResponse(headers=HEADERS), _Credentials(request)
    try:
        async with aclosing(hub.listen(listener, position, newest)) as missed:
            async for chunk in missed:
                if not await credentials.are_valid():
                    listener.close(REVOKED)
                    break
                await _write(request, response, chunk)
        while not listener.closed:
            chunk = await listener.take(HEARTBEAT_SECONDS)
            if await credentials.are_valid():
                await _write(request, response, chunk or _heartbeat(hub))
            else:
                listener.close(REVOKED)
        await _write(request, response, _closed(listener.closed))
    except BadBookmark:
        raise invalid({"Last-Event-ID": "is ahead of the topics; it belongs to another installation"}) from None
    except (TimeoutError, ConnectionError):
        if request.transport:
            request.transport.abort()
    finally:
        hub.leave(listener)
    return response


class _Credentials:
    """The credentials of a request, which may end before its stream does."""

    def __init__(self, request: web.Request) -> None:
        self._request, self._checked = request, time.monotonic()

    async def are_valid(self) -> bool:
        """Return whether the client may still read; checked once in `HEARTBEAT_SECONDS`."""
        if (now := time.monotonic()) - self._checked >= HEARTBEAT_SECONDS:
            self._checked = now
            try:
                await authorize(self._request)
            except Denied:
                return False
        return True


def wanted_of(query: MultiMapping[str]) -> Wanted:
    """Return the filters of a request."""
    types = frozenset(name for sent in query.getall("types", []) for name in sent.split(","))
    if unknown := types - EVENTS.keys():
        raise invalid(
            {"types": f"unknown event types: {', '.join(sorted(unknown))[:200]}; known types are {', '.join(EVENTS)}"}
        )
    aggregates = frozenset(query.getall("aggregate", []))
    if not aggregates <= set(AGGREGATES):
        raise invalid({"aggregate": f"must be {' or '.join(AGGREGATES)}"})
    ids = {name: frozenset(identifier(value, name) for value in query.getall(name, [])) for name in _IDS}
    return Wanted(types, aggregates, *ids.values())


def _position(request: web.Request, partitions: int) -> Bookmark | None:
    sent = request.headers.get("Last-Event-ID") or request.query.get("lastEventId")
    if not sent:
        return None
    if (position := decode(sent, partitions)) is None:
        raise invalid({"Last-Event-ID": "must be the id of an event from this installation"})
    return position


def _newest(query: Mapping[str, str]) -> int:
    if (number := whole_number(query.get("recent", "0"), 0, MOST_RECENT)) is not None:
        return number
    raise invalid({"recent": f"must be a whole number up to {MOST_RECENT}"})


async def _write(request: web.Request, response: web.StreamResponse, chunk: bytes) -> None:
    async with asyncio.timeout(WRITE_SECONDS):
        if not response.prepared:
            await response.prepare(request)
            chunk = RETRY + chunk
        if chunk:
            await response.write(chunk)


def _heartbeat(hub: Hub) -> bytes:
    """Return a comment that keeps the connection open, with the current position as the id to continue from."""
    return f": heartbeat\nid: {hub.recent.id}\n\n".encode() if hub.recent else b": heartbeat\n\n"


def _closed(reason: str) -> bytes:
    return b"event: closed\ndata: %b\n\n" % orjson.dumps({"reason": reason})
