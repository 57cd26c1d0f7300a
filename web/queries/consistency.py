"""Read your own writes: a `Consistency-Token` names the version that a read model must include before it answers."""

import asyncio
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from aiohttp import web

from web.errors import Problem, invalid
from web.services import Services

HEADER = "Consistency-Token"
COLLECTIONS = {"order": "orders", "inventory": "inventory"}
FIRST_PAUSE, LONGEST_PAUSE, GROWTH = 0.002, 0.05, 1.5  # seconds between two queries
MOST_TOKENS = 16


def token(aggregate: str, aggregate_id: str, version: int) -> str:
    """Return an opaque token for a version of an aggregate."""
    return urlsafe_b64encode(f"{aggregate}:{aggregate_id}:{version}".encode()).rstrip(b"=").decode()


def parse(sent: str) -> tuple[str, str, int]:
    """Return the aggregate, id and version of a token."""
    try:
        text = urlsafe_b64decode(sent + "=" * (-len(sent) % 4)).decode()
        aggregate, rest = text.split(":", 1)
        aggregate_id, version = rest.rsplit(":", 1)
        if aggregate in COLLECTIONS and version.isascii() and version.isdecimal():
            return aggregate, aggregate_id, int(version)
    except (ValueError, Error):
        pass
    raise invalid({HEADER: "must be the Consistency-Token of an earlier answer"})


async def consistent(services: Services, request: web.Request) -> Mapping[str, str]:
    """Wait until the read model includes the versions of the request's tokens; return headers for the answer.

    After the time-out raise a 504, or mark the answer with `Consistency: stale` if the client asked for
    `?on_timeout=stale`.
    """
    sent = request.headers.get(HEADER)
    if not sent:
        return {}
    wanted = [parse(each.strip()) for each in sent.split(",")[:MOST_TOKENS]]
    try:
        async with asyncio.timeout(services.settings.consistency_timeout):
            for aggregate, aggregate_id, version in wanted:
                await until(version, partial(services.queries.version, COLLECTIONS[aggregate], aggregate_id, version))
    except TimeoutError:
        if request.query.get("on_timeout") == "stale":
            return {"Consistency": "stale"}
        raise Problem("CONSISTENCY_TIMEOUT", "the read model lags behind the token; retry in a moment") from None
    return {}


async def until(wanted: int, reached: Callable[[], Awaitable[int]]) -> None:
    """Return once another process has `reached` the number; the caller limits the time."""
    pause = FIRST_PAUSE
    while wanted > await reached():
        await asyncio.sleep(pause)
        pause = min(pause * GROWTH, LONGEST_PAUSE)
